"""Levers as pure data: which form a model has when, what a form is called, and which values are
refused.
"""

from __future__ import annotations

import dataclasses
from typing import cast

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.approximation.replace import KINDS
from models.levers import approximation, computing
from models.levers.approximation import Approximation
from models.levers.batch import BatchSize
from models.levers.computing import BACKENDS, Computing
from models.levers.depth import Depth
from models.levers.form import PLAIN, Form
from models.levers.lever import Lever
from models.levers.levers import (
    NO_LEVERS,
    Levers,
    divide_knobs,
    kinds,
    lever_settings,
    make_lever,
    make_levers,
)
from policies.registry import policies
from policies.rules import Scalar

FRACTIONS = st.floats(0, 1)


@st.composite
def approximations(draw: st.DrawFn) -> Approximation:
    start = draw(st.floats(0, 0.9))
    return Approximation(
        approximation=draw(st.sampled_from(approximation.KINDS)),
        approximation_start=start,
        recovery_steps=draw(st.integers(0, 3)),
        dense_from=draw(st.floats(start, 1, exclude_min=True)),
    )


def walk(levers: Levers, fractions: list[float]) -> list[Form]:
    """The forms of a run whose steps begin at these fractions."""
    forms: list[Form] = []
    for fraction in sorted(fractions):
        now = forms[-1] if forms else PLAIN
        since = next((i for i, form in enumerate(reversed(forms)) if form != now), len(forms))
        forms.append(levers.form(fraction, now, since))
    return forms


@given(approximations(), st.lists(FRACTIONS, min_size=1, max_size=30))
def test_plain_then_recovering_then_approximated_then_plain(
    lever: Approximation, fractions: list[float]
) -> None:
    """Property: approximated between its start and its end alone, recovering for its first steps
    alone.
    """
    forms = walk(Levers(lever), fractions)
    inside = [lever.applies(fraction) for fraction in sorted(fractions)]
    assert [form.approximated for form in forms] == inside
    approximated = [form for form in forms if form.approximated]
    recovering = [form.recovering for form in approximated]
    assert recovering == [index < lever.recovery_steps for index in range(len(recovering))]


@given(approximations(), st.lists(FRACTIONS, min_size=1, max_size=30))
def test_forms_lists_all_that_occur(lever: Approximation, fractions: list[float]) -> None:
    """Property: what a run can become was named before it began, so that it could be timed."""
    levers = Levers(lever)
    assert set(walk(levers, fractions)) <= {PLAIN, *levers.forms(4)}


@given(st.sampled_from(BACKENDS), st.booleans())
def test_computing_goes_with_every_form(backend: str, compiled: bool) -> None:
    """Property: kernels and compilation hold from the first step to the last, approximated or
    not.
    """
    levers = Levers(
        Approximation("svd", approximation_start=0.5), Computing(backend, compiled=compiled)
    )
    for form in walk(levers, [0.0, 0.6]):
        assert (form.attention, form.compiled) == (backend, compiled)


@st.composite
def settings_of(draw: st.DrawFn, kind: type[Lever]) -> Lever:
    """A lever with any settings, some of them at their defaults."""
    knobs: dict[str, Scalar] = {}
    for field in dataclasses.fields(kind):
        rule = field.metadata
        if rule["choices"]:
            values: st.SearchStrategy[Scalar] = st.sampled_from(rule["choices"])
        elif field.type == "bool":
            values = st.booleans()
        elif field.type == "int":
            values = st.integers(rule["low"], min(rule["high"], 9))
        else:
            values = st.floats(rule["low"], rule["high"])
        knobs[field.name] = draw(st.just(cast(Scalar, field.default)) | values)
    try:
        return make_lever(kind, knobs)
    except ValueError:
        hypothesis.reject()


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.name)
@given(data=st.data(), fractions=st.lists(FRACTIONS, min_size=1, max_size=9))
def test_a_settled_lever_does_the_same(
    kind: type[Lever], data: st.DataObject, fractions: list[float]
) -> None:
    """Property: it gives the same forms at every place, is charged for the same, is on where the
    lever is, and is settled; that its runs are the same is tried where runs are trained.
    """
    lever = data.draw(settings_of(kind))
    for blocks in (0, 1, 4):
        settled = lever.settled(blocks)
        assert settled.on is lever.on
        assert settled.settled(blocks) == settled
        assert walk(Levers(settled), fractions) == walk(Levers(lever), fractions)
        for known in (1, 4) if blocks == 0 else (blocks,):
            assert Levers(settled).charges(known) == Levers(lever).charges(known)


