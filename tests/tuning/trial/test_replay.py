"""Forking: a trial that starts from the trunk has, bit for bit, the record it would have had from
its first step.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.levers.approximation import Approximation
from models.levers.computing import Computing
from models.levers.levers import NO_LEVERS, Levers, divide_knobs, make_levers
from models.levers.planning import planned
from models.workload import Workload
from policies.base import UpdatePolicy
from policies.registry import make_policy
from policies.rules import Scalar
from search_spaces.registry import all_spaces
from tests.support import tiny
from tests.support.costs import made_up_costs, with_every_form
from tuning.training.checkpoint import load_checkpoint
from tuning.training.loop import TrainingRun, timetable
from tuning.training.trunk import (
    Sharing,
    TrunkRecorder,
    best_count,
    load_trunk,
    snapshot_file,
    snapshot_steps,
)
from tuning.trial.course import Timetable
from tuning.trial.record import Measurements
from tuning.trial.replay import Trunk, replay

COSTS = with_every_form(made_up_costs())
SEED = 3
EVERYWHERE: dict[str, Scalar] = {**Computing().off(), "placement": "mlp"}
"""Settings that every machine has and the workload has matrices for."""
LATE: tuple[dict[str, Scalar], ...] = (
    {},
    {"batch_end": 0.5, "batch_change_at": 0.6},
    {"averaging": "last", "averaging_window": 0.4},
    {"input_start": 1.0, "layer_dropout": 0.3},
)
WORKLOAD: Workload = replace(tiny.again(), steps=40, metrics=tiny.METRICS)


def run_of(
    policy: UpdatePolicy[Any],
    horizon: float,
    recorder: TrunkRecorder | None = None,
    levers: Levers = NO_LEVERS,
) -> TrainingRun:
    device = torch.device("cpu")
    return TrainingRun(
        WORKLOAD,
        policy,
        seed=SEED,
        horizon=horizon,
        costs=COSTS,
        device=device,
        levers=levers,
        recorder=recorder,
    )


def finish(run: TrainingRun) -> tuple[Measurements, list[torch.Tensor]]:
    while not run.finished:
        run.advance()
    return run.measurements(), [value.clone() for value in run.model.state_dict().values()]


@pytest.fixture(scope="module")
def trunk_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real trunk with a snapshot every few steps, stopped and resumed once while it was
    recorded.
    """
    folder = tmp_path_factory.mktemp("trunk") / "seed-3"
    folder.mkdir()
    sharing = Sharing(seconds=1e6, seeds=1)
    first = run_of(
        make_policy("full_update", {}), 1.0, TrunkRecorder(folder, timetable(WORKLOAD), sharing)
    )
    for _ in range(17):
        first.advance()
    recorder = TrunkRecorder(folder, timetable(WORKLOAD), sharing)
    second = run_of(make_policy("full_update", {}), 1.0, recorder)
    second.load_state_dict(first.state_dict())
    measured, _ = finish(second)
    recorder.finish(measured)
    return folder


@st.composite
def trials(draw: st.DrawFn) -> tuple[UpdatePolicy[Any], float, Levers]:
    """Any point of any embedded space that has forms every machine can take and ``tiny`` has
    matrices for, some with levers that set in late.
    """
    space = draw(st.sampled_from(sorted(all_spaces().values(), key=lambda s: s.name)))
    point = [draw(st.floats(0, 1)) for _ in space.searched]
    policy, horizon, knobs = space.split({**space.at(point), **EVERYWHERE})
    late = draw(st.sampled_from(LATE))
    if "layer_dropout" in late and "prefix" in knobs:
        late = {}  # they rule each other out
    levers = possible(make_levers({**knobs, **late}))
    return make_policy(policy, divide_knobs(knobs)[0]), horizon, levers


def possible(levers: Levers) -> Levers:
    """2:4 sparsity needs a GPU of some kind; truncation stands in where it was drawn."""
    lever = levers.of(Approximation)
    return levers.having(replace(lever, approximation="svd")) if lever.share == 0.5 else levers


