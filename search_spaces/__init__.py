"""What is searched: one named space a file."""
