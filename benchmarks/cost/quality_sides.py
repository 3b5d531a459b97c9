"""The sides of ``benchmarks.cost.quality``: what a person could put together, and ours.

All search the space `recipe` for the least seconds to the same loss, one trial at a time, with the
same training loop on the same cost table: solo seconds are charged, so that nothing depends on what
else runs. The plain sides are told each trial's solo seconds to the target; where it was not
reached, seconds beyond any horizon, the more the higher the loss.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from benchmarks.cost.search_sides import shared_costs, suggest
from models.device import run_device
from models.levers.levers import Levers, divide_knobs, make_levers
from models.registry import find_workload
from models.workload import Workload
from policies.base import Scalar
from policies.registry import make_policy
from search_spaces.base import SearchSpace
from tuning.config.config import SearchConfig
from tuning.config.resources import Machine
from tuning.session.conduct import conduct
from tuning.session.description import describe
from tuning.session.search import fitted_to_device
from tuning.store.store import Store
from tuning.study.samplers import sampler
from tuning.study.samplers.draws import uniform
from tuning.training.calibration.company import undisturbed
from tuning.training.calibration.known import Known
from tuning.training.loop import NonFiniteLossError, TrainingRun
from tuning.training.place import set_threads
from tuning.trial.clock import CostTable, baseline_seconds, charge
from tuning.trial.trial import AGAIN, RUNG, TrialRecord

SPACE = "recipe"
NEVER = 1e6
"""What a trial that diverged is told to be worth: finite, as samplers leave out what is not."""


@dataclass(frozen=True)
class Search:
    """One side's search.

    Attributes:
        side: a key of ``SIDES``.
        trials: rows of its table.
        seed: of the search, and what its trials train on.
        target: the loss of the own recipe on that seed.
        shared: a run directory that holds the cost table.
        folder: an empty directory for whatever the side writes.
    """

    side: str
    workload: str
    trials: int
    seed: int
    target: float
    shared: str
    folder: str

    @cached_property
    def subject(self) -> Workload:
        """What is trained."""
        return find_workload(self.workload, None)

    @cached_property
    def config(self) -> SearchConfig:
        """As ours is asked for, in the space that the workload can have."""
        asked = SearchConfig(
            run=str(Path(self.folder) / "run"),
            workload=self.workload,
            space=SPACE,
            trials=self.trials,
            seed=self.seed,
            target=self.target,
            concurrency=1,
            driver="serial",
            replicates=0.0,
        )
        return fitted_to_device(asked, self.subject)

    @cached_property
    def space(self) -> SearchSpace:
        """What every side searches."""
        return self.config.search_space()

    @property
    def costs(self) -> CostTable:
        """The cost table by which every side trains."""
        return shared_costs(self.shared)


@dataclass(frozen=True)
class Tried:
    """A trial that is over.

    Attributes:
        spent: solo seconds that the device trained for it.
        seconds: solo seconds that a whole training takes; None where it was given up.
        loss: at its end; None likewise.
    """

    spent: float
    policy: str
    horizon: float
    knobs: Mapping[str, Scalar]
    seconds: float | None = None
    loss: float | None = None


NOT_ALONE = "not_alone"
"""In a plain side's folder: forms that it could not time alone, one a line."""


class GivenUpError(Exception):
    """A pruner gave a trial up."""


