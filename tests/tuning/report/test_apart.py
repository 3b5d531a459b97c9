"""A recipe taken apart in a terminal of eighty columns and on the page."""

from __future__ import annotations

import dataclasses
import html
import io
import re

import pytest
from rich.console import Console

from tests.support.frames import search_frame
from tests.tuning.study.test_apart import BOTH, HALF, MUON, apart, only, plan_for, run
from tuning.findings.apart import Apart
from tuning.findings.context import Background, Noise
from tuning.findings.gains import Gained
from tuning.findings.summary import summary
from tuning.report.apart import print_apart, shares
from tuning.report.front_table import print_report
from tuning.report.page import page_text

NOISE = Noise(0.25, 5)


def found() -> Apart:
    """Muon brings 2, half the batch 1.33, which may be luck."""
    runs = run(BOTH, 1.0), run(only(**HALF), 2.0), run(only(**MUON), 1.5)
    return apart(plan_for(BOTH), *runs, noise=NOISE)


def printed(apart: Apart) -> str:
    out = io.StringIO()
    print_apart(apart, Console(file=out, width=80))
    return out.getvalue()


def page(apart: Apart | None) -> str:
    frame = search_frame()
    return html.unescape(page_text(summary(frame, background=Background(apart=apart)), frame))


def test_a_terminal_of_eighty_columns_holds_the_table() -> None:
    """Names, gains and bars, also of long names and numbers; the sentence below."""
    long = dataclasses.replace(found().pieces[0], name="optimizer's numbers")
    wide = dataclasses.replace(found(), pieces=(long, found().pieces[1]))
    text = printed(wide)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    (row,) = [line for line in text.splitlines() if line.startswith("optimizer's numbers")]
    assert row.split()[-2:] == ["1.50", "█" * 14]
    assert " ".join(wide.sentence.split()) in " ".join(text.split())
    assert "they help each other" in text


def test_a_lever_that_loses_has_a_light_bar() -> None:
    """A gain of 2 and one of a half, which are as long: gains multiply."""
    pieces = [dataclasses.replace(p, brings=g) for p, g in zip(found().pieces, GAINS, strict=True)]
    assert shares(pieces) == pytest.approx([1.0, -1.0])
    text = printed(dataclasses.replace(found(), pieces=tuple(pieces)))
    assert "█" * 14 in text
    assert "░" * 14 in text


GAINS = (Gained(2.0), Gained(0.5))


def test_the_page_has_a_section() -> None:
    """A row a lever with its settings, one of all together, a bar each, what is in noise grey."""
    text = page(found())
    start = text.index("What each lever of trial 7 brings")
    section = text[start : text.index("</section>", start)]
    assert section.count("<tr>") == 1 + 2 + 1
    assert re.findall(r"width:([\d.]+)%", section) == ["100.0", "41.5"]
    assert "optimizer=muon" in section
    assert '<span class="noise">≈1.33</span>' in section
    assert found().sentence in section
    assert "The search's best is trial" in section


def test_a_page_without_has_none() -> None:
    """Before a recipe was taken apart, and where there was nothing to take apart."""
    none = apart(plan_for(only()), run(only(), 1.0))
    assert "What each lever" not in page(None)
    assert "What each lever" not in page(none)
    assert "pulls no lever" in printed(none)


def test_the_report_in_the_terminal_shows_it_too() -> None:
    """Below the front, after what is said of that."""
    out = io.StringIO()
    reading = summary(search_frame(), background=Background(apart=found()))
    print_report(reading, Console(file=out, width=80))
    assert out.getvalue().index("Trial 7 taken apart:") > out.getvalue().index("finished")
    assert max(map(len, out.getvalue().splitlines())) <= 80
