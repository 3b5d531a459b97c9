"""Names and values as they stand below the tables: those of a mapping are nested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuning.findings import format as form
from tuning.report.cells import Facts


def facts_of(values: Mapping[str, Any]) -> Facts:
    """Each value in words, by its name in words; the values of a mapping are nested.

    >>> facts_of({"step_seconds": {"1": 0.25}, "threads": None})
    [('step seconds', [('1', '0.25')]), ('threads', '–')]
    """
    return [(str(name).replace("_", " "), _fact(value)) for name, value in values.items()]


def _fact(value: Any) -> str | Facts:
    if isinstance(value, (list, tuple)) and any(isinstance(item, Mapping) for item in value):
        value = dict(enumerate(value, start=1))
    if isinstance(value, Mapping):
        return facts_of(value) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or "none"
    return _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return form.NOTHING
    return form.knob(value) if isinstance(value, (bool, float)) else str(value)
