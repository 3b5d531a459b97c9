"""What a run knows beside its front: how its loss varies from seed to seed, its replicates, what a
confirmation found, and what its levers bring.
"""

from __future__ import annotations

import math
import shlex
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuning.findings.apart import Apart, read_apart
from tuning.findings.untuned import Plateau, plateau_of
from tuning.findings.verdict import Verdict, read_verdict
from tuning.layout import program
from tuning.trial.metric import LOSS, Metric
from tuning.trial.outcome import outcomes_of
from tuning.trial.recipe import Recipe
from tuning.trial.trial import AGAIN, TrialRecord

if TYPE_CHECKING:
    from tuning.store.store import Store


@dataclass(frozen=True)
class Asked:
    """What was asked of a search, as far as advice needs it.

    Attributes:
        run: its directory.
        workload, space: by the names that the command line takes.
        trials: in all.
        longer: how many times the space's own horizons were searched.
        rung: share of its horizon for which a recipe was looked at first; 0 for none.
    """

    run: str = "DIR"
    workload: str = "byte_lm"
    space: str = "recipe"
    trials: int = 0
    rung: float = 0.0
    longer: float = 1.0

    @classmethod
    def of(cls, store: Store) -> Asked:
        """The request that run.json describes."""
        known = store.info.config
        names = ("workload", "space", "trials", "rung", "longer")
        return cls(str(store.path), **{name: known[name] for name in names if known.get(name)})


@dataclass(frozen=True)
class Background:
    """What the trials of a search are read against.

    Attributes:
        noise: of the final loss over seeds; None where the run trained full_update on fewer than
            two.
        confirmed: what ``python -m tuning.confirm`` found; None before it ran.
        remark: what is wrong with the files of the two, in words; empty where nothing is.
        confirm_command: what to type to confirm.
        replicated: final losses of the finished replicates by recipe, those of a confirmation
            among them.
        sampler: which one proposed the trials, and why, in words; empty where none has been chosen.
        metric: what a loss is the value of.
        apart: what ``python -m tuning.apart`` found; None before it ran.
        asked: what was asked of the search.
        plateau: the plateau that the own recipe's runs over seeds end on; None where their loss
            still falls, and where that is not known.
    """

    noise: Noise | None = None
    confirmed: Verdict | None = None
    remark: str = ""
    confirm_command: str = "python -m tuning.confirm DIR"
    replicated: Mapping[Recipe, tuple[float, ...]] = field(default_factory=dict)
    sampler: str = ""
    metric: Metric = LOSS
    apart: Apart | None = None
    asked: Asked = field(default_factory=Asked)
    plateau: Plateau | None = None


def background_of(store: Store) -> Background:
    """What the run in ``store`` knows. A file that cannot be read is left alone and named in
    ``remark``.
    """
    confirmed, remark = read_verdict(store.path)
    apart, unread = read_apart(store.path)
    remark = ". ".join(filter(None, (remark, unread)))
    command = f"{program('confirm')} {shlex.quote(str(store.path))}"
    own = list(store.references().values())
    noise, plateau = noise_of_records(own), plateau_of(own)
    chosen = store.info.sampler
    sampler = "" if chosen is None else f"{chosen.name}, {chosen.reason}"
    losses = replicated_losses(store)
    metric = store.info.metric
    asked = Asked.of(store)
    known = (noise, confirmed, remark, command, losses, sampler, metric, apart, asked)
    return Background(*known, plateau)


def replicated_losses(store: Store) -> dict[Recipe, tuple[float, ...]]:
    """Final losses of the finished replicates, by recipe."""
    if not store.frame(["origin"])["origin"].isin(AGAIN).any():
        return {}
    frame = store.light_frame()
    found: dict[Recipe, tuple[float, ...]] = {}
    for run in outcomes_of(frame[frame["origin"].isin(AGAIN)]):
        if run.state == "finished" and run.val_loss is not None and math.isfinite(run.val_loss):
            schedule = run.recipe
            found[schedule] = (*found.get(schedule, ()), run.val_loss)
    return found


COVERED = 1.96


@dataclass(frozen=True)
class Noise:
    """How full_update's final losses vary over seeds.

    Attributes:
        deviation: standard deviation over the seeds.
        seeds: how many there were.
        span: the least and the greatest; None where they are not known one by one.
    """

    deviation: float
    seeds: int
    span: tuple[float, float] | None = None

    @property
    def limit(self) -> float:
        """The repeatability limit (ISO 5725): two runs of one schedule on two seeds differ by more
        than this once in twenty times.
        """
        return COVERED * math.sqrt(2) * self.deviation

    def hides(self, loss: float, other: float) -> bool:
        """Whether the two losses are so close that another seed could reverse their order. Trials
        that share a seed vary together in part, so this marks too much rather than too little.
        """
        return abs(loss - other) <= self.limit


@dataclass(frozen=True)
class LossOverSeeds:
    """The final losses of one schedule on several seeds.

    Attributes:
        mean: of the losses.
        deviation: their standard deviation.
        seeds: how many there are, at least 2.
    """

    mean: float
    deviation: float
    seeds: int


def loss_over_seeds(losses: Sequence[float]) -> LossOverSeeds | None:
    """Mean and deviation of losses on different seeds; None for fewer than two losses."""
    if len(losses) < 2:
        return None
    return LossOverSeeds(statistics.fmean(losses), statistics.stdev(losses), len(losses))


def noise_of(losses: Iterable[float]) -> Noise | None:
    """The noise that final losses over seeds show; None for fewer than two."""
    values = list(losses)
    if len(values) < 2:
        return None
    return Noise(statistics.stdev(values), len(values), (min(values), max(values)))


def noise_of_records(records: Iterable[TrialRecord]) -> Noise | None:
    """The noise of a run, from the records of full_update on several seeds that
    ``Store.references`` holds; None for fewer than two finished ones.
    """
    return noise_of(r.val_loss for r in records if r.state == "finished" and r.val_loss is not None)
