"""What a verdict's sentence asks for can be had."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.support.verdicts import confirmed
from tuning.findings.verdict import Against, ControlVerdict, RivalVerdict
from tuning.findings.verdict_words import sentence
from tuning.trial.recipe import SMALLER


@pytest.mark.parametrize(
    ("loss", "asked"),
    [(1.95, True), (0.001, False), (-0.9, True), (-0.999, False), (-3.0, True)],
    ids=["a loss", "a loss near 0", "an accuracy", "an accuracy near 1", "a score beyond 1"],
)
def test_no_loss_is_asked_for_that_cannot_be(loss: float, asked: bool) -> None:
    """A win is short of 0.0024: that much below a loss of 0.001 there is none, nor above 0.999
    among accuracies. What else would win is said either way.
    """
    verdict = confirmed({37: 1.002})
    [schedule] = verdict.candidates
    told = sentence(
        dataclasses.replace(verdict, candidates=(dataclasses.replace(schedule, loss=loss),))
    )
    assert "1.2 % faster" in told
    assert ("0.00241 lower in loss" in told) == asked


def test_what_lies_beyond_all_that_was_seen_is_no_advice() -> None:
    """Over two seeds that disagree by more than all horizons do: more seeds, and nothing else."""
    verdict = confirmed({37: 1.1})
    [schedule] = verdict.candidates
    apart = [
        dataclasses.replace(seen, lower_loss=lower, gain=gain)
        for seen, lower, gain in zip(schedule.per_seed, (0.01, 0.1), (1.05, 4.0), strict=False)
    ]
    two = dataclasses.replace(
        schedule, per_seed=tuple(apart), seeds=2, wins=False, p=0.1, p_corrected=0.1
    )
    found = dataclasses.replace(
        verdict, candidates=(two,), seeds=verdict.seeds[:2], winner=None, sentence=""
    )
    assert sentence(found).endswith("; to win it would have to hold this over 12 seeds.")


def test_a_bound_that_reads_one_is_told_at_equal_time() -> None:
    """Over the own control and over a rival: at least 1.00 reads as no gain, and it is a win."""
    verdict = confirmed({37: 1.2})
    [schedule] = verdict.candidates
    only_better: dict[str, Any] = {
        "gain": 1.001,
        "bound": "at least",
        "interval": (1.0, None),
        "lower_loss": 0.05,
    }
    names = [field.name for field in dataclasses.fields(Against)]
    over = Against(**{name: getattr(schedule, name) for name in names} | only_better)
    won = dataclasses.replace(schedule, **only_better, over={SMALLER: over})
    rivals = {SMALLER: RivalVerdict(5, schedule.recipe, (), over)}
    told = sentence(dataclasses.replace(verdict, candidates=(won,), rivals=rivals))
    assert "1.00" not in told.replace("95 % interval 1.00", "")
    assert "its loss is 0.0500 lower than the control's at equal time" in told
    smaller = "Beside your own recipe with fewer blocks (trial 5) its loss is 0.0500 lower"
    assert f"{smaller} at equal time" in told


def test_what_would_leave_it_behind_is_no_advice() -> None:
    """Of a gain of at most 0.5 nobody wins by a tenth, whatever a rate of the control says."""
    verdict = confirmed({37: 1.002})
    [schedule] = verdict.candidates
    bounded = [dataclasses.replace(seen, bound="at most") for seen in schedule.per_seed]
    slow = dataclasses.replace(schedule, gain=0.5, bound="at most", per_seed=tuple(bounded))
    for control, asked in ((verdict.control, False), (with_rate(verdict.control, 2e-5), True)):
        told = sentence(dataclasses.replace(verdict, candidates=(slow,), control=control))
        assert ("faster" in told or "as fast" in told) == asked


def with_rate(control: ControlVerdict, rate: float) -> ControlVerdict:
    return dataclasses.replace(control, loss_per_percent=rate)
