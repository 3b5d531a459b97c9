"""byte_lm at a size that fills a card, and the same in small for trying it without one.

    python -m tuning.search --workload benchmarks/quality/models/byte_lm_large.py:card

The rate falls with the width from byte_lm's own, which was tuned; nothing here was.
"""

from __future__ import annotations

from dataclasses import replace

from models.workload import Workload
from models.workloads.byte_lm import Recipe, byte_lm

CARD = Recipe(
    depth=12,
    width=512,
    heads=8,
    window=256,
    batch=64,
    steps=300,
    learning_rate=1e-3,
    betas=(0.9, 0.95),
    weight_decay=0.1,
    warmup_steps=30,
)
"""38 million parameters in its blocks, 16,384 bytes a step."""
SMALL = replace(CARD, depth=4, width=32, heads=2, window=32, batch=16, learning_rate=5e-3)


def card() -> Workload:
    """For a GPU."""
    return byte_lm(recipe=CARD)


def small() -> Workload:
    """For a CPU."""
    return byte_lm(recipe=SMALL)
