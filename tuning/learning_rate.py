"""The default schedule: linear warm-up, constant, linear decay to zero (WSD, arXiv 2404.06395).

Warm-up is counted in steps and the constant part does not depend on the horizon, so runs of every horizon are one and
the same run until the decay of the shortest begins. That is what lets trials fork from a shared trunk.
"""

from __future__ import annotations


def wsd_factor(step: int, fraction: float, *, warmup_steps: int, decay_fraction: float) -> float:
    """The factor on the peak learning rate for the step after ``step`` steps, ``fraction`` of the horizon spent.

        (step + 1) / warmup_steps        while step < warmup_steps
        (1 − fraction) / decay_fraction  while fraction > 1 − decay_fraction
        1                                otherwise

    Where warm-up and decay overlap (a very short horizon) the smaller holds.

    >>> [wsd_factor(s, 0.0, warmup_steps=4, decay_fraction=0.2) for s in (0, 3, 4)]
    [0.25, 1.0, 1.0]
    >>> [round(wsd_factor(9, f, warmup_steps=4, decay_fraction=0.2), 3) for f in (0.8, 0.9, 1.0)]
    [1.0, 0.5, 0.0]
    """
    warmup = (step + 1) / warmup_steps if step < warmup_steps else 1.0
    in_decay = decay_fraction > 0 and fraction > 1 - decay_fraction
    decay = max(0.0, 1 - fraction) / decay_fraction if in_decay else 1.0
    return min(warmup, decay, 1.0)
