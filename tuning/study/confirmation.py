"""What a confirmation trains: which schedules, beside which control, on which seeds, in which
order.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from tuning.findings.front import (
    control,
    control_kinds,
    controls,
    finished,
    front,
    never_froze,
    numbers,
)
from tuning.findings.gains import RIVALS, Bests, Controls, ahead
from tuning.findings.paired import MIN_CONTROLS, ControlCurve
from tuning.findings.verdict import Candidate, Time
from tuning.layout import resume_command
from tuning.store.store import Store
from tuning.study.longer import next_longer
from tuning.study.prices import around
from tuning.study.rivals import Rival, spans_of
from tuning.trial.outcome import Outcome, outcomes_of
from tuning.trial.recipe import CONTROL_POLICY, OWN, ControlKind, Recipe
from tuning.trial.trial import (
    ASIDE,
    CONFIRMATION,
    FIRST_FRESH,
    SEEDS,
    TrialSpec,
)

DEFAULT_TOP = 3
LONGEST_CONTROL = 1.0
OWN_RUNS = 4
"""The number of runs of the own control on each seed: one more than a parabola has coefficients."""


@dataclass(frozen=True)
class Plan:
    """The runs of a confirmation.

    Attributes:
        candidates: the schedules, best first.
        horizons: the own control's, ascending.
        seeds: fresh seeds.
        target: the loss whose time is told.
        remark: how the candidates differ from what one would expect; empty where they do not.
        rivals: the other controls that the search has and that may change the verdict.
        behind: for each of the rest, the number of its trial that gained most in the search: even
            that one gained nothing.
        time: the seconds by which it is judged.
    """

    candidates: tuple[Candidate, ...]
    horizons: tuple[float, ...]
    seeds: tuple[int, ...]
    target: float
    remark: str = ""
    rivals: Mapping[ControlKind, Rival] = field(default_factory=dict)
    behind: Mapping[ControlKind, int] = field(default_factory=dict)
    time: Time = "measured"

    def specs(self, workload: str) -> list[TrialSpec]:
        """Every run, seed by seed, so that a confirmation that is cut short has whole seeds.

        Within a seed the order is random, so that a machine that warms up or slows down favours no
        schedule. The numbers are not chosen yet.
        """
        found = []
        for seed in self.seeds:
            runs = [
                *(Recipe(CONTROL_POLICY, horizon) for horizon in self.horizons),
                *(candidate.recipe for candidate in self.candidates),
                *(recipe for rival in self.rivals.values() for recipe in rival.recipes()),
            ]
            random.Random(seed).shuffle(runs)  # noqa: S311 - an order of runs, not a secret
            found += [
                TrialSpec(0, CONFIRMATION, workload, recipe, seed, self.target) for recipe in runs
            ]
        return found


def fresh_seeds(used: Iterable[int], first_seed: int, count: int) -> tuple[int, ...]:
    """``count`` seeds, none of them in ``used``. A larger ``count`` gives the same seeds first."""
    taken = set(used) | set(range(first_seed, first_seed + SEEDS))
    found: list[int] = []
    seed = first_seed + FIRST_FRESH
    while len(found) < count:
        if seed not in taken:
            found.append(seed)
        seed += 1
    return tuple(found)


def used_seeds(store: Store, frame: pd.DataFrame) -> set[int]:
    """Every seed that the search trained on, those of its replicates and those that set its target
    included.
    """
    own = frame.loc[frame["origin"] != CONFIRMATION, "seed"]
    target = store.info.target.seeds if store.info.target else ()
    return {*map(int, own), *target, *(record.seed for record in store.references().values())}


def control_horizons(outcomes: Iterable[Outcome]) -> tuple[float, ...]:
    """Horizons at which the search finished its own control runs, ascending."""
    own = (o for o in outcomes if o.state == "finished" and o.origin in ("baseline", "control"))
    return tuple(
        sorted(
            {
                o.recipe.horizon
                for o in own
                if o.recipe.is_control and o.recipe.horizon <= LONGEST_CONTROL
            }
        )
    )


def priced(
    frame: pd.DataFrame, candidates: Sequence[Candidate], horizons: Sequence[float]
) -> tuple[float, ...]:
    """Those of the own control's ``horizons`` that tell something about ``candidates``, ascending:
    up to four, around the time that each candidate takes and the control's time to its loss.
    """
    every = (*horizons, *beyond(frame, candidates))
    return around(spans_of(frame, candidates, OWN), every, OWN_RUNS)


def beyond(frame: pd.DataFrame, candidates: Sequence[Candidate]) -> tuple[float, ...]:
    """Horizons beyond the baseline's at which the own control has to be trained to reach the
    candidates' losses.

    There is one where a candidate is better than the own control at all horizons up to the
    baseline's, and one more where it is better than the search's run at that one, too.
    """
    own = control(frame)
    known = dict(zip(numbers(own, "horizon").tolist(), numbers(own, "val_loss"), strict=True))
    wanted = {candidate.number for candidate in candidates}
    best = numbers(frame[frame["number"].isin(wanted)], "val_loss").min()
    found: list[float] = []
    losses = {h: loss for h, loss in known.items() if h <= LONGEST_CONTROL}
    while best < min(losses.values()) and (longer := next_longer(losses)) is not None:
        found.append(longer)
        # Whether one longer still is needed shows once this one has been trained.
        if longer not in known:
            break
        losses[longer] = known[longer]
    return tuple(found)


def ranked(
    frame: pd.DataFrame, target: float | None = None, noise: float = 0.0
) -> tuple[list[Candidate], bool]:
    """Recipes that are no control, best first, and whether any of them may win.

    First comes the search's best, then those on the front by how far their loss lies below the own
    control's at equal time. Recipes that trained less than any control are left out: on a fresh
    seed, too, there would be nothing beside them. So are schedules that never froze a block: they
    are training for less under another name. Where none is left, it is the one recipe that comes
    closest to the control.

    The best tuned and smaller controls take their place where nothing else gains anything, or where
    the search sampled nothing but controls and the recipes that it was given beside gain no more.
    """
    curve, controls = _control_curve(frame), Controls.of(frame)
    best = Bests.of(ahead(finished(frame), controls, target, noise), controls)
    if best.rivals and (best.recipe is None or (best.recipe.not_ahead_of and _tunes(frame))):
        return _by_merit(_rows(each.row for each in best.rivals.values()), curve), True
    recipes = frame[[kind not in RIVALS for kind in control_kinds(frame)]]
    first = [] if best.recipe is None else _by_merit(_rows([best.recipe.row]), curve)
    members = _by_merit(front(recipes), curve)
    if first or members:
        return list(dict.fromkeys([*first, *members])), True
    return _by_merit(finished(recipes), curve)[:1], False


def _tunes(frame: pd.DataFrame) -> bool:
    """Whether all sampled trials are controls, as in the space ``tune``."""
    sampled = frame[frame["origin"] == "sampled"]
    return not sampled.empty and all(kind is not None for kind in control_kinds(sampled))


def _rows(rows: Iterable[pd.Series]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def _by_merit(rows: pd.DataFrame, curve: ControlCurve) -> list[Candidate]:
    schedules = rows[~controls(rows) & ~never_froze(rows)]
    by_number = {outcome.number: outcome for outcome in outcomes_of(schedules)}
    seconds, losses = numbers(schedules, "train_seconds"), numbers(schedules, "val_loss")
    merits = [
        (_lower(curve, s, v), n)
        for s, v, n in zip(seconds, losses, map(int, schedules["number"]), strict=True)
    ]
    order = [
        n
        for lower, n in sorted(merits, key=lambda merit: (-merit[0], merit[1]))
        if lower > -float("inf")
    ]
    chosen = [by_number[n] for n in order]
    return [Candidate(o.number, o.recipe) for o in chosen]


def _control_curve(frame: pd.DataFrame) -> ControlCurve:
    runs = finished(frame)
    own = runs["origin"].isin(["baseline", "control"]).to_numpy(dtype=bool) & controls(runs)
    runs = runs[own & (numbers(runs, "horizon") <= LONGEST_CONTROL)]
    return ControlCurve.fit(
        numbers(runs, "train_seconds").tolist(), numbers(runs, "val_loss").tolist()
    )


def _lower(curve: ControlCurve, seconds: float, loss: float) -> float:
    # The curve itself goes on for 15 % below its shortest run; ``ranked`` says why not here.
    there = None if seconds < curve.shortest else curve.loss_at(seconds)
    return -float("inf") if there is None else there - loss


def choose(
    frame: pd.DataFrame, top: int | None, target: float | None = None, noise: float = 0.0
) -> tuple[tuple[Candidate, ...], str, list[str]]:
    """The ``top`` best schedules (None: as many as there are, up to three), a remark on the choice,
    and the faults that prevent it.
    """
    found, on_front = ranked(frame, target, noise)
    if not found:
        return (
            (),
            "",
            [
                "a verdict needs a finished recipe that froze a block at least once, but the run "
                "has none beside the "
                "control; search further"
            ],
        )
    if top is not None and top > len(found):
        what = (
            f"the front has {len(found)} within the control's time"
            if on_front
            else "the front has none, and the closest one stands in"
        )
        return (
            (),
            "",
            [
                f"--top must be at most the recipes there are ({what}), but got {top}; give "
                f"--top {len(found)}"
            ],
        )
    if not on_front:
        return (
            tuple(found),
            "no recipe is on the front; the one closest to the control is confirmed",
            [],
        )
    wanted = top or DEFAULT_TOP
    short = f"the front has {len(found)} recipes within the control's time, fewer than {wanted}"
    return tuple(found[:wanted]), short if len(found) < wanted else "", []


def control_faults(
    run: object, horizons: Sequence[float], outcomes: Sequence[Outcome], baselines: int
) -> list[str]:
    """Faults of a search that lacks the runs that a confirmation needs."""
    if faults := baseline_faults(run, outcomes, baselines):
        return faults
    go_on = _go_on(run)
    if len(horizons) < MIN_CONTROLS or LONGEST_CONTROL not in horizons:
        return [
            "a verdict needs the control, full_update finished at horizon 1.0 and a shorter one, "
            f"but {run} has "
            f"{list(horizons) or 'none'}; {go_on} with --trials {recorded(outcomes) + 1} or more, "
            "or begin a new one"
        ]
    return []


def recorded(outcomes: Sequence[Outcome]) -> int:
    """The number of trials of the search itself, as ``--trials`` counts them."""
    return sum(outcome.origin not in ASIDE for outcome in outcomes)


def baseline_faults(run: object, outcomes: Sequence[Outcome], baselines: int) -> list[str]:
    """The fault of baselines that have not been asked for yet: a confirmation's run would take such
    a baseline's number, and with it its place.
    """
    count = recorded(outcomes)
    if count >= baselines:
        return []
    return [
        f"a search must have run its {baselines} baselines, but {run} has {count} trials; "
        f"{_go_on(run)}"
    ]


def _go_on(run: object) -> str:
    return f"go on with the search first: {resume_command(run)}"
