"""The report's page in headless Chromium.

It is drawn without errors, and answers to pointer, keys, width and theme.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest

from tests.support.frames import frame_of, points, record, search_frame
from tests.support.runs import COSTS
from tests.support.verdicts import background
from tests.support.webdriver import Browser, browser, missing, until
from tuning.findings.context import Background
from tuning.findings.summary import summary
from tuning.report.render import render
from tuning.trial.metric import Metric
from tuning.trial.trial import CurvePoint, TrialRecord

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

    The panel has name, loss curve, active blocks and knobs.
    """
    number = int(READING.others["number"].iloc[2])
    page.click(point_of(page, number))
    until(lambda: f"Trial #{number}" in page.text("#trial h2"), "the panel")
    assert page.find("#trial .curve-plot path.curve")
    note = page.text("#trial .curve-plot + .note")
    assert note.startswith("Not drawn: loss above ")
    assert f"(#{number} and #" in note
    assert page.find("#trial .decision-plot path.depth")
    assert "probe_every" in page.text("#trial")
    assert "FLOP/s" in page.text("#trial")
    assert page.find(f'.point.pinned[data-trial="{number}"]')


def test_the_lines_follow_what_is_chosen_and_what_is_pointed_at(page: Browser) -> None:
    """A line a trial with knobs, the best ones apart; the chosen one's values stand beside the
    axes, those of a line under the pointer while it is there, and a click on one chooses it.
    """
    strands = (
        len(READING.front)
        + len(READING.others)
        - int(
            READING.others["policy"].eq("full_update").sum()
            + READING.front["policy"].eq("full_update").sum()
        )
    )
    assert len(page.find("#lines path.strand:not(.chosen)")) == strands
    assert 1 < len(page.find("#lines path.strand.best")) <= 8
    assert page.text("#lines .called").startswith(f"#{READING.winner} dynamic_suffix")
    axes = page.run(NAMES)
    assert (axes[0], axes[-1]) == ("horizon", "gain")
    shown = [page.run(VALUE, name) for name in axes]
    assert all(shown)
    assert page.run(BEHIND_ITS_NAME), "a line must not cross a name"
    page.run("document.querySelector('#lines').scrollIntoView()")
    page.hover(page.find("#lines path.strand.best")[0])
    page.run(AT_A_LINE, "pointermove")
    pointed = page.text("#lines .called")
    page.run(AT_A_LINE, "click")
    assert page.text("#trial h2") == f"Trial {pointed.partition(':')[0]}"


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


@pytest.mark.parametrize(("maximize", "width"), [(False, 390), (True, 1280)])
def test_the_target_is_named_where_it_covers_nothing(
    window: Browser, tmp_path: Path, maximize: bool, width: int
) -> None:
    """Its name covers no trial's mark in the front, though the control's last run lies at the
    target and at the edge, and no curve, though the chosen trial's begins beside the target.
    """
    path = tmp_path / "report.html"
    known = Background(metric=Metric("accuracy" if maximize else "validation loss", maximize))
    window.resize(width, 1400)
    for plot, marks, table in (
        (".plot", ".point :not(.ring)", _saturated()),
        (".curve-plot", "path.curve, path.behind", _at_once()),
    ):
        path.write_bytes(render("html", summary(table, None, known), table))
        window.open(path)
        until(lambda: window.find(".curve-plot svg"), "drawing")
        assert window.run(TARGET_COVERS, plot, marks) == 0
        assert window.run(OVERLAPS) == []


def test_the_control_is_named_beside_the_gain_on_a_phone(window: Browser, tmp_path: Path) -> None:
    """An accuracy that training for less brings to one count for long: its line ends at the height
    at which the gain is named, and to its right there is no room.
    """
    ends = [(4.0, 315), (2.0, 315), (2.51, 315), (3.02, 315), (3.52, 315), (6.01, 317), (9.02, 317)]
    own = [_own(i, 4.0, seconds, -count / 342) for i, (seconds, count) in enumerate(ends)]
    found = [record(7, 4.02, -317 / 342), record(8, 4.05, -317 / 342), record(9, 4.01, -318 / 342)]
    table = frame_of([*own, *found]).assign(target_loss=-315 / 342)
    known = dataclasses.replace(background({7: 1.5}), metric=Metric("accuracy", maximize=True))
    path = tmp_path / "report.html"
    path.write_bytes(render("html", summary(table, None, known), table))
    window.resize(390, 1400)
    window.open(path)
    until(lambda: window.find(".plot svg"), "drawing")
    assert {"gain 1.50", "training for less"} <= set(window.run(HALOS))
    assert window.run(OVERLAPS) == []


def _saturated() -> pd.DataFrame:
    """Training for less that has its best loss before its end; the target is the loss there."""
    ends = [(1.11, 0.0464), (0.55, 0.132), (0.69, 0.0538), (0.83, 0.082), (0.97, 0.0445)]
    own = [_own(i, 1.11, seconds, loss) for i, (seconds, loss) in enumerate(ends)]
    recipes = [
        record(number, seconds, loss, curve=_curve([4 * loss, 2 * loss, loss], seconds))
        for number, seconds, loss in ((5, 1.114, 0.028), (6, 1.122, 0.037), (7, 1.11, 0.0538))
    ]
    return frame_of([*own, *recipes]).assign(target_loss=0.0464)


