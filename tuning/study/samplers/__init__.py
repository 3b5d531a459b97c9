"""A point of a space, from what is known. Pure."""