class Trainer:
    """Trains a plain side's trials, on a clock that learns the forms it meets."""

    def __init__(self, search: Search) -> None:
        self._search, self._costs = search, search.costs
        set_threads(self._costs.threads)
        self.baseline = baseline_seconds(self._costs, search.subject.steps)
        self.tried: list[Tried] = []

    def train(self, params: Mapping[str, Scalar], report: Callable[[int, float], bool]) -> float:
        """Train a point of the space and return what it is worth, the less the better.

        Args:
            params: the point.
            report: told the loss of each evaluation by its place from 1; whether to go on.

        Raises:
            GivenUpError: ``report`` said no.
        """
        policy, horizon, knobs = self._search.space.split(params)
        own, levers = divide_knobs(knobs)
        try:
            self._time(make_levers(levers))
        except Exception as fault:  # whatever a form raises that the model cannot take
            raise GivenUpError from fault
        run = TrainingRun(
            self._search.subject,
            make_policy(policy, own),
            seed=self._search.seed,
            horizon=horizon,
            costs=self._costs,
            device=run_device(),
            levers=make_levers(levers),
        )
        try:
            over = self._advance(run, report)
        except NonFiniteLossError:
            over = False
        spent = charge(self._costs, run.measurements().ledger).train_seconds
        loss = run.curve[-1].val_loss if over else None
        ended = (spent, loss) if over else (None, None)
        self.tried.append(Tried(spent, policy, horizon, knobs, *ended))
        if loss is None:
            raise GivenUpError
        return self._worth(run, loss)

    def _time(self, levers: Levers) -> None:
        """Time the forms that are not known yet, and note those that something disturbed."""
        (costs, refused), signs = undisturbed(partial(self._found, levers))
        for reason in refused.values():
            raise ValueError(reason)
        if signs:
            with (Path(self._search.folder) / NOT_ALONE).open("a") as file:
                file.writelines(f"{form}\n" for form in costs.forms.keys() - self._costs.forms)
        self._costs = costs

    def _found(self, levers: Levers) -> tuple[CostTable, Mapping[str, str]]:
        known = Known(self._search.subject, self._costs)
        refused = known.find(levers)
        return known.costs, refused

    def _advance(self, run: TrainingRun, report: Callable[[int, float], bool]) -> bool:
        seen = 0
        while not run.finished:
            run.advance()
            if len(run.curve) > seen:
                seen = len(run.curve)
                if not run.finished and not report(seen, run.curve[-1].val_loss):
                    return False
        return True

    def _worth(self, run: TrainingRun, loss: float) -> float:
        target = self._search.target
        reached = [point.train_seconds for point in run.curve if point.val_loss <= target]
        return min(reached) if reached else self.baseline * (2 + loss - target)


def evaluations(search: Search) -> int:
    """About how many evaluations a whole training has."""
    return max(1, search.subject.steps // search.subject.eval_every)


def optuna_hyperband(search: Search) -> list[Tried]:
    """Optuna's TPE on time to target, with its Hyperband pruner."""
    import optuna

    trainer = Trainer(search)

    def objective(trial: Any) -> float:
        def report(place: int, loss: float) -> bool:
            trial.report(loss, place)
            return not trial.should_prune()

        try:
            return trainer.train(suggest(search.space, trial), report)
        except GivenUpError:
            raise optuna.TrialPruned from None

    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=search.seed),
        pruner=optuna.pruners.HyperbandPruner(min_resource=1, max_resource=evaluations(search)),
    )
    study.optimize(objective, n_trials=search.trials)
    return trainer.tried


def ray_asha(search: Search) -> list[Tried]:
    """Ray Tune with OptunaSearch on time to target, and ASHA on the loss, as documented."""
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    notes = Path(search.folder).absolute() / "tried.jsonl"
    job = asdict(search)

    def trainable(config: dict[str, Scalar]) -> None:
        own = Search(**job)
        trainer, space = Trainer(own), own.space
        params = space.decide(lambda knob: config[knob.name])

        def report(place: int, loss: float) -> bool:
            _note(notes, params, space, place, trainer)
            tune.report({"loss": loss, "worth": 3 * trainer.baseline + loss})
            return True

        try:
            worth = trainer.train(params, report)
        except GivenUpError:  # without a loss Tune would end them all
            tune.report({"loss": NEVER, "worth": NEVER})
            return
        _write(notes, trainer.tried[-1], params)
        last = trainer.tried[-1].loss
        tune.report({"loss": last, "worth": worth})

    ray.init(address="local", num_cpus=1, include_dashboard=False)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(
                space=drawing_from(search.space),
                metric="worth",
                mode="min",
                seed=search.seed,
            ),
            scheduler=ASHAScheduler(metric="loss", mode="min", max_t=2 * evaluations(search)),
            num_samples=search.trials,
            max_concurrent_trials=1,
        ),
        run_config=tune.RunConfig(storage_path=str(Path(search.folder).absolute())),
    )
    tuner.fit()
    ray.shutdown()
    return _noted(notes)


def drawing_from(space: SearchSpace) -> Callable[[Any], None]:
    """What OptunaSearch draws a trial with; Ray pickles it after every one."""
    return partial(_drawn, space)


