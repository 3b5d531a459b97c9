"""What a destination is, what it is told of a run, and how it reads a trial."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from search_spaces.base import SearchSpace
from tuning.trial.metric import LOSS, METRIC, Metric
from tuning.trial.trial import Scalar, TrialRecord


@dataclass(frozen=True)
class Source:
    """The run whose trials are told.

    Attributes:
        name: its directory's name.
        workload: what is trained.
        space: what is searched; None where this version does not know it any more.
        columns: names of the knobs that its trials may have.
        metric: what a loss is the value of.
        metrics: names of the further ones that its trials may have.
    """

    name: str
    workload: str
    space: SearchSpace | None = None
    columns: tuple[str, ...] = ()
    metric: Metric = LOSS
    metrics: tuple[str, ...] = ()


class Destination(ABC):
    """Takes the trials of one run, each once, in any order.

    It is opened by its constructor, ``(where, source)``, which raises whatever the library raises
    where that fails. A trial that is there already, from before a search went on, is not told
    again.
    """

    package: ClassVar[str] = ""
    """The module that must be installed; empty for none."""
    meaning: ClassVar[str]
    """What WHERE is, in words for a reader."""

    @abstractmethod
    def __init__(self, where: str, source: Source) -> None: ...

    @abstractmethod
    def tell(self, record: TrialRecord) -> None:
        """Take a trial that ended; raises whatever the library raises."""

    def close(self) -> None:
        """Finish: no more trials will come."""
        return


def curve_of(record: TrialRecord, metric: Metric) -> Iterable[tuple[int, float, float]]:
    """(step, solo seconds, value of the metric) of each evaluation."""
    for point in record.curve:
        yield point.step, point.train_seconds, metric.of(point.val_loss)


def numbers_of(record: TrialRecord, metric: Metric) -> dict[str, float]:
    """The numbers of a trial's outcome by the names of their columns; those that are not known are
    left out.
    """
    names = (
        "train_seconds",
        "seconds_to_quality",
        "steps",
        "required_flops",
        "effective_flops_per_second",
        "pipeline_overhead_seconds",
    )
    known = {name: getattr(record, name) for name in names}
    if record.val_loss is not None:
        known["val_metric"] = metric.of(record.val_loss)
    known |= {METRIC + name: value for name, value in record.metrics.items()}
    return {name: float(value) for name, value in known.items() if value is not None}


def settings_of(record: TrialRecord) -> dict[str, Scalar]:
    """What was trained: the policy, horizon, seed and knobs, by name."""
    recipe = record.recipe
    about: dict[str, Scalar] = {"policy": recipe.policy, "horizon": recipe.horizon}
    return {**about, "seed": record.seed, **recipe.knobs}
