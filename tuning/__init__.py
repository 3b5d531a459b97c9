"""See the module of each step."""
