"""The training loop: horizons are spent exactly, stop and resume anywhere equals the straight run,
faults are named.
"""

from __future__ import annotations

import functools
import io
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.levers.levers import make_levers
from models.workload import Workload
from policies.registry import make_policy
from tests.support import tiny
from tests.support.costs import made_up_costs, with_every_form
from tuning.training.loop import NonFiniteLossError, TrainingRun
from tuning.trial.clock import baseline_seconds, charge
from tuning.trial.record import Measurements

CPU = torch.device("cpu")
DYNAMIC: dict[str, Any] = {
    "freeze_start": 0.2,
    "probe_every": 3,
    "recovery": 0.2,
    "threshold": 0.5,
    "gate": False,
}


def new_run(
    policy: str = "full_update",
    *,
    horizon: float = 1.0,
    workload: Workload | None = None,
    **knobs: Any,
) -> TrainingRun:
    workload = workload or tiny.tiny()
    return TrainingRun(
        workload,
        make_policy(policy, knobs),
        seed=3,
        horizon=horizon,
        costs=made_up_costs(),
        device=CPU,
    )


def finish(run: TrainingRun) -> Measurements:
    while not run.finished:
        run.advance()
    return run.measurements()


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """What a real file gives back, read without pickles."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def same_weights(one: TrainingRun, other: TrainingRun) -> bool:
    """Whether both models have the same parameters by name, to the last bit."""
    mine, its = one.model.state_dict(), other.model.state_dict()
    return mine.keys() == its.keys() and all(torch.equal(mine[name], its[name]) for name in mine)


def test_full_update_takes_exactly_the_baseline_steps() -> None:
    """At horizon 1.0 the steps are the workload's, the seconds the baseline's, and the last step is
    evaluated.
    """
    workload = tiny.tiny()
    measured = finish(new_run(workload=workload))
    assert measured.ledger.steps == workload.steps
    assert charge(made_up_costs(), measured.ledger).train_seconds == baseline_seconds(
        made_up_costs(), workload.steps
    )
    assert measured.curve[-1].step == workload.steps


@settings(deadline=None, max_examples=8)
@given(st.floats(0.1, 1.5))
def test_no_horizon_is_overspent_by_more_than_a_step(horizon: float) -> None:
    """Property: a run ends at the first step at which its horizon is spent."""
    costs = made_up_costs()
    measured = finish(new_run("static_suffix", horizon=horizon, active_fraction=0.5))
    spent = charge(costs, measured.ledger).train_seconds
    budget = horizon * baseline_seconds(costs, tiny.tiny().steps)
    assert (
        budget * (1 - 1e-8)
        <= spent
        <= budget + costs.step_cost(4) + costs.data_seconds + costs.probe_seconds
    )


def test_a_lighter_policy_takes_more_steps_in_the_same_time() -> None:
    """Equal time: half of the blocks active costs two thirds of a step, so more than 1.4 times the
    steps.
    """
    light = finish(new_run("static_suffix", active_fraction=0.5)).ledger
    assert light.steps > 1.4 * tiny.tiny().steps
    assert set(light.steps_at_depth) == {2}


@settings(deadline=None, max_examples=5)
@given(
    stop=st.integers(0, 22),
    policy=st.sampled_from(["full_update", "static_suffix", "dynamic_suffix"]),
)
def test_stopped_and_resumed_equals_straight(stop: int, policy: str) -> None:
    """Property: saved through a real ``weights_only`` file at any step and loaded into a new run,
    every bit agrees.
    """
    knobs: dict[str, Any] = DYNAMIC if policy == "dynamic_suffix" else {}
    straight = new_run(policy, **knobs)
    expected = finish(straight)
    first = new_run(policy, **knobs)
    for _ in range(stop):
        if not first.finished:
            first.advance()
    second = new_run(policy, **knobs)
    second.load_state_dict(through_a_file(first.state_dict()))
    assert finish(second) == expected
    assert same_weights(straight, second)


LEVERS: dict[str, dict[str, Any]] = {
    "from the start": {"approximation": "svd", "approximation_share": 0.5, "dense_from": 0.6},
    "for a while, recovering": {
        "approximation": "monarch",
        "approximation_start": 0.3,
        "recovery_steps": 3,
    },
    "fitted to data": {
        "approximation": "data_aware",
        "approximation_start": 0.2,
        "dense_from": 0.7,
    },
    "muon": {"optimizer": "muon", "rate": 2.0, "newton_schulz_steps": 3},
    "muon through approximated matrices": {
        "optimizer": "muon",
        "approximation": "svd",
        "dense_from": 0.6,
    },
    "adamw with other rates": {"optimizer": "adamw", "rate_head": 0.3, "warmup_factor": 0.5},
    "own with other rates": {"rate_embeddings": 3.0, "beta2_memory": 2.0, "decay_added": 0.6},
    "fewer units": {"approximation": "hidden_units", "approximation_start": 0.4, "dense_from": 0.8},
    "other numbers": {
        "dtype": "bfloat16",
        "approximation": "low_rank_diagonal",
        "approximation_start": 0.4,
    },
}


STEPWISE: dict[str, dict[str, Any]] = {
    "small batches, then large": {"batch_start": 0.25, "batch_end": 1.5, "batch_ramp": True},
    "growing": {"depth_start": 0.25, "growth_at": 0.6, "growth_steps": 2},
    "growing as identity, averaged": {
        "depth_start": 0.5,
        "new_blocks": "identity",
        "averaging": "ema",
        "averaging_window": 0.1,
    },
    "fewer blocks": {"depth_start": 0.5, "depth_end": 0.5},
    "layer dropout": {"layer_dropout": 0.5, "layer_dropout_until": 0.8},
    "kept prefix": {"prefix": 0.5, "prefix_until": 0.7, "prefix_rate": 1.5},
    "kept prefix, halved": {"prefix": 0.25, "prefix_dtype": "bfloat16", "batch_start": 0.5},
    "kept prefix, muon": {"prefix": 0.75, "optimizer": "muon", "averaging": "last"},
    "small inputs": {"input_start": 0.5, "input_whole_from": 0.4},
    "growing with muon on half batches": {
        "depth_start": 0.25,
        "optimizer": "muon",
        "batch_start": 0.5,
        "averaging": "last",
        "averaging_window": 0.3,
    },
}
"""Levers whose forms follow from each step, beside those of ``LEVERS``."""


def levered(name: str, policy: str = "dynamic_suffix") -> TrainingRun:
    """A run of a schedule that freezes, with the levers of that name."""
    return run_with({**LEVERS, **STEPWISE}[name] | {"placement": "mlp"}, policy)


def run_with(knobs: dict[str, Any], policy: str) -> TrainingRun:
    """A run under the policy, with the levers that the knobs describe."""
    return TrainingRun(
        tiny.again(),
        make_policy(policy, DYNAMIC if policy == "dynamic_suffix" else {}),
        seed=3,
        horizon=1.0,
        costs=with_every_form(made_up_costs()),
        device=CPU,
        levers=make_levers(knobs),
    )


IDLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "off": ({}, {"averaging_window": 0.3, "growth_at": 0.2, "input_whole_from": 0.1}),
    "batches of one size": (
        {"batch_start": 2.0, "batch_end": 2.0},
        {"batch_change_at": 0.2, "batch_ramp": True},
    ),
    "a ramp of one stage": ({"batch_start": 0.5, "batch_end": 1.0}, {"batch_ramp": True}),
    "fewer blocks": (
        {"depth_start": 0.5, "depth_end": 0.5},
        {"growth_at": 0.2, "growth_steps": 3, "new_blocks": "identity"},
    ),
    "growing by one block": ({"depth_start": 0.5, "depth_end": 0.75}, {"growth_steps": 3}),
    "no dropout": ({"depth_start": 0.5}, {"layer_dropout_until": 0.2}),
    "moving average": ({"averaging": "ema"}, {"averaging_count": 3}),
    "own optimizer": ({"rate": 2.0}, {"muon_momentum": 0.5, "newton_schulz_steps": 3}),
    "adamw": ({"optimizer": "adamw"}, {"muon_momentum": 0.5}),
}
"""Settings of levers, and such as change nothing beside them, by what is the matter."""


@pytest.mark.parametrize("name", IDLE)
def test_what_changes_nothing_is_settled(name: str) -> None:
    """Real runs on the CPU: with settings that are told to change nothing and without them the
    weights are the same to the bit, and so is what is charged; settled, both are the same.
    """
    own, idle = IDLE[name]
    assert make_levers(own) != make_levers(own | idle)
    assert make_levers(own).settled(4) == make_levers(own | idle).settled(4)
    runs = [run_with(knobs, "full_update") for knobs in (own, own | idle)]
    first, second = (finish(run) for run in runs)
    assert same_weights(*runs)
    assert first.ledger == second.ledger
    assert first.curve == second.curve


@pytest.mark.parametrize("name", LEVERS)
def test_levered_runs_change_form_and_learn(name: str) -> None:
    """Real runs train on the CPU.

    Every form is charged, entered as often as it began, and the loss still falls.
    """
    run = levered(name)
    measured = finish(run)
    levers = make_levers(LEVERS[name])
    assert set(measured.ledger.forms) == {form.key for form in levers.forms(4)}
    assert all(part.entries == 1 for part in measured.ledger.forms.values())
    assert measured.curve[-1].val_loss < measured.curve[0].val_loss
    charged = charge(with_every_form(made_up_costs()), measured.ledger).train_seconds
    assert charged >= baseline_seconds(made_up_costs(), tiny.tiny().steps) * (1 - 1e-8)


@pytest.mark.parametrize("policy", ["full_update", "dynamic_suffix"])
@pytest.mark.parametrize("name", STEPWISE)
def test_what_a_run_is_charged_for_was_named_before(name: str, policy: str) -> None:
    """Real runs on the CPU: every form and event of the ledger is one of the levers' charges."""
    measured = finish(levered(name, policy))
    charges = set(make_levers(STEPWISE[name]).charges(4))
    assert set(measured.ledger.forms) <= charges
    assert measured.ledger.forms
    assert measured.curve[-1].val_loss < measured.curve[0].val_loss


