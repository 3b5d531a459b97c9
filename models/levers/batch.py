"""The lever of how many examples a step sees. Pure; no torch.

A step with factor f takes the next f of the workload's own batches, cut or joined; so the stream of
examples is the same, each used once, whatever the factors. ``position`` says where in it a run is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import ClassVar

from models.levers.form import Form
from models.levers.lever import Lever
from policies.rules import setting

SMALLEST, LARGEST = 1 / 64, 64.0
MISSING = Fraction(1, 2**20)
"""Of an example, so much may be missing of a whole one: the float of a third is less than it."""


@dataclass(frozen=True)
class BatchSize(Lever):
    """Examples in a step, at the start and at the end of a run."""

    name: ClassVar[str] = "batch"
    switches: ClassVar[tuple[str, ...]] = ("batch_start", "batch_end")

    batch_start: float = setting(
        1.0,
        low=SMALLEST,
        high=LARGEST,
        unit="× the workload's",
        meaning="examples in a step at the start",
    )
    batch_end: float = setting(
        1.0,
        low=SMALLEST,
        high=LARGEST,
        unit="× the workload's",
        meaning="examples in a step at the end",
    )
    batch_change_at: float = setting(
        0.5,
        likely=0.5,
        low=0.0,
        high=1.0,
        unit="fraction",
        meaning="share of the horizon from which a step has what it has at the end",
    )
    batch_ramp: bool = setting(
        False, meaning="whether it is halved or doubled on the way, in even shares"
    )

    def idle(self) -> frozenset[str]:
        """Where a step has as many from start to end, when that changes and how.

        >>> sorted(BatchSize(2.0, 2.0).idle()), sorted(BatchSize(1.0, 2.0, batch_ramp=True).idle())
        (['batch_change_at', 'batch_ramp'], ['batch_ramp'])
        """
        stages = len(self.stages())
        constant = {"batch_change_at"} if stages == 1 else set[str]()
        return super().idle() | constant | ({"batch_ramp"} if stages < 3 else set())

    def stages(self) -> tuple[float, ...]:
        """Every factor in the order in which a run has them.

        >>> BatchSize(0.25, 1.0, 0.6).stages(), BatchSize(0.25, 1.0, 0.6, batch_ramp=True).stages()
        ((0.25, 1.0), (0.25, 0.5, 1.0))
        >>> BatchSize(4.0, 1.5, batch_ramp=True).stages(), BatchSize(0.5, 0.5).stages()
        ((4.0, 2.0, 1.5), (0.5,))
        """
        start, end = self.batch_start, self.batch_end
        if start == end:
            return (start,)
        doublings = math.ceil(abs(math.log2(end / start))) if self.batch_ramp else 1
        sign = 1 if end > start else -1
        between = tuple(start * 2.0 ** (sign * n) for n in range(1, doublings))
        return (start, *between, end)

    def factor(self, fraction: float) -> float:
        """The factor of a step that begins at ``fraction`` of the horizon.

        >>> lever = BatchSize(0.25, 1.0, 0.6, batch_ramp=True)
        >>> [lever.factor(f) for f in (0.0, 0.29, 0.31, 0.59, 0.6, 1.0)]
        [0.25, 0.25, 0.5, 0.5, 1.0, 1.0]
        """
        *before, last = self.stages()
        if fraction >= self.batch_change_at or not before:
            return last
        return before[int(fraction / self.batch_change_at * len(before))]

    def shaped(self, form: Form, fraction: float = 0.0) -> Form:
        """``form`` with the examples of a step that begins at ``fraction`` of the horizon."""
        return replace(form, batch=self.factor(fraction))

    def shapes(self, form: Form, num_blocks: int) -> tuple[Form, ...]:
        """``form`` with every factor."""
        return tuple(replace(form, batch=factor) for factor in self.stages())


def whole_examples(batches: Fraction, size: int) -> int:
    """How many whole examples so many ``batches`` of ``size`` hold.

    >>> whole_examples(Fraction(1 / 3), 3), whole_examples(Fraction(0.33), 3)
    (1, 0)
    """
    return math.floor(batches * size + MISSING)


def position(steps: Mapping[float, int]) -> Fraction:
    """How far into the stream of batches a run is that took ``steps`` steps with each factor.

    The unit is the workload's batch; exact, so that a resumed run goes on at the same place.

    >>> position({0.5: 3, 2.0: 1})
    Fraction(7, 2)
    """
    return sum((Fraction(factor) * count for factor, count in steps.items()), Fraction(0))
