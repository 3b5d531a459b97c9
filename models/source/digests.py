"""Digests of the source that a workload's functions are made of.

Comments, blank lines and docstrings do not count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from models.source.definitions import definitions, module_name, name_of
from models.source.naming import assigned_in
from models.source.text import refuse_edited, stamp_of
from models.source.users import is_constant


def source_digests(roots: Iterable[Any]) -> dict[str, str]:
    """The digest of every definition and constant that the roots rest on, by its name.

    Args:
        roots: functions, methods, classes or callable objects; what has no source is left out.

    Raises:
        ValueError: a file was edited after this process had read it.
    """
    found: dict[str, str] = {}
    for value, text, inner in definitions(roots):
        refuse_edited(value)
        kept = assigned_in(str(value.__module__))
        constants = {n: each for n, each in inner if n not in kept and is_constant(each)}
        digest = _digest(f"{text}\n{sorted(constants.items(), key=lambda pair: pair[0])!r}")
        name = f"{module_name(value)}.{value.__qualname__}"
        # Lambdas share a name; together they have one digest.
        found[name] = digest if name not in found else _digest(found[name] + digest)
    return found


def edited_since(roots: Iterable[Any], known: Mapping[str, str], moment: float) -> list[str]:
    """Names of definitions that have another digest here than where ``known`` was made.

    Args:
        roots: as of ``source_digests``.
        known: what that gave.
        moment: seconds since 1970; of files that are older a digest differs by a constant that is
            another in each process, the device's name say.
    """
    roots = list(roots)
    here = source_digests(roots)
    late = {
        name_of(each)
        for each, _, _ in definitions(roots)
        if (stamp_of(each) or (0,))[0] > moment * 1e9
    }
    return [name for name in here if name in late and here[name] != known.get(name, here[name])]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