@settings(deadline=None, max_examples=12)
@given(trials())
def test_forked_equals_unforked(
    trunk_folder: Path, trial: tuple[UpdatePolicy[Any], float, Levers]
) -> None:
    """Property: with random policies, levers, knobs and horizons replay is training to the last
    bit.

    Measurements and weights are compared.
    """
    policy, horizon, levers = trial
    trunk = load_trunk(trunk_folder)
    assert trunk is not None
    standing = replay(
        planned(policy, levers, 4, SEED), trunk, timetable(WORKLOAD), COSTS, horizon, levers
    )
    if standing is None:
        return
    forked = run_of(policy, horizon, levers=levers)
    snapshot = (
        None if standing.finished else load_checkpoint(snapshot_file(trunk_folder, standing.step))
    )
    forked.fork(standing, snapshot)
    expected, weights = finish(run_of(policy, horizon, levers=levers))
    measured, forked_weights = finish(forked)
    assert measured == expected
    if (
        not standing.finished
    ):  # a run that never departed has the trunk's measurements, and needs no weights
        assert all(torch.equal(a, b) for a, b in zip(weights, forked_weights, strict=True))


@pytest.mark.parametrize("horizon", [0.5, 0.625, 0.75, 0.875])
def test_control_departs_where_its_decay_begins(trunk_folder: Path, horizon: float) -> None:
    """By hand: the constant part is shared, so a control of horizon h departs once 0.8·h of the
    steps are taken.
    """
    trunk = load_trunk(trunk_folder)
    assert trunk is not None
    every_step = Trunk(
        trunk.losses, trunk.relevance, trunk.evaluations, snapshots=range(WORKLOAD.steps)
    )
    standing = replay(
        make_policy("full_update", {}), every_step, timetable(WORKLOAD), COSTS, horizon
    )
    assert standing is not None
    decay_begins = (1 - WORKLOAD.decay_fraction) * horizon * WORKLOAD.steps
    assert decay_begins <= standing.step <= decay_begins + 1


def test_the_baseline_never_departs(trunk_folder: Path) -> None:
    """Full update at horizon 1.0 is the trunk.

    Its replay ends finished, with the trunk's own last evaluation.
    """
    trunk = load_trunk(trunk_folder)
    assert trunk is not None
    standing = replay(make_policy("full_update", {}), trunk, timetable(WORKLOAD), COSTS, 1.0)
    assert standing is not None
    assert standing.finished
    assert standing.step == WORKLOAD.steps


def test_a_static_suffix_departs_at_once(trunk_folder: Path) -> None:
    """The trial freezes from the first step.

    The only snapshot it can start from is the one before any step.
    """
    trunk = load_trunk(trunk_folder)
    assert trunk is not None
    standing = replay(make_policy("static_suffix", {}), trunk, timetable(WORKLOAD), COSTS, 1.0)
    assert standing is not None
    assert standing.step == 0


def test_an_unfinished_trunk_is_none() -> None:
    """Until it is complete nothing can be replayed over it."""
    with tempfile.TemporaryDirectory() as folder:
        recorder = TrunkRecorder(Path(folder), timetable(WORKLOAD), Sharing(1.0, 1))
        run_of(make_policy("full_update", {}), 1.0, recorder).advance()
        assert load_trunk(Path(folder)) is None


@given(st.integers(1, 500), st.integers(1, 100), st.floats(0, 1))
def test_snapshots_lie_before_the_decay(steps: int, count: int, decay: float) -> None:
    """Property: ascending steps from 0 to at most the start of the decay, no more than asked for
    (or two).
    """
    found = snapshot_steps(Timetable(steps, 10, 0, decay), count)
    assert found[0] == 0
    assert list(found) == sorted(set(found))
    assert found[-1] <= steps * (1 - decay)
    assert len(found) <= max(2, count)


def test_number_of_snapshots_follows_from_their_cost() -> None:
    """By hand: sqrt(64·12 / (2·0.03)) = 113, of which 24 are allowed; sqrt(64·0.4 / (2·0.2)) = 8.

    In the third case the disk limits it to two.
    """
    assert best_count(Sharing(12.0, 5), 4 * 10**6) == 24
    assert best_count(Sharing(0.4, 5), 38 * 10**6) == 8
    assert best_count(Sharing(12.0, 5), 2**30) == 2
