"""The picture of a search, as PNG."""
