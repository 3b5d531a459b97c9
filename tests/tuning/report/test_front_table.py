"""The report in a terminal and in a log."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from tests.support.frames import frame_of, record, search_frame
from tests.support.verdicts import background
from tuning.findings import format as form
from tuning.findings.context import Background
from tuning.findings.summary import FrontSummary, summary
from tuning.findings.win_words import named
from tuning.report.front_table import marked_number, print_report, told_in_full
from tuning.report.points import page_data
from tuning.report.tiles import key_figures
from tuning.trial.recipe import Recipe


def printed(reading: FrontSummary, *, width: int = 80, encoding: str = "utf-8") -> str:
    """What a console of that width and encoding, no terminal, is given."""
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_report(reading, Console(file=buffer, width=width))
    buffer.seek(0)
    return buffer.read()


def test_everything_is_there_at_eighty_columns() -> None:
    """No line is wider, no cell is cut, and no control sequence is in a log."""
    reading = summary(search_frame())
    text = printed(reading)
    lines = text.splitlines()
    assert max(len(line) for line in lines) <= 80
    assert "…" not in text
    assert "\x1b" not in text
    for row in reading.front.to_dict("records"):
        line = next(line for line in lines if line.lstrip("* ").startswith(f"{row['number']} "))
        assert row["policy"] in line
        assert f"{row['val_loss']:.4f}" in line


def test_the_first_at_the_target_is_marked_and_named() -> None:
    """One star, at the winner; its knobs that are not defaults; the verdict first, then one command
    on a line of its own.
    """
    reading = summary(search_frame())
    text = printed(reading)
    starred = [line for line in text.splitlines() if line.startswith("*  ")]
    assert len(starred) == 1
    assert f" {reading.winner} " in starred[0]
    assert f"#{reading.winner} dynamic_suffix: adaptive=true" in text
    lines = text.splitlines()
    assert lines[0].startswith(f"dynamic_suffix #{reading.winner} reaches")
    at = next(place for place, line in enumerate(lines) if line.startswith("Next: "))
    assert lines[at + 1] == "  python -m tuning.confirm DIR"
    assert "*: the trial that the first line names." in " ".join(lines)


def test_headline_table_tile_and_picture_name_the_confirmed_winner() -> None:
    """Trial 28 is confirmed, though 37 leads the search: the star, the figures and the trial that
    the page opens on are 28's.
    """
    known = background({28: 1.2})
    table = search_frame()
    reading = summary(table, None, known)
    assert reading.bests.recipe is not None
    assert reading.bests.recipe.number == 37
    assert marked_number(reading) == page_data(reading, table)["named"] == 28
    starred = [line for line in printed(reading).splitlines() if line.startswith("*  ")]
    assert [line.split()[1] for line in starred] == ["28"]
    best = named(reading)
    assert best is not None
    names = [name for name, _ in key_figures(reading)]
    assert names == ["Confirmed gain", "Trial 28 takes", "Your own recipe to its loss"]
    assert ("Trial 28 takes", form.seconds(best.row["train_seconds"])) in key_figures(reading)


def test_three_figures_say_what_is_gained_and_of_what_it_is_made() -> None:
    """And the target beside them where no trial is named."""
    reading = summary(search_frame(), None, background())
    names = [name.replace("37", "N") for name, _ in key_figures(reading)]
    assert names == ["Gain over your own recipe", "Trial N takes", "Your own recipe to its loss"]
    lost = summary(search_frame(), None, background({37: 0.97}))
    assert next(iter(dict(key_figures(lost)))) == "Unconfirmed gain"
    full = {"policy": "full_update", "origin": "control"}
    plain = frame_of([record(i, s, 2 - s / 10, **full) for i, s in enumerate((5, 10))])
    figures = dict(key_figures(summary(plain, 1.2)))
    assert figures["Target loss"] == "1.200"


def test_what_is_only_better_after_as_long_is_told_by_how_much() -> None:
    """Not as a gain of at least 1.00, which reads as none; and what a smaller model never had, by a
    bound that is the own control's, is no figure at all.
    """
    full: dict[str, Any] = {"policy": "full_update", "origin": "control"}
    own = [record(i, s, y, horizon=s / 10, **full) for i, (s, y) in enumerate(((6, 2), (8, 1.8)))]
    reading = summary(frame_of([*own, record(3, 8, 1.7)]), 1.8)
    assert key_figures(reading)[0] == ("Lower loss than your own recipe after as long", "0.100")
    blocks = {"depth_start": 0.5, "depth_end": 0.5}
    smaller = record(4, 4, 1.95, policy="full_update", knobs=blocks)
    reading = summary(frame_of([*own, smaller, record(3, 5, 1.7)]), 1.8)
    names = [name for name, _ in key_figures(reading)]
    assert names == ["Gain over your own recipe", "Trial 3 takes", "Your own recipe to its loss"]


def test_columns_that_hardly_vary_are_one_line_of_the_legend() -> None:
    """The rate is the same in all, the seconds are not; with one that differs it is a column."""
    full = {"policy": "full_update", "origin": "control"}
    even = [
        record(i, s, 3 - s, required_flops=s * 1e9, effective_flops_per_second=1e9, **full)
        for i, s in enumerate((1.0, 1.5, 2.0))
    ]
    text = printed(summary(frame_of(even)))
    assert "FLOP/s: 1G in all" in text or "FLOP/s: 1.00G in all" in text
    faster = dataclasses.replace(even[0], effective_flops_per_second=3e9)
    assert "in all" not in printed(summary(frame_of([faster, *even[1:]])))


def test_control_runs_off_the_front_stand_below_the_rule() -> None:
    """A control run that a schedule dominates is still shown."""
    table = frame_of(
        [
            record(0, 10, 1.9, policy="full_update", origin="control"),
            record(1, 9, 1.8),
        ]
    )
    text = printed(summary(table))
    assert "control runs off the front" in text
    assert "full_update" in text


def long_front(members: int = 24, **changes: Any) -> FrontSummary:
    """A control line and a front of many schedules along it.

    Schedules of even number beat the line by far.
    """
    full = {"policy": "full_update", "origin": "control"}
    runs = [
        record(100 + i, s, 3 - s / 10, horizon=s / 10, target_loss=2.4, **full)
        for i, s in enumerate((2, 10))
    ]
    schedules = [
        record(
            i,
            s,
            3 - s / 10 - (0.06 if i % 2 else 0.0001),
            target_loss=2.4,
            knobs={"levels": i},
            **changes,
        )
        for i, s in enumerate(2.1 + 0.3 * n for n in range(members))
    ]
    return summary(frame_of([*runs, *schedules]), None, background())


def test_a_long_front_prints_the_knobs_of_its_best_only() -> None:
    """The knobs of at most five members, the first at the target among them, and where those of the
    rest are.
    """
    reading = long_front()
    text = printed(reading)
    members = reading.front[reading.front["policy"] != "full_update"]
    assert len(members) > 10
    told = told_in_full(reading)
    assert 1 < len(told) <= 5
    first = members[members["val_loss"] <= 2.4]["number"].iloc[0]
    assert first in told
    assert text.count("levels=") == len(told)
    assert (
        f"Those of {len(members) - len(told)} more members of the front: report.html"
        in " ".join(text.split())
    )
    assert max(len(line) for line in text.splitlines()) <= 80


def test_gains_within_noise_are_marked_and_explained() -> None:
    """By 0.0001 better than the control is marked where seeds stray by 0.004, 0.06 is not."""
    reading = long_front()
    lines = printed(reading).splitlines()
    assert any("≈" in line and " 0 " in line for line in lines)
    assert not any("≈" in line and line.startswith("    1 ") for line in lines)
    assert "≈: within noise of the control" in " ".join(printed(reading).split())
    assert "≈" not in printed(summary(search_frame()))


def test_schedules_that_never_froze_a_block_are_called_that() -> None:
    """In their knobs' line and in a list of all of them."""
    text = " ".join(printed(long_front(4, mean_active_fraction=1.0)).split())
    assert "#1 dynamic_suffix (never froze a block): levels=1" in text
    assert "Never froze a block, so are training for less under another name: #" in text


