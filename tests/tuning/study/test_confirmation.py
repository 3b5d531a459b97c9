"""Which schedules of a search are confirmed."""

from __future__ import annotations

from typing import Any

import pandas as pd

from search_spaces.registry import find_space
from tests.support.frames import frame_of, record
from tests.support.outcomes import history
from tuning.findings.verdict import Candidate
from tuning.study.confirmation import choose, control_faults, priced, ranked
from tuning.trial.recipe import Recipe
from tuning.trial.trial import TrialRecord


def beside_control(*others: TrialRecord) -> pd.DataFrame:
    """Control runs of 6, 8 and 10 s at losses 2.0, 1.9 and 1.8, and other trials."""
    full: dict[str, Any] = {"policy": "full_update", "origin": "control"}
    runs = [(6, 2.0, 0.6), (8, 1.9, 0.8), (10, 1.8, 1.0)]
    return frame_of(
        [*(record(i, s, y, horizon=h, **full) for i, (s, y, h) in enumerate(runs)), *others]
    )


def test_a_schedule_that_never_froze_a_block_is_no_candidate() -> None:
    """On the front, and ahead of the one that froze; off it, where the closest stands in."""
    idle = record(3, 7, 1.85, mean_active_fraction=1.0)
    found, on_front = ranked(beside_control(idle, record(4, 7.5, 1.84, mean_active_fraction=0.8)))
    assert ([candidate.number for candidate in found], on_front) == ([4], True)
    found, on_front = ranked(beside_control(idle, record(4, 8, 1.95, mean_active_fraction=0.8)))
    assert ([candidate.number for candidate in found], on_front) == ([4], False)


def test_a_run_whose_schedules_all_never_froze_says_so() -> None:
    """No candidate, one message that says what is missing."""
    found, _, faults = choose(beside_control(record(3, 7, 1.85, mean_active_fraction=1.0)), None)
    assert not found
    assert len(faults) == 1
    assert "froze a block" in faults[0]


def test_a_front_whose_schedules_trained_too_little_falls_back_to_the_others() -> None:
    """The only schedule on the front that froze is shorter than every control.

    The best of the rest is taken.
    """
    short = record(3, 5.9, 2.01, mean_active_fraction=0.5)
    found, on_front = ranked(beside_control(short, record(4, 9, 1.9, mean_active_fraction=0.5)))
    assert ([candidate.number for candidate in found], on_front) == ([4], False)


def test_in_a_search_of_numbers_the_tuned_one_that_leads_is_confirmed() -> None:
    """A preset gains a little and the tuned control more: where nothing but numbers was drawn the
    tuned one is the candidate, as the headline names it; where levers were too, the preset is.
    """
    full: dict[str, Any] = {"policy": "full_update", "mean_active_fraction": 1.0}
    preset = record(3, 9, 1.83, origin="enqueued", policy="static_suffix")
    tuned = record(4, 9, 1.7, knobs={"rate": 2.0}, **full)
    lever = record(5, 9, 1.84, knobs={"optimizer": "muon"}, **full)
    found, _ = ranked(beside_control(preset, tuned))
    assert [candidate.number for candidate in found] == [4]
    found, _ = ranked(beside_control(preset, tuned, lever))
    assert found[0].number == 3
    better = record(3, 7, 1.6, origin="enqueued", policy="static_suffix")
    found, _ = ranked(beside_control(better, tuned))
    assert found[0].number == 3


def test_the_own_control_is_trained_around_the_candidates_alone() -> None:
    """Beside one of horizon 0.9 that gains little, four around it and not the shortest; one of
    horizon 0.6 has the shorter ones trained in their place, and both have the ends of both.
    """
    horizons = (0.6, 0.7, 0.8, 0.9, 1.0)
    long = record(3, 9, 1.84, horizon=0.9, policy="static_suffix")
    brief = record(4, 6.2, 1.95, horizon=0.62, policy="static_suffix")
    table = beside_control(long, brief)
    first, second = (Candidate(n, Recipe("static_suffix", h)) for n, h in ((3, 0.9), (4, 0.62)))
    assert priced(table, [first], horizons) == (0.7, 0.8, 0.9, 1.0)
    assert priced(table, [second], horizons) == (0.6, 0.7, 0.8, 0.9)
    assert priced(table, [first, second], horizons) == (0.6, 0.7, 0.8, 1.0)


def test_a_search_without_its_controls_is_to_train_more_than_it_has() -> None:
    """Of two trials, both recorded: as many once more would add nothing."""
    (fault,) = control_faults("runs/mine", [1.0], history(find_space("schedule"), 2), baselines=2)
    assert "with --trials 3 or more" in fault
