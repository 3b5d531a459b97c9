"""What trials leave so that none is trained twice: RUN/trunk/trial-17.pt, some kilobytes.

A worker writes the file when its trial is finished and before the trial's record; a trial that is
killed between the two goes on from its checkpoint and writes it again. The newest are kept, within
bounds of number and disk.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.levers.planning import planned
from policies.rules import Scalar
from tuning.training.checkpoint import load_checkpoint, save_checkpoint
from tuning.training.trunk import ending_of
from tuning.trial.clock import CostTable
from tuning.trial.course import Timetable
from tuning.trial.recipe import Recipe
from tuning.trial.record import Measurements
from tuning.trial.replay import FinishedRun, Schedule, Standing, repeats
from tuning.trial.trial import CurvePoint, TrialSpec

if TYPE_CHECKING:
    from policies.apply import Step

MOST_RUNS = 64
"""The most files that are kept; every trial is compared with each of them before it is trained."""
DISK_BYTES = 64 * 2**20
"""The most bytes that a run's files take together."""
_NAME = re.compile(r"trial-(\d+)\.pt")
Scores = tuple[float, ...]
StopsAt = Callable[[Sequence[CurvePoint]], int | None]


@dataclass
class RunRecorder:
    """Records one trial while it trains; see ``tuning.training.loop.Recorder``.

    Attributes:
        file: where the run goes once it is over.
        spec: what is trained.
        losses: the training loss of every step so far.
        relevance: one score for each block, by the step of each probe so far.
    """

    file: Path
    spec: TrialSpec
    losses: list[float] = field(default_factory=list)
    relevance: dict[int, Scores] = field(default_factory=dict)

    def before(self, step: int, snapshot: Callable[[], dict[str, Any]]) -> None:
        """Do nothing: a run that is taken over needs no weights."""

    def after_backward(self, loss: float, update: Step, relevance: Callable[[str], Scores]) -> None:
        """Note the step's loss and, where it probed, the scores that the policy saw."""
        if update.relevance is not None:
            self.relevance[len(self.losses)] = update.relevance
        self.losses.append(loss)

    def fork(self, losses: Sequence[float], probed: Mapping[int, Scores]) -> None:
        """Begin with the ``losses`` and the probes' scores that the trial shares with a trunk."""
        self.losses, self.relevance = list(losses), dict(probed)

    def finish(self, measured: Measurements) -> None:
        """Write the run to its file: it is over, and later trials may take it over."""
        state = {
            "policy": self.spec.recipe.policy,
            "knobs": dict(self.spec.recipe.knobs),
            "seed": self.spec.seed,
            "horizon": self.spec.recipe.horizon,
            **self.state_dict(),
            **ending_of(measured),
        }
        save_checkpoint(self.file, state)
        _drop_oldest(self.file.parent)

    def state_dict(self) -> dict[str, Any]:
        """What was recorded so far."""
        return {"losses": list(self.losses), "relevance": dict(self.relevance)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on recording where ``state`` was taken."""
        self.fork(state["losses"], state["relevance"])


def run_file(folder: Path, number: int) -> Path:
    """The file of the trial of that number, in the run's folder of trunks; it need not exist."""
    return folder / f"trial-{number}.pt"


def find_repeated(
    folder: Path, spec: TrialSpec, timetable: Timetable, costs: CostTable, stops_at: StopsAt
) -> Standing[Any] | None:
    """Where the trial ends if it would repeat a finished run of ``folder``; else None.

    Only trials of lower numbers count, so that a trial that was killed after its file was written
    trains as it did before. ``stops_at`` returns the step at which a trial with a given curve is
    stopped early, or None; where it returns a step, the trial ends there.
    """
    schedule = _schedule(spec.recipe, spec.seed, costs.num_blocks)
    for file in (path for number, path in _files(folder) if number < spec.number):
        run = _load(file, costs.num_blocks, spec.recipe)
        end = None if run is None else repeats(schedule, run, timetable, costs)
        if run is not None and end is not None:
            stop = stops_at([CurvePoint(**point) for point in end.course["curve"]])
            return end if stop is None else repeats(schedule, run, timetable, costs, until=stop)
    return None


def _schedule(recipe: Recipe, seed: int, num_blocks: int) -> Schedule:
    policy, levers = recipe.policy_and_levers()
    return Schedule(planned(policy, levers, num_blocks, seed), levers, seed, recipe.horizon)


@lru_cache(maxsize=2 * MOST_RUNS)
def _read(
    file: Path, written: int, num_blocks: int, own: tuple[tuple[str, Scalar], ...]
) -> FinishedRun | None:
    # Kept between the trials of a reused worker, which all look at the same runs.
    state = load_checkpoint(file)
    if state is None:
        return None
    recipe = Recipe(state["policy"], state["horizon"], state["knobs"])
    if recipe.own != dict(own):
        return None
    schedule = _schedule(recipe, state["seed"], num_blocks)
    said = (state[name] for name in ("losses", "relevance", "evaluations", "metrics"))
    return FinishedRun(schedule, *said)


def _load(file: Path, num_blocks: int, recipe: Recipe) -> FinishedRun | None:
    """The run in ``file``; None where another worker has dropped it, or where the workload's own
    knobs were others than in ``recipe``.
    """
    try:
        return _read(file, file.stat().st_mtime_ns, num_blocks, tuple(recipe.own.items()))
    except FileNotFoundError:
        return None


def _files(folder: Path) -> list[tuple[int, Path]]:
    """The files there are, with their trials' numbers, in ascending order."""
    found = ((_NAME.fullmatch(path.name), path) for path in folder.glob("trial-*.pt"))
    return sorted((int(match[1]), path) for match, path in found if match)


def _drop_oldest(folder: Path) -> None:
    files = _files(folder)
    sizes = []
    for _, path in reversed(files):
        with contextlib.suppress(FileNotFoundError):  # another worker is dropping it
            sizes.append((path.stat().st_size, path))
    total = 0
    for place, (size, path) in enumerate(sizes):
        total += size
        if place >= MOST_RUNS or total > DISK_BYTES:
            path.unlink(missing_ok=True)
