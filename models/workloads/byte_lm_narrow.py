"""Workload ``byte_lm_narrow``: ``byte_lm`` on a model that is too narrow and too deep for its time.

At width 16 the top blocks alone have too few weights for the text, so that training every block is
worth its time: what schedules that freeze blocks are held against in this project's tables. How it
was chosen is told in ``docs/byte_lm_narrow.md``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from models.workload import Workload
from models.workloads.byte_lm import Recipe, byte_lm

NARROW = Recipe(
    depth=8,
    width=16,
    heads=1,
    window=32,
    batch=32,
    steps=600,
    learning_rate=1.5e-2,
    weight_decay=0.1,
    betas=(0.9, 0.95),
    warmup_steps=40,
    decay_fraction=0.3,
)


def byte_lm_narrow(corpus_dir: Path | None = None) -> Workload:
    """Next bytes of the text below ``corpus_dir``, or of the Python standard library's sources.

    Raises:
        ValueError: as of ``byte_lm``.
    """
    return replace(byte_lm(corpus_dir, NARROW), name="byte_lm_narrow")


WORKLOADS = {"byte_lm_narrow": byte_lm_narrow}
