"""Which trials a model sees: points of the space, the best and the newest of them."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.registry import find_space
from tests.support.outcomes import history, outcome_for, outcomes, sampled
from tuning.study.samplers.known import points, remembered, within
from tuning.study.samplers.values import counts
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import TrialSpec

SPACE = find_space("static_suffix")


@given(
    found=outcomes(),
    cap=st.integers(1, 8),
    objective=st.sampled_from(["pareto", "time-to-quality"]),
)
def test_the_cap_holds_and_the_order_stays(found: list[Outcome], cap: int, objective: str) -> None:
    """Property: at most ``cap``, by number, all of them where they fit."""
    kept = within(found, objective, cap)
    assert len(kept) == min(cap, len(found))
    assert [o.number for o in kept] == sorted(o.number for o in kept)


def test_the_front_and_the_newest_are_kept() -> None:
    """Compares with the front by its definition, over trials of which the first are the best."""
    found = history(SPACE, 300)
    front = [o for o in found if not any(_dominates(p, o) for p in found)]
    kept = {o.number for o in within(found, "pareto", 100)}
    assert {o.number for o in front} <= kept
    assert {o.number for o in found[-50:]} <= kept


def _dominates(a: Outcome, b: Outcome) -> bool:
    assert a.train_seconds is not None and a.val_loss is not None  # noqa: PT018 - for the type checker
    assert b.train_seconds is not None and b.val_loss is not None  # noqa: PT018
    no_worse = a.train_seconds <= b.train_seconds and a.val_loss <= b.val_loss
    return no_worse and (a.train_seconds, a.val_loss) != (b.train_seconds, b.val_loss)


def test_the_soonest_to_the_target_are_kept() -> None:
    """The ten least times to quality are among 40 kept of 300."""
    found = history(SPACE, 300)
    times = sorted(
        (o.seconds_to_quality, o.number) for o in found if o.seconds_to_quality is not None
    )
    assert {number for _, number in times[:10]} <= {
        o.number for o in within(found, "time-to-quality", 40)
    }


@pytest.mark.parametrize("objective", ["pareto", "time-to-quality"])
def test_only_points_of_the_space_are_seen(objective: str) -> None:
    """The control, a fraction out of range and a replicate are left out.

    A trial in flight has no values.
    """
    good = [outcome_for(sampled(SPACE, number)) for number in range(4)]
    control = outcome_for(TrialSpec(4, "control", "w", Recipe("full_update", 0.5), 0))
    outside = outcome_for(
        TrialSpec(5, "sampled", "w", Recipe("static_suffix", 0.5, {"active_fraction": 0.01}), 0)
    )
    replicate = dataclasses.replace(good[0], number=6, origin="replicate")
    running = sampled(SPACE, 7)
    seen = points(
        remembered(SPACE), objective, [*good, control, outside, replicate], [running], cap=100
    )
    assert [(p.number, p.values is None) for p in seen] == [
        (0, False),
        (1, False),
        (2, False),
        (3, False),
        (7, True),
    ]


def test_a_preset_is_seen_with_what_its_policy_defaults_to() -> None:
    """A trial that gives no knob at all stands for the policy's defaults."""
    plain = outcome_for(TrialSpec(0, "enqueued", "w", Recipe("static_suffix"), 0))
    assert counts(plain)
    (seen,) = points(remembered(SPACE), "pareto", [plain], [], cap=10)
    assert seen.params == {"horizon": 1.0, "active_fraction": 0.5}
