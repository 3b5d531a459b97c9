"""Measurements a reader can repeat; each prints a table and writes JSON."""