def test_a_kept_prefix_is_run_once_an_example() -> None:
    """Five steps fill it, and all steps up to its end are served; then all blocks train."""
    measured = finish(levered("kept prefix", "full_update"))
    steps = {key: part.steps_at_depth for key, part in measured.ledger.forms.items()}
    served = steps["cached 2"]
    assert measured.ledger.forms["keeping after 2 blocks"].entries == tiny.EPOCH
    assert measured.ledger.steps_at_depth[2] == tiny.EPOCH
    assert set(served) == {2}
    assert measured.ledger.steps_at_depth[4] > 0


def test_growth_and_averaging_are_charged_each_time() -> None:
    """Three blocks come in; every step in the last tenth of five windows is averaged."""
    forms = finish(levered("growing", "full_update")).ledger.forms
    assert forms["growing by a block"].entries == 3
    averaged = finish(levered("growing as identity, averaged", "full_update")).ledger
    steps_after_growth = averaged.steps_at_depth[4]
    assert 0 < averaged.forms["averaging"].entries <= averaged.steps
    assert averaged.forms["averaging"].entries >= steps_after_growth


def test_each_example_is_used_once_whatever_the_batch() -> None:
    """Batches cut to a quarter and joined: what the steps saw is the workload's stream."""
    seen: list[torch.Tensor] = []
    workload = tiny.again()

    def loss(model: torch.nn.Module, batch: tiny.Pair) -> torch.Tensor:
        if model.training and torch.is_grad_enabled():
            seen.append(batch[0])
        return tiny.loss(model, batch)

    run = TrainingRun(
        replace(workload, loss=loss),
        make_policy("full_update", {}),
        seed=3,
        horizon=1.0,
        costs=with_every_form(made_up_costs()),
        device=CPU,
        levers=make_levers({"batch_start": 0.25, "batch_end": 1.5, "batch_ramp": True}),
    )
    seen.clear()
    finish(run)
    examples = torch.cat(seen)
    stream = torch.cat([tiny.again_at(3, step)[0] for step in range(40)])
    assert {len(batch) for batch in seen} == {8, 16, 32, 48}
    assert torch.equal(examples, stream[: len(examples)])