def _at_once() -> pd.DataFrame:
    """A recipe that is near the target at its first evaluation."""
    ends = [(5.06, 3.225), (2.53, 3.293), (3.17, 3.27), (3.81, 3.257), (7.6, 3.17), (11.4, 3.09)]
    own = [_own(i, 5.06, seconds, loss) for i, (seconds, loss) in enumerate(ends)]
    falls = (3.265, 3.05, 2.93, 2.8, 2.74, 2.7, 2.65, 2.62)
    recipe = record(6, 5.08, 2.62, curve=_curve(falls, 5.08))
    return frame_of([*own, recipe]).assign(target_loss=3.225)


def _own(number: int, whole: float, seconds: float, loss: float) -> TrialRecord:
    """A run of the own control, of which one at horizon 1 takes ``whole``."""
    falls = [loss * (1 + share) for share in (0.5, 0.12, 0.06, 0.02, 0.01, 0.007, 0.003, 0)]
    known = {"policy": "full_update", "origin": "control", "horizon": seconds / whole}
    return record(number, seconds, loss, curve=_curve(falls, seconds), **known)


def _curve(losses: Sequence[float], seconds: float) -> list[CurvePoint]:
    """Evaluations that are evenly spread over the seconds."""
    count = len(losses)
    return [CurvePoint(i, seconds * i / count, loss) for i, loss in enumerate(losses, 1)]


@pytest.mark.parametrize(
    ("maximize", "unit"), [(False, 1.0), (True, 1.0), (True, 1e200), (False, 1e-300)]
)
def test_better_is_on_its_own_side_whatever_the_size(
    window: Browser, tmp_path: Path, maximize: bool, unit: float
) -> None:
    """Of a score the highest value is the highest point, of a loss the lowest; ticks are read in
    the metric's own sign and rise, and no label covers another at a phone's width.
    """
    table = search_frame()
    for name in ("val_loss", "target_loss"):
        table[name] = (table[name] - (3.0 if maximize else 0.0)) * unit
    table = table.assign(curve=None)
    name = "<b>accuracy</b>" if maximize else "validation loss"
    known = Background(metric=Metric(name, maximize))
    path = tmp_path / "report.html"
    path.write_bytes(render("html", summary(table, None, known), table))
    window.resize(390, 1400)
    window.open(path)
    until(lambda: window.find(".plot svg"), "drawing")
    assert window.errors() == []
    assert window.run(OVERLAPS) == []
    assert name in window.text("figcaption")
    reading = summary(table)
    best, worst = reading.front["number"].iloc[-1], reading.front["number"].iloc[0]
    above = window.run(HEIGHT, int(best)) < window.run(HEIGHT, int(worst))
    assert above == maximize
    ticks = [float(text) for text in window.run(TICKS)]
    assert len(ticks) > 2
    assert ticks == sorted(ticks)
    assert all(0 < tick < 3 * unit for tick in ticks)


HALOS = """
return [...document.querySelectorAll('.plot text.halo')].map((t) => t.textContent);
"""
NAMES = """
return [...document.querySelectorAll('#lines .name')].map((t) => t.lastChild.textContent);
"""
VALUE = """
const names = [...document.querySelectorAll('#lines .name')];
const at = names.findIndex((t) => t.lastChild.textContent === arguments[0]);
return [...document.querySelectorAll('#lines .value')][at].textContent;
"""
BEHIND_ITS_NAME = """
    const line = document.querySelector("#lines path.chosen");
    const name = document.querySelector("#lines text.name");
    return Boolean(line.compareDocumentPosition(name) & Node.DOCUMENT_POSITION_FOLLOWING)"""
AT_A_LINE = """
const strand = document.querySelector('#lines path.strand.best');
const place = strand.getPointAtLength(20).matrixTransform(strand.getScreenCTM());
const at = {clientX: place.x, clientY: place.y, bubbles: true};
strand.dispatchEvent(new PointerEvent(arguments[0], at));
"""
TARGET_COVERS = """
const [plot, marks] = arguments, svg = document.querySelector(`${plot} svg`);
const named = [...svg.querySelectorAll('text')].find((t) => t.textContent.startsWith('target'));
const box = named.getBoundingClientRect();
const within = ({x, y}) => x > box.left && x < box.right && y > box.top + 2 && y < box.bottom - 2;
const places = (mark) => {
  if (!mark.matches('.line')) {
    const { left, right, top, bottom } = mark.getBoundingClientRect();
    const middle = [(left + right) / 2, (top + bottom) / 2];
    return [[left, top], [right, top], [left, bottom], [right, bottom], middle].map(
      ([x, y]) => ({ x, y }));
  }
  const long = mark.getTotalLength(), seen = mark.getScreenCTM();
  return Array.from({ length: 200 }, (_, i) =>
    mark.getPointAtLength(long * i / 199).matrixTransform(seen));
};
return [...svg.querySelectorAll(marks)].flatMap(places).filter(within).length;
"""
HEIGHT = """
const ring = document.querySelector(`.plot .point[data-trial="${arguments[0]}"] .ring`);
return ring.getBoundingClientRect().top;
"""
TICKS = """
const texts = [...document.querySelectorAll('.plot line.grid + text')];
const top = (text) => text.getBoundingClientRect().top;
return texts.sort((a, b) => top(b) - top(a)).map((text) => text.textContent);
"""
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
const plots = '.plot svg, .curve-plot svg, .decision-plot svg, .lines-plot svg';
for (const svg of document.querySelectorAll(plots)) {
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
