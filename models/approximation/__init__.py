"""Cheaper matrices in place of a model's linear layers.

Low rank, Monarch, fewer hidden units, 2:4 sparsity.
"""
