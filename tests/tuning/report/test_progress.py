"""Progress: what is shown of a search, on a terminal and in a log, and that showing it never
harms.
"""

from __future__ import annotations

import dataclasses
import io
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.report.progress import (
    HarmlessConsole,
    LiveProgress,
    PlainProgress,
    Snapshot,
    duration,
    facts,
    progress_on,
    seconds_left,
    trial_line,
)
from tuning.trial.recipe import Recipe
from tuning.trial.trial import TrialRecord

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECORD = TrialRecord(
    recipe=Recipe("dynamic_suffix", 0.75),
    number=7,
    state="finished",
    origin="sampled",
    workload="tiny",
    seed=0,
    started_at=NOW,
    finished_at=NOW,
    executions=1,
    device="cpu",
    train_seconds=12.345,
    val_loss=1.98764,
)
FULL = Snapshot(done=12, in_flight=2, trials=40, failed=1, best_gain=1.043, seconds_left=192.0)
seconds = st.floats(min_value=0.0, max_value=1e4)


class TestSecondsLeft:
    @given(
        st.lists(seconds, max_size=4),
        st.lists(seconds, max_size=30),
        st.integers(min_value=4, max_value=8),
    )
    def test_lies_between_its_bounds(
        self, in_flight: list[float], waiting: list[float], concurrency: int
    ) -> None:
        """The estimate is at least the longest task and the work shared evenly.

        It is at most the sum of both (Graham).
        """
        tasks = [*in_flight, *waiting]
        longest, shared = max(tasks, default=0.0), sum(tasks) / concurrency
        left = seconds_left(in_flight, waiting, concurrency)
        assert left >= max(longest, shared) - 1e-6
        assert left <= shared + longest + 1e-6

    @given(st.lists(seconds, max_size=1), st.lists(seconds, max_size=30))
    def test_one_worker_does_all(self, in_flight: list[float], waiting: list[float]) -> None:
        """With one worker it is the sum."""
        assert seconds_left(in_flight, waiting, 1) == pytest.approx(sum(in_flight) + sum(waiting))

    @given(st.lists(seconds, max_size=2), st.lists(seconds, max_size=20), seconds)
    def test_more_work_takes_no_less(
        self, in_flight: list[float], waiting: list[float], more: float
    ) -> None:
        """A task more at the end never brings the end nearer."""
        assert seconds_left(in_flight, [*waiting, more], 2) >= seconds_left(in_flight, waiting, 2)


class TestText:
    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (0.2, "0 s"),
            (59.4, "59 s"),
            (59.6, "1 min 0 s"),
            (3599, "59 min 59 s"),
            (3600, "1 h 0 min"),
            (9000, "2 h 30 min"),
        ],
    )
    def test_duration(self, value: float, text: str) -> None:
        """Two units at most, rounded to the second."""
        assert duration(value) == text

    def test_facts(self) -> None:
        """All that is known, and nothing that is not."""
        assert (
            facts(FULL)
            == "12 of 40 trials  2 in flight  1 failed  best gain 1.043  3 min 12 s left"
        )
        assert facts(Snapshot(trials=4)) == "0 of 4 trials  0 in flight"

    def test_a_finished_trial(self) -> None:
        """Number, policy, horizon, solo seconds, loss, and the gain it set."""
        line = trial_line(RECORD, gain=1.043)
        assert line.split() == (
            "trial 7 dynamic_suffix horizon 0.75 12.35 s val loss 1.988 gain 1.043".replace(
                "12.35", f"{12.345:.2f}"
            ).split()
        )

    def test_a_failed_trial(self) -> None:
        """The reason stands in place of the figures."""
        failed = dataclasses.replace(RECORD, state="failed", error="loss is not finite at step 12")
        assert trial_line(failed).endswith("failed: loss is not finite at step 12")

    def test_a_replicate(self) -> None:
        """It is called one, with its seed, so that nobody takes its loss for the search's own."""
        again = dataclasses.replace(RECORD, origin="replicate", seed=4)
        assert trial_line(again).endswith("val loss 1.988  replicate on seed 4")

    def test_a_trial_without_figures(self) -> None:
        """A stopped trial may have neither seconds nor loss."""
        bare = dataclasses.replace(RECORD, state="stopped", train_seconds=None, val_loss=None)
        assert trial_line(bare).endswith("stopped")


class TestLog:
    def test_lines(self) -> None:
        """One line a change of phase and one a message, no control characters."""
        stream = io.StringIO()
        with PlainProgress(stream) as progress:
            for phase in ("calibrating", "calibrating", "target: 1 of 5 seeds", "", ""):
                progress.show(dataclasses.replace(FULL, phase=phase))
            progress.line("trial 3")
        assert stream.getvalue() == "calibrating\ntarget: 1 of 5 seeds\ntrial 3\n"

    def test_is_what_a_file_gets(self) -> None:
        """No terminal, no display."""
        assert isinstance(progress_on(io.StringIO()), PlainProgress)


def _terminal(width: int = 120) -> tuple[LiveProgress, io.StringIO]:
    stream = io.StringIO()
    return LiveProgress(
        HarmlessConsole(file=stream, force_terminal=True, width=width, color_system=None)
    ), stream


class TestTerminal:
    def test_shows_phase_and_facts_and_keeps_lines(self) -> None:
        """Everything of a snapshot is drawn; a message is written as it is, brackets included."""
        progress, stream = _terminal()
        with progress:
            progress.show(dataclasses.replace(FULL, phase="target: 3 of 5 seeds"))
            progress.line("trial [3] done")
        shown = stream.getvalue()
        assert "target: 3 of 5 seeds" in shown
        assert facts(FULL) in shown
        assert "trial [3] done" in shown

    def test_gives_the_cursor_back(self) -> None:
        """The last that is written of it shows the cursor again."""
        progress, stream = _terminal()
        with progress:
            progress.show(FULL)
        shown = stream.getvalue()
        assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l") >= 0

    def test_before_there_are_trials(self) -> None:
        """A bar beside the phase, whether or not its steps can be counted; no trials."""
        for step in (None, (2, 5)):
            progress, stream = _terminal()
            with progress:
                progress.show(Snapshot(phase="calibrating", step=step))
            assert "calibrating" in stream.getvalue()
            assert "━" in stream.getvalue()
            assert "trials" not in stream.getvalue()

    def test_a_narrow_terminal(self) -> None:
        """Facts are cut, not wrapped, so that the display stays one line high."""
        progress, stream = _terminal(width=50)
        with progress:
            progress.show(FULL)
        assert "left" not in stream.getvalue()


class _Closed(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("kind", ["plain", "live"])
def test_a_closed_terminal_harms_nobody(kind: str) -> None:
    """Every write raises; no call does."""
    stream = _Closed()
    console = HarmlessConsole(file=stream, force_terminal=True)
    with PlainProgress(stream) if kind == "plain" else LiveProgress(console) as progress:
        progress.show(dataclasses.replace(FULL, phase="target"))
        progress.line("trial 3")
        progress.show(FULL)
