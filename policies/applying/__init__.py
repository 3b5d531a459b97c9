"""How a plan is brought about in a model: what is frozen, found, watched and read.

All of it that needs torch; ``policies.apply`` is what a training loop uses.
"""
