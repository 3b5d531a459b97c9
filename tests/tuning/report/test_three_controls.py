"""The three controls in the terminal, on the page and for machines."""

from __future__ import annotations

import html
import io
import json
from typing import Any

import pandas as pd
from rich.console import Console

from tests.support.frames import frame_of, record
from tests.tuning.findings.test_rivals import faster, judged, rival
from tuning.findings.context import Background
from tuning.findings.summary import FrontSummary, summary
from tuning.report.front_table import print_report
from tuning.report.machine import csv_text, json_text
from tuning.report.page import page_text
from tuning.trial.recipe import SMALLER, TUNED

FULL: dict[str, Any] = {"policy": "full_update"}
TERMS = {
    "required_flops": 2.97e10,
    "effective_flops_per_second": 1.26e10,
    "pipeline_overhead_seconds": 0.107,
}


def searched() -> pd.DataFrame:
    """Own runs of 6, 8 and 10 s at 2.0, 1.9 and 1.8; at 1.8 a recipe after 5, a tuned run after 8
    and a smaller model after 9 s; and a recipe of 8 s at 1.7.
    """
    own = [(6.0, 2.0), (8.0, 1.9), (10.0, 1.8)]
    fewer = {"depth_start": 0.5, "depth_end": 0.5}
    return frame_of(
        [
            *(record(i, s, loss, **FULL, **TERMS) for i, (s, loss) in enumerate(own)),
            record(3, 5.0, 1.8, **TERMS),
            record(4, 8.0, 1.8, **FULL, knobs={"rate": 2.0}, **TERMS),
            record(5, 9.0, 1.8, **FULL, knobs=fewer, **TERMS),
            record(6, 8.0, 1.7, **TERMS),
        ]
    )


def printed(reading: FrontSummary) -> str:
    """What a log of 80 columns is given."""
    out = io.StringIO()
    print_report(reading, Console(file=out, width=80))
    return out.getvalue()


def test_a_terminal_of_eighty_columns_holds_all_gains() -> None:
    """10 s, 8 s and 9 s over 5 s; bounds of a loss that none of them had."""
    text = printed(summary(searched(), 1.8))
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    lines = {line.lstrip("* ").split()[0]: line for line in text.splitlines() if line.strip("* ")}
    assert "2.00" in lines["3"]
    assert "1.60" in lines["3"]
    assert "1.80" in lines["3"]
    assert "≥1.25" in lines["6"]
    assert "tuned: over your own recipe tuned" in " ".join(text.split())
    assert "2.00 times as fast as your own recipe (10.0 s)" in " ".join(text.split())


def test_machines_read_every_gain_and_which_control_a_trial_is() -> None:
    """Numbers, bounds apart, and null where there is none."""
    reading = summary(searched(), 1.8)
    data = json.loads(json_text(reading))
    assert data["best"]["number"] == data["winner"] == 3
    assert data["best"]["gains"] == {
        "own": {"value": 2.0, "bound": ""},
        "tuned": {"value": 1.6, "bound": ""},
        "smaller": {"value": 1.8, "bound": ""},
    }
    assert {kind: best["number"] for kind, best in data["rivals"].items()} == {
        "tuned": 4,
        "smaller": 5,
    }
    first, last = data["front"]
    assert (first["gain"], first["gain_over_tuned"], first["gain_over_smaller"]) == (2.0, 1.6, 1.8)
    assert (last["gain"], last["gain_at_least"], last["gain_over_tuned"]) == (None, 1.25, None)
    table = pd.read_csv(io.StringIO(csv_text(reading)))
    assert table.set_index("number")["control"].dropna().to_dict() == dict.fromkeys(range(3), "own")


def test_without_rivals_there_are_no_columns_for_them() -> None:
    """And it is said that nobody knows what tuning would do."""
    reading = summary(searched().iloc[:4], 1.8)
    head = next(line for line in printed(reading).splitlines() if line.lstrip().startswith("#"))
    assert "gain" in head
    assert "tuned" not in head
    assert "How much of that is tuning is not known" in page_text(reading, searched().iloc[:4])


def test_the_page_shows_the_gains_of_search_and_confirmation() -> None:
    """Figures at the top, a column a control in the tables, and the rivals' runs."""
    found = judged(faster(3, 1.3), rivals={TUNED: rival(TUNED, 1.1), SMALLER: rival(SMALLER, 1.2)})
    table = searched()
    before, after = (
        page_text(summary(table, 1.8, known), table)
        for known in (Background(), Background(confirmed=found))
    )
    for words in ("Gain over your own recipe", "Over it tuned", "1.60×", "Gain over smaller"):
        assert words in before
    over = found.candidates[0].over[TUNED]
    assert "Confirmed over it tuned" in after
    assert f"{over.gain:.2f}×" in after
    assert "tuned (#9), horizon 1.25" in after
    assert "Over smaller" in after
    assert found.sentence in html.unescape(after)
