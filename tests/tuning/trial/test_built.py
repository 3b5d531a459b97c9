"""Dataclasses built of JSON: what was written comes back, and what is none is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.trial.built import built
from tuning.trial.clock import Ledger
from tuning.trial.recipe import Recipe, flat
from tuning.trial.trial import Scalar, TrialSpec

scalars = st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=3)


@dataclass(frozen=True)
class Inner:
    """A part of another."""

    pair: tuple[float | None, float | None]


@dataclass(frozen=True)
class Outer:
    """A field of each kind that the project's files hold."""

    when: datetime
    by_depth: Mapping[int, float]
    values: Mapping[str, Scalar]
    parts: tuple[Inner, ...] = ()
    one: Inner | None = None
    nested: Mapping[str, Outer] = field(default_factory=dict)


def through_json(value: object) -> object:
    return json.loads(json.dumps(value, default=datetime.isoformat))


@given(st.dictionaries(st.integers(0, 9), st.floats(0, 9)), st.dictionaries(st.text(), scalars))
def test_what_was_written_comes_back(by_depth: dict[int, float], values: dict[str, Scalar]) -> None:
    """Every kind of field, each scalar with its own type, parts within parts."""
    inner = Inner((None, 1.5))
    leaf = Outer(datetime(2026, 1, 2, tzinfo=UTC), by_depth, values)
    outer = dataclasses.replace(leaf, parts=(inner, inner), one=inner, nested={"a": leaf})
    found = built(Outer, through_json(dataclasses.asdict(outer)))
    assert found == outer
    assert [type(found.values[name]) for name in values] == [type(v) for v in values.values()]


def test_a_recipe_is_read_from_beside_the_other_values() -> None:
    """As files and tables have it."""
    spec = TrialSpec(3, "sampled", "w", Recipe("static_suffix", 0.5, {"depth": 2}), seed=1)
    assert built(TrialSpec, through_json(flat(dataclasses.asdict(spec)))) == spec


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"steps_at_depth": 3},
        {"steps_at_depth": {"x": 1}},
        {"steps_at_depth": {}, "probes": None},
        {"steps_at_depth": {}, "later": 1},
        {"forms": {"svd": {"probes": "many"}}},
    ],
)
def test_what_is_none_is_refused(data: object) -> None:
    """In one kind of error, which says what was to be read."""
    if data == {}:
        assert built(Ledger, data) == Ledger()
        return
    with pytest.raises(ValueError, match="no Ledger: "):
        built(Ledger, data)


def test_keys_of_a_later_version_are_passed_over_where_asked() -> None:
    """At any depth."""
    assert built(Ledger, {"forms": {"a": {"x": 1}}, "y": 2}, others=True) == Ledger(
        forms={"a": Ledger()}
    )
