"""What the studies of one knob train: settings of TOML files, values to compare, the control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from policies.base import Scalar
from policies.registry import make_policy
from policies.settings import knobs_of
from search_spaces.base import HORIZON
from search_spaces.knobs import Fixed
from tuning.config.arguments import NewSearch, parse
from tuning.config.config import SearchConfig
from tuning.config.faults import faults_of_space
from tuning.errors import BadInput
from tuning.session.search import all_faults
from tuning.trial.recipe import CONTROL_POLICY, Recipe
from tuning.trial.trial import Origin, TrialSpec

FOLDER = Path(__file__).parent
POLICY = "dynamic_suffix"
CONTROL_HORIZONS = (0.35, 0.5, 0.75, 1.0)
FIRST_SEED = 1000
"""Above those of a search, which chooses among values, so that what is compared has not been chosen
on them.
"""

Knobs = Mapping[str, Scalar]


@dataclass(frozen=True)
class Study:
    """One question of the research note's list.

    Attributes:
        name: of its TOML file in ``FOLDER``, which fixes every knob but ``knobs``.
        knobs: those under study.
        values: what is compared on fresh seeds, a value for each of ``knobs`` in their order; the
            first is the base that all studies share.
    """

    name: str
    knobs: tuple[str, ...]
    values: tuple[tuple[Scalar, ...], ...]

    @property
    def toml(self) -> Path:
        """Its ``--config`` for ``tuning.search``."""
        return FOLDER / f"{self.name}.toml"

    def settings(self, value: Sequence[Scalar]) -> dict[str, Scalar]:
        """All of the policy's settings at ``value``, defaults included.

        Raises:
            ValueError: they break a rule of the policy.
        """
        return knobs_of(
            make_policy(
                POLICY, {**fixed_knobs(self.toml), **dict(zip(self.knobs, value, strict=True))}
            )
        )

    def config(self, run: str | Path, *flags: str) -> SearchConfig:
        """The search that the TOML file describes, in directory ``run``; ``flags`` win.

        Raises:
            BadInput: it has faults; all are named.
        """
        request = parse(["--config", str(self.toml), "--run", str(run), *flags])
        assert isinstance(request, NewSearch), "neither --resume nor --help-space was given"
        if faults := [*request.faults, *all_faults(request.config)]:
            raise BadInput(faults)
        return request.config


STUDIES: Mapping[str, Study] = {
    study.name: study
    for study in (
        Study(
            "relevance",
            ("relevance", "threshold"),
            (("ratio", 0.35), ("saliency", 0.35), ("ratio", 0.25), ("saliency", 0.25)),
        ),
        Study("levels", ("levels",), ((4,), (1,), (8,))),
        Study(
            "cadence",
            ("probe_every", "moments_on_thaw"),
            ((25, "keep"), (5, "keep"), (10, "keep"), (100, "keep"), (5, "reset")),
        ),
        Study("recovery", ("recovery",), ((0.1,), (0.0,), (0.2,), (0.4,))),
    )
}


@dataclass(frozen=True)
class Job:
    """One run to train: a recipe on a seed."""

    workload: str
    recipe: Recipe
    seed: int

    def spec(self) -> TrialSpec:
        """What a worker is told to train; the number stands for none yet."""
        origin: Origin = "control" if self.recipe.is_control else "enqueued"
        return TrialSpec(0, origin, self.workload, self.recipe, self.seed)


@lru_cache
def fixed_knobs(toml: Path) -> Mapping[str, Scalar]:
    """The knobs that the search of a TOML file holds fixed, the horizon aside.

    Raises:
        BadInput: the file has faults; all are named.
    """
    request = parse(["--config", str(toml)])
    assert isinstance(request, NewSearch), "neither --resume nor --help-space was given"
    if faults := [*request.faults, *faults_of_space(request.config)]:
        raise BadInput(faults)
    space = request.config.search_space()
    return {k.name: k.value for k in space.knobs if isinstance(k, Fixed) and k.name != HORIZON}


def control_job(workload: str, horizon: float, seed: int) -> Job:
    """full_update at a horizon."""
    return Job(workload, Recipe(CONTROL_POLICY, horizon), seed)


def value_job(study: Study, value: Sequence[Scalar], workload: str, seed: int) -> Job:
    """The study's schedule at ``value`` for the whole horizon."""
    return Job(workload, Recipe(POLICY, 1.0, study.settings(value)), seed)


def jobs_of(studies: Sequence[Study], workload: str, seeds: Sequence[int]) -> list[Job]:
    """Every run of the studies, seed by seed; what several of them have in common is there once."""
    found: dict[Job, None] = {}
    for seed in seeds:
        control = [control_job(workload, horizon, seed) for horizon in CONTROL_HORIZONS]
        values = [
            value_job(study, value, workload, seed) for study in studies for value in study.values
        ]
        found |= dict.fromkeys([*control, *values])
    return list(found)
