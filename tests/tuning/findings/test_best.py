"""Which trial is taken away where nobody names one."""

from __future__ import annotations

import dataclasses

from tests.support.frames import frame_of, record, search_frame
from tests.support.verdicts import background
from tuning.findings.best import best
from tuning.findings.context import Background
from tuning.findings.next_step import next_step
from tuning.findings.summary import summary
from tuning.findings.verdict import Against, RivalVerdict
from tuning.findings.win_words import named
from tuning.trial.recipe import CONTROL_POLICY, SMALLER, Recipe


def test_it_is_the_headlines() -> None:
    """Unconfirmed, and after a confirmation of another trial than the search's leader."""
    frame = search_frame()
    leader = named(summary(frame))
    assert leader is not None
    finished = frame.loc[(frame["policy"] == "dynamic_suffix") & (frame["state"] == "finished")]
    other = int(finished["number"][finished["number"] != leader.number].iloc[0])
    for known, number in ((Background(), leader.number), (background({other: 1.3}), other)):
        found = best(frame, known)
        assert found is not None
        assert (int(found[0]["number"]), found[1]) == (number, "")


def test_after_a_confirmation_in_which_nothing_wins_it_is_the_control() -> None:
    """Whatever led the search, and it is said."""
    frame = search_frame()
    leader = named(summary(frame))
    assert leader is not None
    found = best(frame, background({leader.number: 1.0}))
    assert found is not None
    assert found[0]["policy"] == "full_update"
    assert found[1].startswith("no recipe beat training for less: taking the control")


def test_a_smaller_model_that_was_confirmed_to_win_is_taken() -> None:
    """It is what the next step names, whoever led the search."""
    frame = search_frame()
    leader = named(summary(frame))
    assert leader is not None
    seen = background({leader.number: 1.0})
    assert seen.confirmed is not None
    smaller = int(frame["number"].iloc[0])
    for wins in (True, False):
        over = Against(5, 2.0, "", (None, None), None, (None, None), 0.5, 0.5, wins, "")
        rival = RivalVerdict(smaller, Recipe(CONTROL_POLICY, 1.0, {}), (), over)
        verdict = dataclasses.replace(seen.confirmed, rivals={SMALLER: rival})
        known = dataclasses.replace(seen, confirmed=verdict)
        found = best(frame, known)
        assert found is not None
        taken = f"A smaller model is what wins: taking trial {smaller}, "
        assert found[1].startswith(taken) == wins
        told = next_step(summary(frame, background=known))
        assert (told is not None and f"--trial {smaller} " in told.command) == wins


def test_a_leader_that_missed_the_target_is_left_for_the_control_that_has_it() -> None:
    """And nobody is told that nothing beat training for less: the headline names what did."""
    own = [
        record(
            number, 12.0 * horizon, loss, horizon=horizon, origin="control", policy=CONTROL_POLICY
        )
        for number, (horizon, loss) in enumerate(((0.5, 2.4), (0.75, 2.1), (1.0, 1.9)))
    ]
    frame = frame_of([*own, record(3, 6.0, 2.1)])
    leader = named(summary(frame))
    assert leader is not None
    assert leader.number == 3
    found = best(frame)
    assert found is not None
    assert (int(found[0]["number"]), found[1]) == (
        2,
        "trial 3, which leads the search, did not reach the target: taking the control that "
        "reaches the target, trial 2, at horizon 1",
    )


def test_of_no_finished_trial_there_is_none() -> None:
    """One that failed."""
    assert best(frame_of([record(0, None, None, state="failed", error="it broke")])) is None
