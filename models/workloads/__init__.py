"""What is trained out of the box, found by name."""
