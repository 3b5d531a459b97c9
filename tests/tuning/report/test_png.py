"""The picture: a PNG of any table, without touching pyplot."""

from __future__ import annotations

import dataclasses
import io
import itertools
import re
import subprocess
import sys

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.support.frames import frame_of, points, record, search_frame
from tests.support.verdicts import background
from tuning.findings.context import Asked, Background
from tuning.findings.paired import Bound
from tuning.findings.summary import summary
from tuning.findings.words import headline
from tuning.report.picture.png import draw, png_bytes
from tuning.report.picture.words import claim
from tuning.report.points import whiskers
from tuning.trial.metric import Metric


@pytest.mark.parametrize(
    "table",
    [
        search_frame(),
        search_frame(strong=False),
        frame_of([]),
        frame_of([record(0, None, None, state="failed")]),
        points([(3.0, 2.0)]),
    ],
)
def test_any_table_makes_a_picture(table: pd.DataFrame) -> None:
    """Decoded again, it has the size that is promised and is not blank."""
    image = matplotlib.image.imread(io.BytesIO(png_bytes(summary(table))), format="png")
    assert image.shape[:2] == (1012, 1800)
    assert image.std() > 0


def test_it_shows_what_the_page_shows() -> None:
    """Axes with units, and direct labels for the control, the front, the target and the gain."""
    figure = Figure()
    draw(figure, summary(search_frame()))
    axes = figure.axes[0]
    assert axes.get_xlabel() == "training time in solo seconds"
    assert axes.get_ylabel() == "validation loss"
    texts = " ".join(text.get_text() for text in axes.texts)
    for label in ("your own recipe", "the front", "target 1.9500", " instead of "):
        assert label in texts
    assert "48 finished" not in texts
    (claim, *verdict) = [text.get_text() for text in figure.texts]
    assert re.fullmatch(r"1\.\d\d× as fast to the same loss, on one seed", claim)
    assert " ".join(verdict) == headline(summary(search_frame()))


@pytest.mark.parametrize(
    "workload", ["/home/someone/a/long/way/to/my_models/of_2026/classifier.py:make", "w" * 400]
)
def test_a_long_name_of_the_workload_leaves_the_axes_their_room(workload: str) -> None:
    """By its place on the figure, with all that is said below the axes after a confirmation."""
    known = dataclasses.replace(background({37: 1.08}), asked=Asked(workload=workload))
    figure = Figure(figsize=(12.0, 6.75), layout="constrained")
    draw(figure, summary(search_frame(), None, known))
    figure.draw_without_rendering()
    place = figure.axes[0].get_position()
    assert place.width > 0.8
    assert place.height > 0.4
    last = max(figure.axes[0].texts, key=lambda text: len(text.get_text())).get_window_extent()
    assert last.x1 <= figure.bbox.x1
    assert last.y0 >= 0


