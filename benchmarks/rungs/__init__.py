"""What a short look at a recipe tells of its whole run: recorded once, read as often as wanted."""
