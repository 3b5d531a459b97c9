"""The columns of the trials' table, as ``TrialRecord`` has them: names, types, and nulls."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from tuning.store.info import KnobKind
from tuning.trial.metric import METRIC
from tuning.trial.recipe import KNOB, Recipe
from tuning.trial.trial import TrialRecord

PLAIN: Mapping[type, Any] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    datetime: pa.timestamp("us", tz="UTC"),
}
_KNOB_TYPES: Mapping[KnobKind, type] = {"float": float, "int": int, "bool": bool, "str": str}


def schema_of(knob_columns: Mapping[str, KnobKind], metrics: Sequence[str] = ()) -> Any:
    """The Arrow schema of a run's trials."""
    return pa.schema([*_fields(knob_columns, metrics)])


def _fields(knob_columns: Mapping[str, KnobKind], metrics: Sequence[str]) -> Iterator[Any]:
    recipe = typing.get_type_hints(Recipe)
    for name, hint in typing.get_type_hints(TrialRecord).items():
        if name == "seed":  # a recipe's parts stand around it
            yield _field("policy", recipe["policy"])
            yield _field(name, hint)
            yield _field("horizon", recipe["horizon"])
            yield from (pa.field(KNOB + n, PLAIN[_KNOB_TYPES[k]]) for n, k in knob_columns.items())
        elif name == "metrics":
            yield from (pa.field(METRIC + each, pa.float64()) for each in metrics)
        elif name != "recipe":
            yield _field(name, hint)


def _field(name: str, hint: Any) -> Any:
    given = [part for part in typing.get_args(hint) if part is not types.NoneType]
    optional = isinstance(hint, types.UnionType)
    return pa.field(name, _arrow(given[0] if optional else hint), nullable=optional)


def _arrow(hint: Any) -> Any:
    """The Arrow type of values of a type."""
    if typing.get_origin(hint) is typing.Literal:
        return pa.string()
    if typing.get_origin(hint) is tuple:
        # "element" is what Parquet calls a list's items: with it a file is read with the very
        # schema it is written with.
        return pa.list_(pa.field("element", _arrow(typing.get_args(hint)[0])))
    if dataclasses.is_dataclass(hint):
        parts = typing.get_type_hints(hint)
        return pa.struct([(name, _arrow(part)) for name, part in parts.items()])
    return PLAIN[hint]


_OF_ANY_RUN = schema_of({})
REQUIRED = tuple(field.name for field in _OF_ANY_RUN if not field.nullable)
COUNTS = tuple(name for name in REQUIRED if _OF_ANY_RUN.field(name).type == pa.int64())
NESTED = tuple(field.name for field in _OF_ANY_RUN if pa.types.is_list(field.type))
TIMES = tuple(field.name for field in _OF_ANY_RUN if pa.types.is_timestamp(field.type))
