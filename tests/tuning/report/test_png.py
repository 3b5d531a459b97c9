"""The picture: a PNG of any table, without touching pyplot."""

from __future__ import annotations

import io
import subprocess
import sys

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.support.frames import frame_of, points, record, search_frame
from tests.support.verdicts import background
from tuning.findings.summary import summary
from tuning.report.png import draw, png_bytes
from tuning.report.points import whiskers


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
    assert image.shape[:2] == (840, 1350)
    assert image.std() > 0


def test_it_shows_what_the_page_shows() -> None:
    """Axes with units, and direct labels for the control, the front, the target and the gain."""
    figure = Figure()
    draw(figure, summary(search_frame()))
    axes = figure.axes[0]
    assert axes.get_xlabel() == "training time in solo seconds"
    assert axes.get_ylabel() == "validation loss"
    texts = " ".join(text.get_text() for text in axes.texts)
    for label in ("training for less (full_update)", "front, #", "target 1.9500", "gain 1.09"):
        assert label in texts


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


def test_pyplot_is_never_imported() -> None:
    """In a fresh interpreter.

    Pyplot keeps global state and picks a backend, which a library must not.
    """
    code = (
        "import sys; from tests.support.frames import search_frame; from tuning.findings.summary "
        "import summary; "
        "from tuning.report.png import png_bytes; png_bytes(summary(search_frame(12))); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
