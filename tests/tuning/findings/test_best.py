"""Which trial is taken away where nobody names one."""

from __future__ import annotations

from tests.support.frames import frame_of, record, search_frame
from tests.support.verdicts import background
from tuning.findings.best import best
from tuning.findings.context import Background
from tuning.findings.summary import summary
from tuning.findings.win_words import named


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


def test_of_no_finished_trial_there_is_none() -> None:
    """One that failed."""
    assert best(frame_of([record(0, None, None, state="failed", error="it broke")])) is None
