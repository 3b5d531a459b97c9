"""What a comparison says about the control, on losses that are made up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy import stats

from tests.tuning.findings.test_comparison import BASELINE, CONTROL, LONGER, TUNED
from tuning.findings.comparison import Row, against_control, rows_of, summary_of, verdict
from tuning.report.comparison_table import Comparison, print_comparison

LOSSES = st.lists(st.floats(0.5, 2.0), min_size=3, max_size=5, unique=True)


def rows(own: list[float], control: list[float], levels: tuple[int, ...] = (12, 18)) -> list[Row]:
    """A schedule and its control, with a loss for each seed.

    At equal time the schedule is as much above full_update as above nothing.
    """
    runs = []
    for seed, (loss, beside) in enumerate(zip(own, control, strict=True)):
        runs += [
            replace(BASELINE, seed=seed),
            replace(TUNED, seed=seed, val_loss=loss, levels=levels),
            replace(CONTROL, seed=seed, val_loss=beside),
            replace(LONGER, seed=seed, val_loss=0.2, levels=levels),
        ]
    return rows_of(runs)


@given(LOSSES, st.data())
def test_p_is_that_of_a_paired_t_test(control: list[float], data: st.DataObject) -> None:
    """The p-value is that of SciPy's paired one-sided test, times two.

    There are two comparisons, and the other has p = 1.
    """
    own = [loss + data.draw(st.floats(-0.4, 0.4)) for loss in control]
    differences = {round(a - b, 9) for a, b in zip(own, control, strict=True)}
    first = against_control(rows(own, control))[0]
    if len(differences) > 1:
        expected = stats.ttest_rel(own, control, alternative="less").pvalue
        assert first.p == pytest.approx(min(1.0, 2 * expected), rel=1e-3, abs=1e-9)
    assert first.lower == sum(a < b for a, b in zip(own, control, strict=True))


def test_a_clear_win_is_told_and_bold() -> None:
    """Ten per cent lower on each of four seeds, with next to no spread."""
    won = rows([0.90, 0.91, 0.89, 0.90], [1.0, 1.01, 0.99, 1.001])
    comparison = against_control(won)[0]
    assert comparison.wins
    assert verdict([comparison]).startswith(
        "Better than full_update trained for the same seconds: tuned at equal steps (loss 10.0 % "
        "below the control's, "
        "lower on 4 of 4 seeds"
    )


def test_a_loss_is_told_with_how_close_it_came() -> None:
    """Above the control on every seed, and further above at equal time."""
    comparisons = against_control(rows([1.02, 1.04], [1.0, 1.0]))
    assert [c.wins for c in comparisons] == [False, False]
    assert verdict(comparisons) == (
        "No schedule beats full_update trained for the same seconds. Closest: tuned at equal steps "
        "(loss 3.0 % above "
        "the control's, lower on 0 of 2 seeds; corrected p = 1)."
    )


def test_lower_by_chance_is_no_win() -> None:
    """Lower on two of three seeds by amounts that differ widely, and lower on a single seed."""
    for own, control in (([0.8, 0.99, 1.05], [1.0, 1.0, 1.0]), ([0.5], [1.0])):
        comparisons = against_control(rows(own, control))
        assert not comparisons[0].wins
        assert verdict(comparisons).startswith(
            "No schedule is shown to beat full_update trained for the same seconds"
        )


def test_a_schedule_that_never_froze_is_compared_with_nothing() -> None:
    """Its lower loss would be full_update's own; the table says what it is."""
    unfrozen = rows([0.5, 0.5], [1.0, 1.0], levels=())
    assert against_control(unfrozen) == []
    assert "Never froze a block: tuned at equal steps, tuned at equal time." in printed(unfrozen)
    assert "Nothing can be said about the control" in printed(unfrozen)


def printed(comparison: list[Row], *disturbances: str) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        found = Comparison(summary_of(comparison), against_control(comparison))
        print_comparison(found, console, disturbances)
    return capture.get()


def test_a_clock_that_was_disturbed_is_named_beside_the_verdict() -> None:
    """And one that was not is passed over."""
    lost = rows([1.02, 1.04], [1.0, 1.0])
    assert "not calibrated alone" not in printed(lost)
    assert "machine (80 % of the cores were busy)." in " ".join(
        printed(lost, "80 % of the cores were busy").split()
    )


def test_the_table_reads_like_the_notes_with_the_control_beside_it() -> None:
    """At 80 columns no column is cut.

    They are schedule, loss, ms a step, speedup, gap, control, levels, mean and probes.
    """
    text = printed(rows([1.02, 1.04], [1.0, 1.0]))
    assert "…" not in text
    line = next(line for line in text.splitlines() if line.startswith("tuned"))
    assert line.split() == [
        *("tuned", "1.030", "0.014", "16", "1.25", "+930.0"),
        *("1.000", "+3.0", "12", "18", "16.0", "0"),
    ]
    assert "Equal steps: 1000 steps each, 2 seeds" in text
    assert "Equal time: 20.0 s solo each, 2 seeds" in text
