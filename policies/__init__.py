"""Which blocks are updated, step by step, and the one file that applies it to a model."""
