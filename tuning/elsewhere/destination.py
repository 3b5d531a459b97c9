"""What a destination is, which there are, and how one is named: ``tensorboard:DIR``."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from search_spaces.base import SearchSpace
from search_spaces.rules import nearest
from tuning.trial.metric import LOSS, Metric
from tuning.trial.trial import TrialRecord

EXTRA = "pip install 'time-to-quality[logging]'"


@dataclass(frozen=True)
class Source:
    """The run that is told of.

    Attributes:
        name: its directory's name.
        workload: what is trained.
        space: what is searched; None where this version does not know it any more.
        columns: names of the knobs that its trials may have.
        metric: what a loss is the value of.
    """

    name: str
    workload: str
    space: SearchSpace | None = None
    columns: tuple[str, ...] = ()
    metric: Metric = LOSS


class Destination(ABC):
    """Takes the trials of one run, each once, in any order.

    Opened by ``(where, source)``, which raises what the library raises where that cannot be. A
    trial that is there already, from before a search went on, is not told again.
    """

    library: ClassVar[str] = ""
    """The module that must be installed; empty for none."""
    meaning: ClassVar[str]
    """What WHERE is, for a reader."""

    @abstractmethod
    def __init__(self, where: str, source: Source) -> None: ...

    @abstractmethod
    def tell(self, record: TrialRecord) -> None:
        """A trial that ended; raises what the library raises."""

    def close(self) -> None:
        """No more will come."""
        return


def kinds() -> dict[str, type[Destination]]:
    """Every destination by its name, that of its file."""
    found = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        loaded = importlib.import_module(f"{__package__}.{module.name}")
        if hasattr(loaded, "DESTINATION"):
            found[module.name] = loaded.DESTINATION
    return found


@dataclass(frozen=True)
class Place:
    """A destination that is asked for: of which kind, and where."""

    kind: str
    where: str

    def faults(self, flag: str) -> list[str]:
        """What is wrong with it: no such kind, nowhere, or a library that is not there."""
        known = kinds()
        if self.kind not in known:
            names = list(known)
            return [
                f"{flag} must name one of {', '.join(names)}, but got {self.kind!r}: "
                f"{nearest(self.kind, names)}"
            ]
        if not self.where:
            return [f"{flag} {self.kind} must be followed by {known[self.kind].meaning}"]
        library = known[self.kind].library
        if library and importlib.util.find_spec(library) is None:
            return [f"{flag} {self.kind} needs {library}, which is not installed: {EXTRA}"]
        return []

    def open(self, source: Source) -> Destination:
        """The destination itself; raises what its library raises."""
        make: Callable[[str, Source], Destination] = kinds()[self.kind]
        return make(self.where, source)


def places(text: str | None) -> tuple[Place, ...]:
    """Those of an option: ``tensorboard:logs,mlflow:sqlite:///trials.db``; nobody has judged them.

    >>> places("tensorboard:logs,mlflow:sqlite:///trials.db")[1]
    Place(kind='mlflow', where='sqlite:///trials.db')
    """
    words = [] if text is None else text.split(",")
    return tuple(Place(kind, where) for kind, _, where in (word.partition(":") for word in words))


def curve_of(record: TrialRecord, metric: Metric) -> Iterable[tuple[int, float, float]]:
    """(step, solo seconds, value of the metric) of each evaluation."""
    for point in record.curve:
        yield point.step, point.train_seconds, metric.of(point.val_loss)


def numbers_of(record: TrialRecord, metric: Metric) -> dict[str, float]:
    """What a trial came to, by the names of its columns; only what is known."""
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
    return {name: float(value) for name, value in known.items() if value is not None}


def settings_of(record: TrialRecord) -> dict[str, str | int | float | bool]:
    """What was trained: policy, horizon, seed and knobs."""
    recipe = record.recipe
    about = {"policy": recipe.policy, "horizon": recipe.horizon, "seed": record.seed}
    return {**about, **recipe.knobs}
