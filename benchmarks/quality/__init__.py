"""How good what a search finds is."""
