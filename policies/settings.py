"""A policy's settings as TOML text, and back: what ``tuning.export`` writes and a loop loads.

::

    policy = "dynamic_suffix"

    [knobs]
    threshold = 0.8
    levels = 4
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from policies.base import Scalar, UpdatePolicy
from policies.registry import make_policy


def knobs_of(policy: UpdatePolicy[Any]) -> dict[str, Scalar]:
    """Every setting of a policy by name, from which ``make_policy`` makes an equal one."""
    return policy.knobs


def dump_policy(policy: UpdatePolicy[Any]) -> str:
    """The TOML text from which ``load_policy`` makes an equal policy."""
    lines = [f'policy = "{policy.name}"', "", "[knobs]"]
    # A JSON boolean, number or string is the same value in TOML.
    lines += [f"{name} = {json.dumps(value)}" for name, value in knobs_of(policy).items()]
    return "\n".join(lines) + "\n"


def load_policy(source: str | Path) -> UpdatePolicy[Any]:
    """The policy that a TOML file or text describes; tables other than ``[knobs]`` are not read.

    Args:
        source: a path, or TOML text; a string with a line break is text.

    Raises:
        ValueError: the file cannot be read, is not TOML, names no policy, or settings break their
            rules.
    """
    table = _table(source)
    name, knobs = table.get("policy"), table.get("knobs", {})
    faults = []
    if not isinstance(name, str):
        faults.append(f'policy = "NAME" must stand in the settings, but got policy={name!r}')
    if not isinstance(knobs, dict):
        faults.append(f"[knobs] must be a table, but got knobs={knobs!r}")
    if faults:
        raise ValueError("; ".join(faults))
    return make_policy(str(name), knobs)


def _table(source: str | Path) -> dict[str, Any]:
    is_text = isinstance(source, str) and "\n" in source
    origin = "the text" if is_text else str(source)
    try:
        return tomllib.loads(str(source) if is_text else Path(source).read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(
            f"settings must be a readable file, but got {origin}: {error.strerror}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"settings must be TOML, but {origin} is not: {error}") from error
