"""Cheaper matrices in place of a model's linear layers.

They are of low rank, Monarch matrices, have fewer hidden units, or are 2:4 sparse.
"""
