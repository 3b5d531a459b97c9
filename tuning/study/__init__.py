"""What is trained next, and what is given up."""
