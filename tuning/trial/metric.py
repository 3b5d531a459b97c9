"""What a workload's ``evaluate`` returns, and in which direction it is better.

Everything inside minimises, and calls what it minimises a loss: the metric itself, or its negative
where the metric is to be maximised. A reader is told the metric, in its own sign; this is the one
place that turns one into the other. ``docs/decisions/metrics-to-be-maximised.md`` says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

DEFAULT_NAME = "validation loss"
METRIC = "metric_"
"""The beginning of the name of a further metric's column."""


class Measures(Protocol):
    """A workload, or anything else that says what its evaluation measures."""

    @property
    def metric(self) -> str:
        """The metric's name."""

    @property
    def maximize(self) -> bool:
        """Whether higher is better."""


@dataclass(frozen=True)
class Metric:
    """A metric by name and direction.

    Attributes:
        name: the name that a reader is told.
        maximize: whether higher is better.
    """

    name: str = DEFAULT_NAME
    maximize: bool = False

    @classmethod
    def measured_by(cls, workload: Measures) -> Self:
        """What the workload's evaluation measures."""
        return cls(workload.metric, workload.maximize)

    def of(self, loss: float) -> float:
        """The value of the metric that a loss stands for.

        >>> Metric("accuracy", maximize=True).of(-0.97), Metric().of(1.9)
        (0.97, 1.9)
        """
        # Not -loss, by which a loss of 0 would be told as -0.
        return 0.0 - loss if self.maximize else loss

    def loss(self, value: float) -> float:
        """The loss that stands for a value of the metric: the inverse of ``of``."""
        return self.of(value)

    @property
    def is_default(self) -> bool:
        """Whether it is a loss without a name of its own."""
        return self == Metric()

    @property
    def short(self) -> str:
        """The metric's name where there is little room, or where it was spelt out before."""
        return "loss" if self.name == DEFAULT_NAME else self.name

    @property
    def heading(self) -> str:
        """``short`` as a heading."""
        return self.short[:1].upper() + self.short[1:]

    @property
    def one(self) -> str:
        """The words for one value of the metric."""
        return "a loss" if self.short == "loss" else f"a value of {self.short}"

    @property
    def better(self) -> str:
        """How a better value compares with a worse one."""
        return "higher" if self.maximize else "lower"

    @property
    def worse(self) -> str:
        """How a worse value compares with a better one."""
        return "lower" if self.maximize else "higher"

    @property
    def best(self) -> str:
        """What the best value of several is."""
        return "highest" if self.maximize else "lowest"

    @property
    def beyond(self) -> str:
        """Where values better than another lie."""
        return "above" if self.maximize else "below"

    @property
    def short_of(self) -> str:
        """Where values worse than another lie."""
        return "below" if self.maximize else "above"

    @property
    def improves(self) -> str:
        """What more time does to it."""
        return "raises" if self.maximize else "lowers"

    @property
    def worsens(self) -> str:
        """What too much time does to it."""
        return "lowers" if self.maximize else "raises"


LOSS = Metric()
"""A loss without a name of its own."""
