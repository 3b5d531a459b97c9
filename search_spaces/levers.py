"""The knobs of levers that change what a step sees and runs, each lever behind a gate of its own.

Numbers that make a form of their own (a batch factor, blocks present) are few: each has to be timed
when it is first met.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.levers.averaging import EMA, LAST, Averaging
from models.levers.batch import BatchSize
from models.levers.cached_prefix import CachedPrefix
from models.levers.depth import Depth
from models.levers.input import InputSize
from policies.base import Scalar
from search_spaces.base import knob
from search_spaces.knobs import Gate, Knob

Condition = Mapping[str, tuple[Scalar, ...]]
BATCH, DEPTH, PREFIX = "use_batch", "use_depth", "use_prefix"
INPUT, AVERAGE = "use_input", "use_averaging"


def batch_knobs() -> tuple[Knob, ...]:
    """Examples in a step at the start and at the end, and when they change."""
    on: Condition = {BATCH: (True,)}
    return (
        gate(BATCH, "other batches than the workload's", BatchSize.switches),
        knob(BatchSize, "batch_start", choices=(0.25, 0.5, 2.0), when=on),
        knob(BatchSize, "batch_end", choices=(0.5, 1.0, 2.0), when=on),
        knob(BatchSize, "batch_change_at", 0.2, 0.95, when=on),
    )


def depth_knobs() -> tuple[Knob, ...]:
    """Fewer blocks at the start, and how the model grows; also a model that stays smaller."""
    on: Condition = {DEPTH: (True,)}
    return (
        gate(DEPTH, "fewer blocks at the start", Depth.switches),
        knob(Depth, "depth_start", choices=(0.25, 0.5, 0.75), when=on),
        knob(Depth, "depth_end", choices=(0.75, 1.0), when=on),
        knob(Depth, "growth_at", 0.2, 0.9, when=on),
        knob(Depth, "growth_steps", choices=(1, 2), when=on),
        knob(Depth, "new_blocks", when=on),
    )


def prefix_knobs(when: Condition | None = None) -> tuple[Knob, ...]:
    """How many of the bottom blocks are frozen and kept, until when, at which rate."""
    on = {**(when or {}), PREFIX: (True,)}
    return (
        gate(PREFIX, "bottom blocks frozen and kept at first", CachedPrefix.switches, when),
        knob(CachedPrefix, "prefix", choices=(0.25, 0.5, 0.75), when=on),
        knob(CachedPrefix, "prefix_until", 0.3, 1.0, when=on),
        knob(CachedPrefix, "prefix_rate", 0.5, 3.0, log=True, when=on),
    )


def input_knobs() -> tuple[Knob, ...]:
    """How small examples are at first, and until when."""
    on: Condition = {INPUT: (True,)}
    return (
        gate(INPUT, "smaller examples at first", InputSize.switches),
        knob(InputSize, "input_start", choices=(0.5, 0.75), when=on),
        knob(InputSize, "input_whole_from", 0.2, 0.9, when=on),
    )


def averaging_knobs() -> tuple[Knob, ...]:
    """Which average of late weights is evaluated."""
    on: Condition = {AVERAGE: (True,)}
    return (
        gate(AVERAGE, "an average of late weights is evaluated", Averaging.switches),
        knob(Averaging, "averaging", choices=(EMA, LAST), when=on),
        knob(Averaging, "averaging_window", 0.01, 0.2, log=True, when=on),
    )


def gate(name: str, meaning: str, opens: tuple[str, ...], when: Condition | None = None) -> Gate:
    """A gate before the knobs of one lever."""
    return Gate(name, meaning=meaning, opens=opens, when=dict(when or {}))
