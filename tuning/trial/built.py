"""Dataclasses from the plain values that JSON holds, by the types of their fields.

The inverse of ``dataclasses.asdict`` by way of JSON: lists become tuples, the keys of a table by
depth become numbers, times become times. Where a class holds a recipe, the recipe's parts lie
beside its other values, as ``recipe.flat`` puts them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from tuning.trial.recipe import Recipe, folded

if TYPE_CHECKING:
    from cattrs import Converter

Built = TypeVar("Built")


def built(kind: type[Built], data: Any, *, others: bool = False) -> Built:
    """An instance of ``kind`` made of ``data``. With ``others``, keys that are no field are passed
    over.

    >>> from tuning.trial.clock import Ledger
    >>> built(Ledger, {"steps_at_depth": {"4": 10}, "probes": 2})
    Ledger(steps_at_depth={4: 10}, probes=2, forms={}, entries=0)

    Raises:
        ValueError: the data is no such instance; the message says why.
    """
    try:
        return _converter(others).structure(data, kind)
    except Exception as fault:  # the library raises KeyError, TypeError and exceptions of its own
        raise ValueError(f"no {kind.__name__}: {type(fault).__name__}: {fault}") from fault


@functools.cache
def _converter(others: bool) -> Converter:
    # Imported here because commands that read no run should not wait for it.
    from cattrs.preconf.json import make_converter

    made = make_converter(detailed_validation=False, forbid_extra_keys=not others)
    made.register_structure_hook(Recipe, lambda value, _: _recipe(value))
    made.register_structure_hook_factory(_holds_recipe, lambda kind: _with_recipe(made, kind))
    return made


def _holds_recipe(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind) and any(
        f.name == "recipe" for f in dataclasses.fields(kind)
    )


def _with_recipe(made: Converter, kind: Any) -> Callable[[Mapping[str, Any], Any], Any]:
    from cattrs.gen import make_dict_structure_fn

    by_fields = make_dict_structure_fn(
        kind,
        made,
        _cattrs_forbid_extra_keys=made.forbid_extra_keys,
        _cattrs_detailed_validation=False,
    )
    return lambda data, _: by_fields(folded(data), kind)


def _recipe(value: Any) -> Recipe:
    if not isinstance(value, Recipe):
        raise TypeError(f"a recipe's parts lie beside the other values, but got {value!r}")
    return value