def test_forms_differ_by_name() -> None:
    """By hand: every field that differs shows in the key, and the workload's own form has none."""
    forms = [
        PLAIN,
        Form("svd"),
        Form("svd", 0.5),
        Form("svd", placement="all"),
        Form("svd", recovering=True),
        Form(attention="math"),
        Form(dtype="bfloat16"),
        Form(compiled=True),
    ]
    assert len({form.key for form in forms}) == len(forms)
    assert PLAIN.key == ""
    assert not NO_LEVERS.used


def test_names_are_unique() -> None:
    """A trial's knobs are told apart by name.

    No policy has a setting of a lever's name, nor has the search.
    """
    levers = set(lever_settings())
    for policy in policies().values():
        assert not levers & {f.name for f in dataclasses.fields(policy)}
    assert not levers & {"policy", "horizon"}
    assert sum(len(dataclasses.fields(kind)) for kind in kinds()) == len(levers)


def test_pure_settings_name_what_there_is() -> None:
    """The lists that need no torch are those of the code that does the work."""
    assert approximation.KINDS == KINDS
    assert computing.BACKENDS == BACKENDS


def test_knobs_are_divided_and_made() -> None:
    """By hand: the policy's settings on one side, the levers' made into levers."""
    knobs: dict[str, Scalar] = {"threshold": 0.5, "approximation": "svd", "compiled": True}
    assert divide_knobs(knobs) == ({"threshold": 0.5}, {"approximation": "svd", "compiled": True})
    assert make_levers(knobs) == Levers(Approximation("svd"), Computing(compiled=True))


def test_what_moves_a_prefix_is_refused_beside_it() -> None:
    """Activations that were kept would be of another prefix."""
    with pytest.raises(ValueError, match="cached_prefix and depth must not be pulled together"):
        make_levers({"prefix": 0.5, "depth_start": 0.5})


def test_every_fault_is_named_at_once() -> None:
    """Two levers with a bad value each, and a start after the end: one message."""
    with pytest.raises(
        ValueError, match=r"approximation must be one of .*; computing: dtype must be one of"
    ):
        make_levers({"approximation": "magic", "dtype": "float8"})
    with pytest.raises(
        ValueError, match=r"approximation_start < dense_from must hold, but got .*0.5.*0.4"
    ):
        make_levers({"approximation": "svd", "approximation_start": 0.5, "dense_from": 0.4})


def test_one_setting_of_each_lever() -> None:
    """A lever given twice, or one that is none, is refused."""
    with pytest.raises(TypeError, match="one each"):
        Levers(Computing(), Computing())


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 12), st.integers(1, 5), st.integers(1, 24))
def test_depth_grows_from_start_to_end(
    one: float, other: float, steps: int, blocks: int, twentieths: int
) -> None:
    """Property: stages begin in order, each block comes in with its own and is never taken out."""
    start, end = sorted((max(one, 0.001), max(other, 0.001)))
    lever = Depth(start, end, growth_at=twentieths / 24, growth_steps=steps)
    counts, stage_of = lever.counts(blocks), lever.stage_of(blocks)
    assert list(counts) == sorted(set(counts))
    stages = [lever.stage(f / 100, blocks) for f in range(101)]
    assert stages == sorted(stages)
    assert stages[-1] == len(counts) - 1
    for fraction, stage in enumerate(stages):
        present = lever.present(fraction / 100, blocks)
        assert present == tuple(range(counts[stage]))
        assert present == tuple(b for b in range(counts[-1]) if stage_of[b] <= stage)
    assert not any(stage_of[counts[-1] :])


def test_layer_dropout_falls() -> None:
    """Drawn from seed and step alone, the bottom block never, the top one as often as it says."""
    lever = Depth(layer_dropout=0.5, layer_dropout_until=0.8)
    present = (0, 1, 2, 3)
    draws = [lever.dropped(1, step, 0.0, present) for step in range(2000)]
    assert draws == [lever.dropped(1, step, 0.0, present) for step in range(2000)]
    shares = [sum(block in draw for draw in draws) / 2000 for block in present]
    assert shares == pytest.approx([0, 1 / 6, 1 / 3, 1 / 2], abs=0.05)
    assert not any(lever.dropped(1, step, 0.8, present) for step in range(200))
    assert not any(Depth().dropped(1, step, 0.0, present) for step in range(200))


@given(st.sampled_from([0.25, 0.5, 1.0, 3.0]), st.sampled_from([0.5, 1.0, 2.0, 4.0]), st.booleans())
def test_batches_go_from_start_to_end(start: float, end: float, ramp: bool) -> None:
    """Property: a run has the stages in their order and each of them."""
    lever = BatchSize(start, end, 0.6, ramp)
    factors = [lever.factor(fraction / 1000) for fraction in range(1001)]
    assert tuple(dict.fromkeys(factors)) == lever.stages()
    assert (factors[0], factors[600]) == (start, end)
