"""The kinds of knob: their ends, their shares of [0, 1], and ranges that cannot be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search_spaces.knobs import STEP, Choice, Fixed, Float, Int, Knob, same

UNIT = st.floats(0, 1)
KNOBS = (
    Float("x", -2.0, 3.0),
    Float("x", 1e-3, 10.0, log=True),
    Int("n", 1, 8),
    Int("n", 5, 200, log=True),
    Choice("c", (False, True)),
    Choice("c", ("a", "b", "c")),
    Fixed("f", 0.5),
)


@pytest.mark.parametrize("knob", KNOBS, ids=repr)
@given(u=UNIT)
def test_every_value_lies_in_the_range(knob: Knob, u: float) -> None:
    """Property: whatever the coordinate, the knob contains the value at it."""
    assert knob.contains(knob.at(u))


@pytest.mark.parametrize("knob", KNOBS, ids=repr)
@given(u=UNIT, seed=st.integers(0, 2**32))
def test_what_is_beside_a_value_is_another_of_the_range(knob: Knob, u: float, seed: int) -> None:
    """Property: wherever the value lies, at an end too; of a fixed knob there is no other."""
    value = knob.at(u)
    found = knob.beside(value, np.random.default_rng(seed))
    assert knob.contains(found)
    assert same(found, value) == isinstance(knob, Fixed)


def test_a_number_beside_another_is_mostly_near() -> None:
    """Two thirds of the steps are shorter than their standard deviation, on the knob's scale."""
    knob, draws = Float("x", 1e-4, 1.0, log=True), np.random.default_rng(0)
    steps = [abs(math.log10(float(knob.beside(0.01, draws))) + 2) / 4 for _ in range(1000)]
    assert 0.62 < sum(step < STEP for step in steps) / 1000 < 0.74


@pytest.mark.parametrize("knob", KNOBS, ids=repr)
def test_the_ends_are_reached(knob: Knob) -> None:
    """Compares the values at 0 and 1 with the first and last of ``values``."""
    for u, end in ((0.0, knob.values()[0]), (1.0, knob.values()[-1])):
        assert knob.at(u) == (pytest.approx(end) if isinstance(end, float) else end)


@given(low=st.floats(-1e6, 1e6), width=st.floats(0, 1e6), a=UNIT, b=UNIT)
def test_a_range_ascends(low: float, width: float, a: float, b: float) -> None:
    """Property: of two coordinates the greater never has the lesser value."""
    knob = Float("x", low, low + width)
    assert knob.at(min(a, b)) <= knob.at(max(a, b))


def test_a_log_scale_halves_by_ratio() -> None:
    """The middle of 0.01 … 1 is their geometric mean."""
    assert math.isclose(Float("x", 0.01, 1.0, log=True).at(0.5), 0.1)


def test_whole_numbers_have_equal_shares() -> None:
    """Of 8,000 evenly spaced coordinates each of eight numbers has a thousand."""
    values = [Int("n", 1, 8).at((i + 0.5) / 8000) for i in range(8000)]
    assert [values.count(n) for n in range(1, 9)] == [1000] * 8


def test_types_are_told_apart() -> None:
    """True is no number, 1.0 no whole number and 1 not True."""
    assert not Float("x", 0, 1).contains(True)
    assert not Int("n", 0, 3).contains(1.0)
    assert not Choice("c", (False, True)).contains(1)
    assert Float("x", 0, 1).contains(1)
    assert not same(True, 1)
    assert same(1, 1.0)


@pytest.mark.parametrize(
    ("knob", "fault"),
    [
        (Float("x", 3, 1), "x: low <= high must hold, but got (low=3, high=1)"),
        (Float("x", 0, 1, log=True), "x: low > 0 must hold on a log scale, but got low=0"),
        (Float("x", 0, math.inf), "x: low and high must be finite, but got (low=0, high=inf)"),
        (Int("n", 4, 2), "n: low <= high must hold, but got (low=4, high=2)"),
        (Choice("c", ()), "c: at least one choice must be left, but got []"),
        (Choice("c", ("a", "a")), "c: choices must differ, but got ['a', 'a']"),
        (Fixed("f", math.nan), "f: a fixed value must be finite, but got nan"),
    ],
)
def test_a_range_that_cannot_be_is_a_fault(knob: Knob, fault: str) -> None:
    """Compares the message: the rule, then the values."""
    assert knob.faults() == [fault]


def test_identity_leaves_out_what_is_only_read() -> None:
    """Two knobs that differ in unit and meaning are one to a search.

    One with another end is not.
    """
    plain, told = Float("x", 0, 1), Float("x", 0, 1, unit="s", meaning="seconds")
    assert plain.identity() == told.identity() != Float("x", 0, 2).identity()


@given(
    low=st.floats(-5, 5),
    width=st.floats(0.1, 10),
    likely=st.floats(-20, 20),
    unsure=st.floats(0.02, 1.0),
    places=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_guess_lies_in_the_range_and_grows_with_its_place(
    low: float, width: float, likely: float, unsure: float, places: tuple[float, float]
) -> None:
    """Property: whatever is likely, within the range or beyond it."""
    knob = Float("x", low, low + width, likely=likely, unsure=unsure)
    first, second = (knob.guess(u) for u in sorted(places))
    assert knob.contains(first)
    assert knob.contains(second)
    assert float(first) <= float(second)


@pytest.mark.parametrize("log", [False, True])
def test_guesses_gather_about_what_is_likely(log: bool) -> None:
    """Half of them lie within two thirds of a standard deviation, where no end is near."""
    knob = Float("x", 1.0, 100.0, log, likely=10.0 if log else 50.5, unsure=0.1)
    guesses = [float(knob.guess((i + 0.5) / 100)) for i in range(100)]
    below, above = knob.at(0.5 - 0.0675), knob.at(0.5 + 0.0675)
    assert 48 <= sum(below <= guess <= above for guess in guesses) <= 52


@given(u=st.floats(0, 1))
def test_without_anything_likely_a_guess_is_any_value(u: float) -> None:
    """Property: the same as a uniform draw, of every kind."""
    for knob in (Float("x", 0.0, 2.0), Int("n", 1, 9), Choice("c", (1, 2, 3)), Fixed("f", 3)):
        assert knob.guess(u) == knob.at(u)


def test_what_is_likely_belongs_to_a_knobs_identity_and_nothing_else_does() -> None:
    """A search whose draws it changes is another; one of knobs without it is as it was."""
    plain = Float("x", 0.0, 1.0)
    assert "likely" not in plain.identity()
    assert "unsure" not in plain.identity()
    assert Float("x", 0.0, 1.0, likely=0.5).identity() != plain.identity()