@pytest.mark.parametrize("maximize", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_names_cover_no_line_and_no_other_name(seed: int, maximize: bool) -> None:
    """Looked up in pixels, over several searches, before and after a confirmation."""
    table = search_frame(seed=seed)
    for name in ("val_loss", "target_loss"):
        table[name] -= 3.0 if maximize else 0.0
    known = background({37: 1.08}) if seed % 2 else Background()
    known = dataclasses.replace(known, metric=Metric("score", True) if maximize else Metric())
    reading = summary(table, None, known)
    figure = Figure(figsize=(12.0, 6.75), layout="constrained")
    draw(figure, reading)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = {t.get_text(): t.get_window_extent() for t in axes.texts if t.get_text()}
    for (one, box), (other, second) in itertools.combinations(boxes.items(), 2):
        assert not box.overlaps(second), (one, other)
    points = pd.concat([reading.front, reading.control])
    heights = points["val_loss"].to_numpy() * (-1 if maximize else 1)
    places = axes.transData.transform(np.column_stack([points["train_seconds"], heights]))
    for text, box in boxes.items():
        assert not [xy for xy in places if box.contains(*xy)], text


@pytest.mark.parametrize("gain", [1.0, 1.08])
def test_no_line_of_the_verdict_runs_out_of_the_picture(gain: float) -> None:
    """In the small letters below a claim, and in the larger ones where nothing won."""
    reading = summary(search_frame(strong=gain > 1), None, background({37: gain}))
    assert bool(claim(reading)) == (gain > 1)
    figure = Figure(figsize=(12.0, 6.75), layout="constrained")
    draw(figure, reading)
    figure.draw_without_rendering()
    lines = [text.get_window_extent() for text in figure.texts]
    assert len(lines) > 1
    assert max(line.x1 for line in lines) <= figure.bbox.x1


@pytest.mark.parametrize("known", [Background(), background({37: 1.0})])
def test_nothing_is_claimed_where_nothing_won(known: Background) -> None:
    """The verdict stands in its place, in the larger letters."""
    reading = summary(search_frame(strong=False), None, known)
    assert claim(reading) == ""
    figure = Figure()
    draw(figure, reading)
    assert " ".join(text.get_text() for text in figure.texts) == headline(reading)


@pytest.mark.parametrize(("bound", "before"), [("", ""), ("at least", "At least ")])
def test_a_confirmed_gain_is_claimed_as_it_is(bound: Bound, before: str) -> None:
    """With its bound, and not as the search's one seed has it."""
    known = background({37: 1.08})
    assert known.confirmed is not None
    (first, *rest) = known.confirmed.candidates
    first = dataclasses.replace(first, gain=1.25, bound=bound)
    known = dataclasses.replace(
        known, confirmed=dataclasses.replace(known.confirmed, candidates=(first, *rest))
    )
    reading = summary(search_frame(), None, known)
    assert claim(reading) == f"{before}1.25× as fast to the same loss"


def test_noise_and_confirmation_are_drawn() -> None:
    """The band is a filled area; a whisker is a line with its ends at the confirmed seconds."""
    reading = summary(search_frame(), None, background({37: 1.08}))
    figure = Figure()
    draw(figure, reading)
    axes = figure.axes[0]
    (mark,) = whiskers(reading)
    ends = [np.asarray(line.get_xdata()).tolist() for line in axes.lines]
    assert [mark["low"], mark["high"]] in ends
    plain = Figure()
    draw(plain, summary(search_frame()))
    assert len(axes.collections) == len(plain.axes[0].collections) + 1


@pytest.mark.parametrize("unit", [1.0, 1e200, 1e-300])
@pytest.mark.parametrize("maximize", [False, True])
def test_better_is_on_its_own_side_whatever_the_size(maximize: bool, unit: float) -> None:
    """Ticks are read in the metric's own sign and rise with their height; the best of the front is
    its highest point of a score, its lowest of a loss.
    """
    table = search_frame()
    for name in ("val_loss", "target_loss"):
        table[name] = (table[name] - (3.0 if maximize else 0.0)) * unit
    name = "accuracy in $%" if maximize else "validation loss"
    reading = summary(table, None, Background(metric=Metric(name, maximize)))
    figure = Figure()
    draw(figure, reading)
    axes = figure.axes[0]
    figure.canvas.draw()
    low, high = axes.get_ylim()
    labels = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
    ticks = [float(label.get_text()) for height, label in labels if low <= height <= high]
    assert len(ticks) > 2
    assert ticks == sorted(set(ticks))
    assert all(0 < tick < 3 * unit for tick in ticks)
    assert axes.get_ylabel() == name
    lines = [np.asarray(line.get_ydata()) for line in axes.lines]
    heights = next(line for line in lines if len(line) == len(reading.front))
    assert heights[-1] == (heights.max() if maximize else heights.min())


def test_pyplot_is_never_imported() -> None:
    """The test runs in a fresh interpreter.

    Pyplot keeps global state and picks a backend, which a library must not.
    """
    code = (
        "import sys; from tests.support.frames import search_frame; from tuning.findings.summary "
        "import summary; "
        "from tuning.report.picture.png import png_bytes; png_bytes(summary(search_frame(12))); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
