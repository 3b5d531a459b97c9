"""A workload's own knobs: what a factory may declare, and a message for every way to do it wrong.

Factories are declared here, with annotations that are text, as most modules have them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Any

import pytest

from models.knobs import Choice, Float, Int, OwnKnob, costly, own_knobs, values_given
from models.registry import find_workload, own_knobs_of
from models.workload import Workload
from tests.support.tiny import tiny

KNOBBY = "tests.support.knobby:make"


def test_embedded_workloads_have_none() -> None:
    """Also one with an argument that is no knob."""
    assert own_knobs_of("byte_lm") == {}


def test_ranges_and_defaults_are_read() -> None:
    known = own_knobs_of(KNOBBY)
    assert list(known) == ["dropout", "width", "layers"]
    assert known["dropout"] == OwnKnob(Float(0.0, 0.5, changes_cost=False), 0.0)
    assert known["layers"].default == 4
    assert known["width"].range.unit == "features"


def test_partial_and_callable_factories_have_them() -> None:
    """The default that counts is the one in force."""

    class Factory:
        def __call__(self, *, width: Annotated[int, Int(1, 8)] = 2) -> Workload:
            return tiny()

    def make(*, width: Annotated[int, Int(1, 8)] = 2) -> Workload:
        return tiny()

    assert own_knobs(Factory(), "w")["width"].default == 2
    assert own_knobs(functools.partial(make, width=3), "w")["width"].default == 3


def test_the_whole_number_of_a_float_is_a_float() -> None:
    """So that a column of its values has one type."""

    def make(*, rate: Annotated[float, Float(0, 4)] = 1) -> Workload:
        return tiny()

    assert isinstance(own_knobs(make, "w")["rate"].default, float)


def no_default(*, width: Annotated[int, Int(1, 4)]) -> Workload:
    return tiny()


def outside(*, width: Annotated[int, Int(1, 4)] = 9) -> Workload:
    return tiny()


def other_type(*, width: Annotated[int, Int(1, 4)] = 2.0) -> Workload:  # type: ignore[assignment]
    return tiny()


def other_hint(*, width: Annotated[str, Int(1, 4)] = 2) -> Workload:  # type: ignore[assignment]
    return tiny()


def bare(*, width: Annotated[int, Int] = 2) -> Workload:
    return tiny()


def pair(*, width: Annotated[int, (1, 4)] = 2) -> Workload:
    return tiny()


def crossed(*, width: Annotated[int, Int(4, 1)] = 2) -> Workload:
    return tiny()


def log_of_zero(*, width: Annotated[float, Float(0.0, 1.0, log=True)] = 0.5) -> Workload:
    return tiny()


def infinite(*, width: Annotated[float, Float(0.0, float("inf"))] = 0.5) -> Workload:
    return tiny()


def half(*, width: Annotated[int, Int(0.5, 4)] = 2) -> Workload:
    return tiny()


def one_choice(*, width: Annotated[str, Choice(("a",))] = "a") -> Workload:
    return tiny()


def mixed(*, width: Annotated[str, Choice(("a", 1))] = "a") -> Workload:
    return tiny()


def twice(*, width: Annotated[str, Choice(("a", "a"))] = "a") -> Workload:
    return tiny()


def two(*, width: Annotated[int, Int(1, 4), Int(1, 8)] = 2) -> Workload:
    return tiny()


def positional(width: Annotated[int, Int(1, 4)] = 2, /) -> Workload:
    return tiny()


def as_type(*, width: Int(1, 4) = 2) -> Workload:  # type: ignore[valid-type]
    return tiny()


def as_default(*, width: Any = Int(1, 4)) -> Workload:  # noqa: B008
    return tiny()


def within(*, width: Annotated[int, Int(1, 4)] | None = 2) -> Workload:
    return tiny()


def as_object(*, width: Any = 2) -> Workload:
    return tiny()


as_object.__annotations__["width"] = Int(1, 4)


WRONG: dict[Callable[..., Workload], str] = {
    no_default: "a default must be given",
    outside: "the default must be a whole number from 1 to 4, but got 9",
    other_type: "the default must be a whole number from 1 to 4, but got 2.0",
    other_hint: "the annotated type must be that of its range",
    bare: "a range must be given, but got the bare Int",
    pair: "a range must be Float(low, high), Int(low, high) or Choice((a, b)) of models.knobs",
    crossed: "low < high must hold",
    log_of_zero: "low > 0 must hold on a log scale",
    infinite: "low and high must be finite numbers",
    half: "low and high must be whole numbers",
    one_choice: "at least two choices must be given",
    mixed: "choices must be values of one plain type",
    twice: "choices must differ",
    two: "one range must be given, but got 2",
    positional: "it must be a keyword argument",
    as_type: "a range must stand beside its type, as in x: Annotated",
    as_object: "but it stands in place of the type",
    as_default: "but it stands in place of the default",
    within: "but it stands within another type",
}


@pytest.mark.parametrize("factory", WRONG, ids=lambda factory: factory.__name__)
def test_a_wrong_declaration_is_named(factory: Callable[..., Workload]) -> None:
    with pytest.raises(ValueError, match="workload 'mine': knob width: ") as caught:
        own_knobs(factory, "mine")
    assert WRONG[factory] in str(caught.value)


def test_a_hint_that_cannot_be_read_is_named_where_it_matters() -> None:
    """Only beside a range: a type that is imported for checkers alone refuses no workload."""

    def unread(*, other: Nowhere = None) -> Workload:  # type: ignore[name-defined]  # noqa: F821
        return tiny()

    def beside(
        *,
        other: Nowhere = None,  # type: ignore[name-defined]  # noqa: F821
        width: Annotated[int, Int(1, 4)] = 2,
    ) -> Workload:
        return tiny()

    assert own_knobs(unread, "mine") == {}
    with pytest.raises(ValueError, match="annotations of its factory must be names"):
        own_knobs(beside, "mine")


def test_a_workload_is_built_with_its_values() -> None:
    """What is not given stays; the name is that of the workload as it is."""
    found = find_workload(KNOBBY, own={"width": 24})
    assert found.name == "knobby"
    assert found.make_model(0).stem[0].weight.shape[0] == 24  # type: ignore[index,union-attr]
    assert len(found.blocks(found.make_model(0))) == 4


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"depth": 3}, r"knob depth must be one of its own \['dropout', 'layers', 'width'\]"),
        ({"width": 65}, "knob width must be a whole number from 16 to 64, but got 65"),
        ({"width": 24.5}, "knob width must be a whole number from 16 to 64, but got 24.5"),
        ({"dropout": True}, "knob dropout must be a number from 0.0 to 0.5, but got True"),
        ({"layers": 3}, r"knob layers must be one of \[2, 4\], but got 3"),
    ],
)
def test_values_it_does_not_declare_are_refused(own: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_workload(KNOBBY, own=own)


def longer(*, width: Annotated[int, Int(1, 4)] = 2) -> Workload:
    """Another horizon with another width, which no search could compare."""
    return replace(tiny(), steps=20 * width)


def breaks(*, width: Annotated[int, Int(1, 4)] = 2) -> Workload:
    """No width of four."""
    if width > 3:
        raise RuntimeError("too wide")
    return tiny()


def test_another_task_is_refused() -> None:
    with pytest.raises(ValueError, match=r"be the same task .* with width=4 it has other step"):
        find_workload(f"{__name__}:longer", own={"width": 4})


def test_a_factory_that_fails_names_the_values() -> None:
    with pytest.raises(ValueError, match=r"could not be built with width=4: .*too wide"):
        find_workload(f"{__name__}:breaks", own={"width": 4})


def test_what_may_cost_is_all_that_is_not_declared_free() -> None:
    known = own_knobs_of(KNOBBY)
    own = values_given(known, {"width": 24, "dropout": 0.25, "layers": 2}, "knobby")
    assert costly(known, own) == {"width": 24, "layers": 2}
    assert costly(known, {"dropout": 0.25}) == {}
