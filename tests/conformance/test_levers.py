"""What every lever keeps to, whoever wrote it: the suite is run for each that is found."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator

import pytest

from models.levers.form import PLAIN
from models.levers.lever import Lever
from models.levers.levers import NO_LEVERS, Levers, kinds, make_levers
from policies.rules import Scalar

KINDS = [pytest.param(kind, id=kind.name) for kind in kinds()]
TERMS = ("required_flops", "effective_flops_per_second", "pipeline_overhead")


def broken(kind: type[Lever]) -> Iterator[dict[str, object]]:
    """Settings each with one value that breaks its rule: of a wrong type, or out of range."""
    for field in dataclasses.fields(kind):
        yield {field.name: "no such value"} if str(field.type) != "str" else {field.name: 0}
        if str(field.type) in ("int", "float"):
            yield {field.name: field.metadata["low"] - 1}
            yield {field.name: field.metadata["high"] + 1}


@pytest.mark.parametrize("kind", KINDS)
class TestLever:
    def test_at_its_defaults_it_is_off(self, kind: type[Lever]) -> None:
        """So that a run is with it as it is without it."""
        assert not kind().on
        assert kind() in NO_LEVERS.parts
        assert kind.off()

    def test_it_says_what_it_is(self, kind: type[Lever]) -> None:
        """Its term and needs, and of each setting its meaning and what it may be."""
        assert kind.term in TERMS
        assert kind.needs
        for field in dataclasses.fields(kind):
            assert field.metadata["meaning"]
            bounded = field.metadata["low"] > -float("inf") and field.metadata["high"] < float(
                "inf"
            )
            assert bounded or field.metadata["choices"] or str(field.type) == "bool"

    def test_what_breaks_a_rule_is_refused(self, kind: type[Lever]) -> None:
        """Each wrong value by the name of its setting."""
        for values in broken(kind):
            with pytest.raises(ValueError, match=next(iter(values))):
                kind(**values)

    def test_its_settings_are_knobs(self, kind: type[Lever]) -> None:
        """They go through JSON, and make the lever that they were taken from."""
        values: dict[str, Scalar] = json.loads(json.dumps(dataclasses.asdict(kind())))
        assert make_levers(values) == NO_LEVERS
        assert Levers(kind()).of(kind) == kind()

    def test_off_it_makes_nothing_of_a_form(self, kind: type[Lever]) -> None:
        """No step costs anything else, and nothing is charged beside steps."""
        assert kind().shapes(PLAIN, 4) == (PLAIN,)
        assert kind().shaped(PLAIN, 0.3) == PLAIN
        assert kind().events(4) == ()
