"""The report's page in headless Chromium: drawn without errors, and answering to pointer, keys, width and theme."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.frames import search_frame
from tests.support.runs import COSTS
from tests.support.webdriver import Browser, browser, missing, until
from tuning.pareto_front import summary
from tuning.report import render

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
FRAME = search_frame()
READING = summary(FRAME)
ENTER, ESCAPE = "\ue007", "\ue00c"


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def page(window: Browser, tmp_path: Path) -> Browser:
    """A realistic search's page, drawn, at the width of a desk's screen."""
    path = tmp_path / "report.html"
    path.write_bytes(render("html", READING, FRAME, {"calibration": dataclasses.asdict(COSTS)}))
    window.resize(1280, 1400)
    window.open(path)
    until(lambda: window.find(".point"), "drawing the points")
    return window


def point_of(page: Browser, number: int) -> str:
    """The element of a trial's point."""
    return page.find(f'.point[data-trial="{number}"]')[0]


def test_every_trial_with_a_place_is_a_point_and_nothing_went_wrong(page: Browser) -> None:
    """As many points as finished and stopped trials; no error on the console; nothing fetched."""
    assert len(page.find(".point")) == READING.finished + READING.stopped
    assert page.errors() == []
    assert page.run("return performance.getEntriesByType('resource').length") == 0
    assert "gain of" in page.text("h1")


def test_hovering_shows_the_trial(page: Browser) -> None:
    """The tip names number, policy, seconds, loss and knobs, and goes when the pointer leaves."""
    number = int(READING.winner or 0)
    page.hover(point_of(page, number))
    tip = until(lambda: page.run("const t = document.getElementById('tip'); return t.hidden ? '' : t.innerText"), "a tip")
    row = READING.front.set_index("number").loc[number]
    assert f"#{number} dynamic_suffix" in tip
    assert f"{row['train_seconds']:.2f} s, loss {row['val_loss']:.4f}" in tip
    assert "probe_every=" in tip
    page.hover(page.find("h1")[0])
    until(lambda: page.run("return document.getElementById('tip').hidden"), "the tip's going")


def test_choosing_draws_curve_and_decisions(page: Browser) -> None:
    """A click on another trial's point replaces the panel: its name, its loss curve, its active blocks, its knobs."""
    number = int(READING.others["number"].iloc[2])
    page.click(point_of(page, number))
    until(lambda: f"Trial #{number}" in page.text("#trial h2"), "the panel")
    assert page.find("#trial .curve-plot path.curve")
    assert page.find("#trial .decision-plot path.depth")
    assert "probe_every" in page.text("#trial")
    assert "FLOP/s" in page.text("#trial")
    assert page.find(f'.point.pinned[data-trial="{number}"]')


def test_the_winner_is_chosen_to_begin_with(page: Browser) -> None:
    """The page opens on the trial that the verdict is about."""
    assert page.text("#trial h2") == f"Trial #{READING.winner} dynamic_suffix"


def test_keys_do_what_the_pointer_does(page: Browser) -> None:
    """A focused point shows its tip and Enter chooses it; Escape closes the tip."""
    number = int(READING.control["number"].iloc[0])
    page.run("document.querySelector(arguments[0]).focus()", f'.point[data-trial="{number}"]')
    until(lambda: f"#{number} full_update" in page.text("#tip"), "the tip on focus")
    page.keys(point_of(page, number), ENTER)
    until(lambda: f"Trial #{number}" in page.text("#trial h2"), "the panel on Enter")
    page.keys(point_of(page, number), ESCAPE)
    until(lambda: page.run("return document.getElementById('tip').hidden"), "the tip's going on Escape")


def test_a_number_in_the_table_chooses_its_trial(page: Browser) -> None:
    """The table is the other way to every point of the front."""
    number = int(READING.front["number"].iloc[0])
    page.run("document.querySelector(arguments[0]).click()", f'.pick[data-trial="{number}"]')
    until(lambda: f"Trial #{number}" in page.text("#trial h2"), "the panel")


@pytest.mark.parametrize("width", [390, 768, 1680])
def test_no_width_makes_the_page_scroll_sideways(page: Browser, width: int) -> None:
    """At a phone's, a tablet's and a wide screen's width the plot fits and its labels do not overlap each other."""
    page.resize(width, 1000)
    fits = "return document.documentElement.scrollWidth <= innerWidth && document.querySelector('.plot svg').getBoundingClientRect().width <= innerWidth"
    until(lambda: page.run(fits), "fitting the width")
    assert page.run(OVERLAPS) == []


def test_dark_and_light(page: Browser) -> None:
    """The colours follow the system's scheme."""
    ground = "return getComputedStyle(document.body).backgroundColor"
    seen = set()
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.devtools("Emulation.setEmulatedMedia", {"features": features})
        seen.add(page.run(ground))
    assert len(seen) == 2


OVERLAPS = """
const texts = [...document.querySelectorAll('.plot svg text')].map((t) => [t.textContent, t.getBoundingClientRect()]);
const hits = [];
texts.forEach(([a, p], i) => texts.slice(i + 1).forEach(([b, q]) => {
  if (p.right > q.left && p.left < q.right && p.bottom - 3 > q.top && p.top < q.bottom - 3) hits.push([a, b]);
}));
return hits;
"""
