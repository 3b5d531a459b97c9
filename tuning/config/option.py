"""One option of a search, declared once: its rule, its words, and what a resume may do with it.

The command line, ``--help``, TOML files, Python's arguments, their validation, what a resume may
change and what belongs to a run's identity all follow from the declaration beside the field.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Kind = type[int] | type[float] | type[str]


class NumbersParser(argparse.ArgumentParser):
    """Takes every negative number for a value: to argparse's own, -3e-05 is a flag."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._negative_number_matcher = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$", re.I)


@dataclass(frozen=True)
class Rule:
    """The rule that a value must keep.

    Attributes:
        holds: whether a value keeps it.
        text: the rule in words, the option's name at ``{name}`` and the value at ``{value!r}``.
        choices: the words that keep it, where they are few.
    """

    holds: Callable[[Any], bool]
    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    """What is said of one option beside its name and its default.

    Attributes:
        meaning: its help, with the unit.
        metavar: the word for its value on the command line; None: it has no flag.
        default_text: the default in words; empty: the value itself.
        kind: what its text on the command line is read as; text that is none stays, for the rule.
        rule: what it must keep; None stands for text that other code judges (a path, a name).
        changes: whether a resumed search may have another value.
        identity: whether a run is another one with another value.
    """

    meaning: str
    metavar: str | None
    default_text: str = ""
    kind: Kind = str
    rule: Rule | None = None
    changes: bool = False
    identity: bool = False


@dataclass(frozen=True)
class Flag:
    """An option on the command line; without ``metavar`` a switch."""

    name: str
    metavar: str | None
    help: str
    kind: Kind = str
    choices: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """The flag as written on the command line."""
        return "--" + self.name.replace("_", "-")


def option(default: Any = dataclasses.MISSING, **said: Any) -> Any:
    """A field and what ``Option`` says of it."""
    return dataclasses.field(default=default, metadata={"option": Option(**said)})


def options(kind: type[Any]) -> dict[str, Option]:
    """The options that a dataclass declares, by name, in order."""
    return {
        f.name: f.metadata["option"] for f in dataclasses.fields(kind) if "option" in f.metadata
    }


def flags(kind: type[Any]) -> dict[str, Flag]:
    """Their flags, by name, each with its default in its help."""
    found = {}
    for field in dataclasses.fields(kind):
        said: Option | None = field.metadata.get("option")
        if said is not None and said.metavar is not None:
            default = said.default_text or str(field.default)
            text = f"{said.meaning} (default: {default})"
            found[field.name] = Flag(
                field.name, said.metavar, text, said.kind, said.rule.choices if said.rule else ()
            )
    return found


def faults(config: Any) -> list[str]:
    """The rules that a dataclass's options break, in order."""
    found = []
    for name, said in options(type(config)).items():
        value = getattr(config, name)
        if said.rule is not None and not said.rule.holds(value):
            words = said.rule.text.format(name=name.replace("_", "-"), value=value)
            found.append(words)
    return found


def whole(low: int, high: float = math.inf, *, text: str, optional: bool = False) -> dict[str, Any]:
    """The kind and the rule of a whole number from ``low`` to ``high``."""

    def holds(value: object) -> bool:
        if value is None:
            return optional
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return {"kind": int, "rule": _must_hold(holds, text)}


def number(holds: Callable[[float], bool], *, text: str, optional: bool = False) -> dict[str, Any]:
    """The kind and the rule of a finite number."""

    def keeps(value: object) -> bool:
        if value is None:
            return optional
        return is_finite(value) and holds(value)  # type: ignore[arg-type]

    return {"kind": float, "rule": _must_hold(keeps, text)}


def choice(*choices: str) -> dict[str, Any]:
    """The rule of one of several words."""
    text = f"{{name}} must be one of {', '.join(choices)}, but got {{value!r}}"
    return {"rule": Rule(lambda value: value in choices, text, choices)}


def is_finite(value: object) -> bool:
    """Whether ``value`` is a finite number and not a bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _must_hold(holds: Callable[[Any], bool], text: str) -> Rule:
    return Rule(holds, text.replace("{}", "{name}") + " must hold, but got {value!r}")


def no_such_flag(word: str, flags: Iterable[str]) -> str:
    """The fault of a word that is none of ``flags``; it suggests the nearest one where there is
    one.

    >>> no_such_flag("--trails", ["--trials"]), no_such_flag("5", ["--trials"])
    ("no such flag: '--trails': did you mean --trials?", "no such flag: '5': see --help")
    """
    close = difflib.get_close_matches(word.partition("=")[0], list(flags), n=1)
    return f"no such flag: {word!r}: " + (f"did you mean {close[0]}?" if close else "see --help")