@functools.cache
def straight_with(name: str) -> tuple[TrainingRun, Any]:
    """A run of these levers that was never stopped, and what it ended with."""
    run = levered(name)
    return run, finish(run)


@settings(deadline=None, max_examples=10)
@given(stop=st.integers(0, 30), name=st.sampled_from(sorted({**LEVERS, **STEPWISE})))
def test_stopped_and_resumed_equals_straight_with_levers(stop: int, name: str) -> None:
    """Property: saved at any step, whatever form the model then has, and loaded into a new run,
    every bit agrees.
    """
    straight, expected = straight_with(name)
    first, second = levered(name), levered(name)
    while not first.finished and first.steps < stop:
        first.advance()
    second.load_state_dict(through_a_file(first.state_dict()))
    assert finish(second) == expected
    assert same_weights(straight, second)


def test_a_form_the_model_cannot_take_is_refused() -> None:
    """The workload has no attention: the message says what its blocks have."""
    run = TrainingRun(
        tiny.tiny(),
        make_policy("full_update", {}),
        seed=3,
        horizon=1.0,
        costs=with_every_form(made_up_costs()),
        device=CPU,
        levers=make_levers({"approximation": "svd", "placement": "attention"}),
    )
    with pytest.raises(
        ValueError, match="placement 'attention' must match a linear layer of a block"
    ):
        run.advance()


def test_decisions_are_noted_when_they_change() -> None:
    """A dynamic run's decisions begin in the full phase, reach the reduced one and end in
    recovery.
    """
    measured = finish(new_run("dynamic_suffix", **DYNAMIC))
    phases = [decision.phase for decision in measured.decisions]
    assert (phases[0], phases[-1]) == ("full", "recovery")
    assert "reduced" in phases
    assert measured.ledger.probes > 0
    steps = [decision.step for decision in measured.decisions]
    assert steps == sorted(set(steps))


def test_a_loss_that_is_not_finite_names_its_step() -> None:
    """The faulty workload's loss is NaN from a known step on; the error says which."""
    run = new_run(workload=tiny.nan_loss())
    with pytest.raises(NonFiniteLossError, match=f"nan at step {tiny.FAULT_STEP}"):
        finish(run)
    assert run.steps == tiny.FAULT_STEP
