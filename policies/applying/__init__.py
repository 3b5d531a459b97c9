"""How a plan is brought about in a model: what is frozen, found, watched and read.

All that needs torch is here; a training loop uses ``policies.apply``.
"""
