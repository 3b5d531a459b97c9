"""How numbers are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.findings import format as form
from tuning.trial.metric import Metric


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
    ("value", "text"),
    [
        (None, "–"),
        (1.95, "1.950"),
        (0.0, "0"),
        (-0.0, "0"),
        (0.0001234, "0.0001234"),
        (0.00001234, "1.234e-05"),
        (9.99996, "10.00"),
        (12345.0, "12345"),
        (1234567.0, "1.235e+06"),
        (-4.9123, "-4.912"),
        (1e200, "1.000e+200"),
        (1e-300, "1.000e-300"),
        (5e-324, "4.941e-324"),
    ],
)
def test_loss(value: float | None, text: str) -> None:
    """To four significant digits, whatever the size."""
    assert form.loss(value) == text


SIZES = st.floats(-300, 300).map(lambda power: 10.0**power)


@given(st.floats(-1e3, 1e3), SIZES)
def test_a_number_is_read_back_to_four_digits(value: float, size: float) -> None:
    """Python's own reader gives what was written, to half of the fourth digit."""
    number = value * size
    assert float(form.significant(number)) == pytest.approx(number, rel=5.01e-4, abs=1e-320)
    assert len(form.significant(number)) <= 11


@given(
    st.lists(st.integers(-999, 999), min_size=2, max_size=8, unique=True), st.integers(-9, 9), SIZES
)
def test_values_that_differ_look_different(steps: list[int], shift: int, size: float) -> None:
    """Steps of a thousandth far from zero or near it, of any size."""
    values = [(shift + step / 1000) * size for step in steps]
    power = form.told_apart(values)
    assert len({form.significant(value, power) for value in values}) == len(values)


@given(st.floats(-1e3, 1e3), SIZES, st.booleans())
def test_a_value_that_is_no_better_was_reached(value: float, size: float, maximize: bool) -> None:
    """What is advised as a target lies on the worse side of the best, by less than a digit."""
    metric, loss = Metric("score", maximize), value * size
    advised = metric.loss(float(form.no_better(loss, metric)))
    assert advised >= loss
    assert advised == pytest.approx(loss, rel=2e-4, abs=1e-320)


def test_what_rounding_made_is_not_told_apart() -> None:
    """The same sum computed in two orders."""
    assert form.told_apart([0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1]) is None


@pytest.mark.parametrize(
    ("value", "step", "text"),
    [(2.05, 0.05, "2.05"), (1e-17, 0.1, "0"), (-5.0, 0.5, "-5.0"), (1.5e200, 5e199, "1.5e+200")],
)
def test_ticks(value: float, step: float, text: str) -> None:
    assert form.tick(value, step) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (5.461e12, "5.46 TFLOP"),
        (999.0, "999 FLOP"),
        (2e19, "20.0 EFLOP"),
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


@pytest.mark.parametrize(
    ("mean", "deviation", "power", "text"),
    [
        (2.978, 0.152, -3, "2.98 ± 0.15"),
        (0.99722, 0.0013, -5, "0.9972 ± 0.0013"),
        (1.7883, 0.0054, -4, "1.7883 ± 0.0054"),
        (0.9944, 7.8e-10, -4, "0.9944 ± under 0.0001"),
        (0.9944, 0.0, -4, "0.9944 ± 0"),
        (12345.6, 321.0, 0, "12346 ± 321"),
        (1e-300, 1e-302, None, "1.000e-300 ± 1.0e-302"),
    ],
)
def test_a_mean_and_its_deviation_end_at_the_same_digit(
    mean: float, deviation: float, power: int | None, text: str
) -> None:
    """Neither shows what the other hides."""
    facts = {"mean": mean, "deviation": deviation, "seeds": 3}
    assert form.over_seeds(facts, power) == f"{text} over 3 seeds"


@given(st.floats(-1e5, 1e5), st.floats(0, 1e5), st.integers(-9, 2))
def test_any_mean_and_deviation_can_be_told(mean: float, deviation: float, power: int) -> None:
    """Whatever their sizes, what is read back is near what was said: a tenth, or half of the last
    digit.
    """
    told = form.over_seeds({"mean": mean, "deviation": deviation, "seeds": 2}, power)
    first, _, rest = told.removesuffix(" over 2 seeds").partition(" ± ")
    step = max(1e-3 * abs(mean), 0.1 * deviation)
    assert abs(float(first) - mean) <= max(step, 0.1 * abs(mean))
    said = float(rest.removeprefix("under "))
    half = 0.0 if "e" in rest else 0.5 * 10.0 ** -len(rest.partition(".")[2])
    allowed = max(0.1 * deviation, said if "under" in rest else half * (1 + 1e-9))
    assert abs(said - deviation) <= allowed
