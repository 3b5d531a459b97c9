"""One suite an interface, each implementation a parameter that the registry finds."""
