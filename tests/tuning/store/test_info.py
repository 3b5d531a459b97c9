"""run.json: what is written is read back, and what cannot be read is refused with one message."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given

from tests.support.stores import INFO
from tests.support.strategies import run_infos
from tuning.errors import BadInput
from tuning.store.info import SCHEMA_VERSION, RunInfo


@given(run_infos())
def test_reading_is_the_inverse_of_writing(info: RunInfo) -> None:
    """Any description, through JSON text and back, is equal."""
    assert RunInfo.from_json(info.to_json()) == info


@pytest.mark.parametrize(
    ("schema", "age"), [(SCHEMA_VERSION + 1, "newer"), (SCHEMA_VERSION - 1, "older")]
)
def test_another_schema_is_refused_with_what_to_do(schema: int, age: str) -> None:
    """A run.json of another schema names both schemas and the version that reads it."""
    text = json.dumps(
        json.loads(INFO.to_json()) | {"schema_version": schema, "version": "7.8.9", "new": 1}
    )
    with pytest.raises(
        BadInput, match=rf"schema_version {SCHEMA_VERSION}, but got {schema}.*{age}.*7\.8\.9"
    ):
        RunInfo.from_json(text)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema_version": 1}', "not json", '{"schema_version": "x"}']
)
def test_what_is_no_description_is_refused(text: str) -> None:
    """Anything else ends in one BadInput, never in another error."""
    with pytest.raises(BadInput, match=r"run\.json must describe a run"):
        RunInfo.from_json(text)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused(number: str) -> None:
    """Whoever wrote them there: this program writes none, and could not write them again."""
    text = INFO.to_json().replace('"timing_seconds": 0.0', f'"timing_seconds": {number}')
    with pytest.raises(BadInput, match=rf"finite number must hold, but got {number}"):
        RunInfo.from_json(text)


def test_a_run_of_another_version_is_not_resumed() -> None:
    """The message names both versions; the same version passes."""
    INFO.require_version("0.1.0")
    with pytest.raises(BadInput, match=r"\(0\.1\.0\), but this is 0\.2\.0"):
        INFO.require_version("0.2.0")


def test_a_knob_of_no_kind_and_a_time_without_zone_are_refused() -> None:
    """Both are mistakes of the program, so ValueError."""
    with pytest.raises(ValueError, match="knob column must be one of"):
        dataclasses.replace(INFO, knob_columns={"a": "complex"})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="time zone"):
        dataclasses.replace(INFO, created_at=INFO.created_at.replace(tzinfo=None))
