"""The report's page in headless Chromium.

Drawn without errors, answering to pointer, keys, width, theme.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.support.frames import frame_of, points, record, search_frame
from tests.support.runs import COSTS
from tests.support.verdicts import background
from tests.support.webdriver import Browser, browser, missing, until
from tuning.findings.summary import summary
from tuning.report.render import render

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
]
FRAME = search_frame()
READING = summary(FRAME, None, background({37: 1.08, 28: 1.0}))
ENTER, ESCAPE = "\ue007", "\ue00c"


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A realistic search's page, confirmed."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(render("html", READING, FRAME, {"calibration": dataclasses.asdict(COSTS)}))
    return path


@pytest.fixture
def page(window: Browser, report: Path) -> Browser:
    """The page, drawn anew, at the width of a desk's screen."""
    window.resize(1280, 1400)
    window.open(report)
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
    assert "beats training for less" in page.text("h1")


def test_hovering_shows_the_trial(page: Browser) -> None:
    """The tip names number, policy, seconds, loss and knobs, and goes when the pointer leaves."""
    number = int(READING.winner or 0)
    page.hover(point_of(page, number))
    tip = until(
        lambda: page.run(
            "const t = document.getElementById('tip'); return t.hidden ? '' : t.innerText"
        ),
        "a tip",
    )
    row = READING.front.set_index("number").loc[number]
    assert f"#{number} dynamic_suffix" in tip
    assert f"{row['train_seconds']:.2f} s, loss {row['val_loss']:.4f}" in tip
    assert "probe_every=" in tip
    page.hover(page.find("h1")[0])
    until(lambda: page.run("return document.getElementById('tip').hidden"), "the tip's going")


def test_choosing_draws_curve_and_decisions(page: Browser) -> None:
    """A click on another trial's point replaces the panel.

    Name, loss curve, active blocks, knobs.
    """
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
    until(
        lambda: page.run("return document.getElementById('tip').hidden"),
        "the tip's going on Escape",
    )


def test_a_number_in_the_table_chooses_its_trial(page: Browser) -> None:
    """The table is the other way to every point of the front."""
    number = int(READING.front["number"].iloc[0])
    page.run("document.querySelector(arguments[0]).click()", f'.pick[data-trial="{number}"]')
    until(lambda: f"Trial #{number}" in page.text("#trial h2"), "the panel")


def test_noise_and_confirmation_are_drawn(page: Browser) -> None:
    """The band behind the control's line, a whisker and its middle a schedule, and an interval in
    each table row.
    """
    assert len(page.find(".plot path.band")) == 1
    assert len(page.find(".plot path.whisker")) == 4
    assert len(page.find("table.confirmed .interval")) == 2
    assert page.run(INTERVALS)
    assert "Predicted over measured seconds" in page.run("return document.body.innerText")


@pytest.mark.parametrize("width", [390, 768, 1680])
def test_no_width_makes_the_page_scroll_sideways(page: Browser, width: int) -> None:
    """At a phone's, a tablet's and a wide screen's width the plots fit and no label covers
    another.
    """
    page.resize(width, 1000)
    until(lambda: page.run(FITS), "fitting the width")
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


@pytest.mark.parametrize(
    "table",
    [
        frame_of([]),
        frame_of([record(0, None, None, state="failed", error="</script>")]),
        points([(3.0, 2.0)]),
        points([(3.0, 2.0), (3.0, 2.0)]).assign(target_loss=0.1),
        search_frame(260, strong=False),
    ],
    ids=["nothing", "all failed", "one", "a tie, far from its target", "many"],
)
def test_any_table_is_drawn_without_an_error(
    window: Browser, tmp_path: Path, table: pd.DataFrame
) -> None:
    """The page's script comes to its end whatever the run holds, and labels still keep apart."""
    path = tmp_path / "report.html"
    path.write_bytes(render("html", summary(table), table))
    window.resize(1280, 1400)
    window.open(path)
    until(lambda: window.find(".plot svg"), "drawing")
    assert window.errors() == []
    assert len(window.find(".point")) == table["val_loss"].notna().sum()
    assert window.run(OVERLAPS) == []


INTERVALS = """
return [...document.querySelectorAll('.interval')].every((box) => {
  const outer = box.getBoundingClientRect(), bar = box.querySelector('i').getBoundingClientRect();
  const dot = box.querySelector('b').getBoundingClientRect(), middle = (dot.left + dot.right) / 2;
  return outer.left <= bar.left && bar.left <= middle
    && middle <= bar.right && bar.right <= outer.right;
});
"""
FITS = """
const widths = [...document.querySelectorAll('svg')].map(
  (svg) => svg.getBoundingClientRect().right);
return document.documentElement.scrollWidth <= innerWidth && Math.max(...widths) <= innerWidth;
"""
OVERLAPS = """
const hits = [];
for (const svg of document.querySelectorAll('.plot svg, .curve-plot svg, .decision-plot svg')) {
  const texts = [...svg.querySelectorAll('text')].map(
    (t) => [t.textContent, t.getBoundingClientRect()]);
  texts.forEach(([a, p], i) => texts.slice(i + 1).forEach(([b, q]) => {
    const across = p.right > q.left && p.left < q.right;
    const along = p.bottom - 3 > q.top && p.top < q.bottom - 3;
    if (across && along) hits.push([a, b]);
  }));
}
return hits;
"""