def _drawn(space: SearchSpace, trial: Any) -> None:
    suggest(space, trial)


def _note(
    notes: Path, params: Mapping[str, Scalar], space: SearchSpace, place: int, trainer: Trainer
) -> None:
    """Note how far a trial has come, as ASHA may end its process without a word.

    A whole training's evaluations are equally far apart, so ``place`` tells the share of the
    horizon.
    """
    policy, horizon, knobs = space.split(params)
    done = min(1.0, place / max(1, evaluations(trainer._search) * horizon))
    tried = Tried(done * horizon * trainer.baseline, policy, horizon, knobs)
    _write(notes, tried, params)


def _write(notes: Path, tried: Tried, params: Mapping[str, Scalar]) -> None:
    line = json.dumps({"trial": json.dumps(params, sort_keys=True), **asdict(tried)})
    with notes.open("a") as file:
        file.write(line + "\n")


def _noted(notes: Path) -> list[Tried]:
    """The last that is known of each trial, in the order in which they began."""
    found: dict[str, Tried] = {}
    for line in notes.read_text().splitlines():
        about = json.loads(line)
        trial = about.pop("trial")
        found[trial] = Tried(**about)
    return list(found.values())


def random_search(search: Search) -> list[Tried]:
    """Uniform draws, each trained to its end."""
    trainer = Trainer(search)
    for number in range(search.trials):
        try:
            trainer.train(uniform(search.space, search.seed, number), lambda place, loss: True)
        except GivenUpError:
            continue
    return trainer.tried


def ours(search: Search, **changed: Any) -> list[Tried]:
    """The search of this project, told the cost table and the target."""
    config = replace(search.config, **changed)
    resources = config.resources(Machine.here())
    store = Store.create(Path(config.run), describe(config, search.subject, resources))
    store.update_info(calibration=search.costs, device=search.costs.device)
    conduct(store, config, search.subject, resources, None)
    records = [*store.references().values(), *store.records()]
    return [_tried(record) for record in sorted(records, key=lambda record: record.finished_at)]


def _tried(record: TrialRecord) -> Tried:
    """What a forked trial shares with its trunk was trained once."""
    shared = (record.forked_from_step or 0) / (record.steps or 1)
    spent = (record.train_seconds or 0.0) * (1 - shared)
    recipe = record.recipe
    whole = record.state == "finished" and record.origin not in (*AGAIN, RUNG)
    ended = (record.train_seconds, record.val_loss) if whole else (None, None)
    return Tried(spent, recipe.policy, recipe.horizon, recipe.knobs, *ended)


def without_suggestions(search: Search, **changed: Any) -> list[Tried]:
    """Ours, told nothing of what came first elsewhere: the note's presets come instead."""
    return ours(search, space=f"{Path(__file__).with_name('unsuggested.py')}:SPACE", **changed)


def nothing_near(search: Search) -> list[Tried]:
    """Ours, with no proposal near the recipes that lead; a side has a process of its own."""
    setattr(sampler, "leaders", lambda *known: [])  # noqa: B010 - a function of that module's
    return ours(search)


SIDES: Mapping[str, Callable[[Search], list[Tried]]] = {
    "Optuna TPE, Hyperband": optuna_hyperband,
    "Ray Tune, ASHA": ray_asha,
    "random": random_search,
    "ours": ours,
    "ours, no suggestions": without_suggestions,
    "ours, nothing near": nothing_near,
    "ours, rungs": lambda search: ours(search, rung=0.25),
    "ours, rungs, no suggestions": lambda search: without_suggestions(search, rung=0.25),
    "ours, no stopping": lambda search: ours(search, stop_confidence=None),
    "ours, random sampler": lambda search: ours(search, sampler="random"),
}
"""By name; the parts of ours are switched on or off."""


def spent_by(tried: Sequence[Tried]) -> Iterator[tuple[float, Tried]]:
    """Each trial with the solo seconds spent until it was over."""
    total = 0.0
    for each in tried:
        total += each.spent
        yield total, each


def sound(tried: Tried) -> bool:
    """Whether it was trained to its end."""
    return tried.loss is not None and tried.seconds is not None and math.isfinite(tried.loss)
