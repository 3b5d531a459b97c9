"""A recipe from ``recipe.toml`` in loops that are not the user's own: Trainer, Lightning,
accelerate.
"""
