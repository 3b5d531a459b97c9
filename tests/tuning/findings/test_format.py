"""How numbers are written."""

from __future__ import annotations

import pytest

from tuning.findings import format as form


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0123, "0.0123 s"),
        (9.6, "9.60 s"),
        (120.0, "120 s"),
        (3725.4, "3725 s"),
        (0.0, "0.00 s"),
    ],
)
def test_seconds(value: float | None, text: str) -> None:
    assert form.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (1.95, "1.9500"), (0.0, "0.0000"), (0.000123, "1.230e-04")]
)
def test_loss(value: float | None, text: str) -> None:
    assert form.loss(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (5.461e12, "5.46 TFLOP"),
        (999.0, "999 FLOP"),
        (2e19, "20 EFLOP"),
        (0.0, "0 FLOP"),
    ],
)
def test_amount(value: float | None, text: str) -> None:
    assert form.amount(value, "FLOP") == text


def test_knobs() -> None:
    """Booleans as TOML writes them, floats to four figures, the order kept."""
    assert (
        form.knobs({"b": True, "a": 0.123456, "n": 3, "s": "ratio"})
        == "b=true, a=0.1235, n=3, s=ratio"
    )