def test_a_confirmation_stands_on_top() -> None:
    """Its sentence first, then its table with the interval and the seeds that met the target, then
    the front.
    """
    reading = summary(search_frame(), None, background({37: 1.08, 28: 1.0}))
    text = printed(reading)
    assert text.startswith("dynamic_suffix (trial 37) beats training for less")
    assert text.index("5/5") < text.index("The front of the search, on one seed:")
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "unconfirmed" not in text


def test_long_numbers_fit_eighty_columns() -> None:
    """Numbers have six digits, marks and scientific notation.

    The gaps become narrow, and no cell is cut.
    """
    table = search_frame()
    small = table.assign(
        number=table["number"] + 123_000, val_loss=table["val_loss"] * 1e-30, target_loss=1.95e-30
    )
    reading = summary(small, None, background())
    lines = printed(reading).splitlines()
    assert max(len(line) for line in lines) <= 80
    assert "…" not in printed(reading)
    number = reading.front["number"].iloc[0]
    loss = reading.shown(reading.front["val_loss"].iloc[0])
    assert any(line.lstrip("* ").startswith(f"{number} ") and loss in line for line in lines)


def test_a_members_loss_over_seeds_is_told() -> None:
    """Two replicates of one member have the mean and standard deviation worked out by hand.

    Nothing is said of a run without any.
    """
    table = frame_of(
        [record(0, 5.0, 2.0, knobs={"levels": 4}), record(1, 8.0, 1.9, knobs={"levels": 2})]
    )
    again = Background(replicated={Recipe("dynamic_suffix", 1.0, {"levels": 4}): (2.1, 2.2)})
    text = " ".join(printed(summary(table, background=again)).split())
    assert "#0 2.10 ± 0.10 over 3 seeds." in text
    assert "over seeds" not in printed(summary(table))


def test_replicates_are_counted_apart() -> None:
    """One row is a trial, two are its re-runs."""
    rows = [record(0, 5.0, 2.0), *(record(n, 5.0, 2.1, origin="replicate", seed=n) for n in (1, 2))]
    assert (
        "1 finished (1 censored: above the target), 0 stopped, 0 failed; 2 replicates on other "
        "seeds" in " ".join(printed(summary(frame_of(rows))).split())
    )


@pytest.mark.parametrize(
    "table", [frame_of([]), frame_of([record(0, 3.0, 2.0)]), search_frame(strong=False)]
)
def test_any_table_can_be_printed(table: pd.DataFrame) -> None:
    """Nothing finished, nothing known of the terms of time, nothing won."""
    assert printed(summary(table))
