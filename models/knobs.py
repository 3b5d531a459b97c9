"""A workload's own knobs: ranges of keyword arguments of its factory. No torch.

    from models.knobs import Float, Int

    def make(
        *,
        dropout: Annotated[float, Float(0.0, 0.5, changes_cost=False)] = 0.1,
        width: Annotated[int, Int(16, 64, log=True)] = 32,
    ) -> Workload: ...

Every space then has them beside its own knobs. The defaults are the workload as it is: what a
search's control trains, and what is examined.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, get_args, get_origin, get_type_hints

from policies.rules import Scalar

Own = Mapping[str, "OwnKnob"]


@dataclass(frozen=True)
class Range(ABC):
    """Base of the declarations.

    Attributes:
        unit: of the values; empty where they have none.
        meaning: one line for a reader.
        changes_cost: whether a step may take longer or shorter with another value: each
            combination of such values is timed when it is first met. False where it surely is the
            same, as of a rate or a probability.
    """

    unit: str = field(default="", kw_only=True)
    meaning: str = field(default="", kw_only=True)
    changes_cost: bool = field(default=True, kw_only=True)

    @abstractmethod
    def contains(self, value: object) -> bool:
        """Whether ``value`` has the right type and lies in the range."""

    @abstractmethod
    def span(self) -> str:
        """The range in words."""

    @abstractmethod
    def faults(self) -> list[str]:
        """What is wrong with the range itself, as ``rule must hold, but got value``."""


@dataclass(frozen=True)
class _Number(Range):
    low: float
    high: float
    log: bool = False
    kind: ClassVar[tuple[type, ...]]

    def contains(self, value: object) -> bool:
        """Whether it is a number of the kind between the ends."""
        return _is_a(value, self.kind) and self.low <= value <= self.high  # type: ignore[operator]

    def span(self) -> str:
        """``a number from low to high``."""
        kind = "a number" if float in self.kind else "a whole number"
        return f"{kind} from {self.low} to {self.high}"

    def faults(self) -> list[str]:
        """Ends of another kind, not finite, not in order, or on a log scale not positive."""
        ends = f"(low={self.low!r}, high={self.high!r})"
        if not all(_is_a(end, self.kind) and math.isfinite(end) for end in (self.low, self.high)):
            kind = "finite numbers" if float in self.kind else "whole numbers"
            return [f"low and high must be {kind}, but got {ends}"]
        if not isinstance(self.log, bool):
            return [f"log must be True or False, but got {self.log!r}"]
        faults = [] if self.low < self.high else [f"low < high must hold, but got {ends}"]
        if self.log and self.low <= 0:
            faults.append(f"low > 0 must hold on a log scale, but got low={self.low}")
        return faults


@dataclass(frozen=True)
class Float(_Number):
    """A real number from ``low`` to ``high``, both included, on a linear or a log scale."""

    kind = (int, float)


@dataclass(frozen=True)
class Int(_Number):
    """A whole number from ``low`` to ``high``, both included, on a linear or a log scale."""

    low: int
    high: int
    kind = (int,)


@dataclass(frozen=True)
class Choice(Range):
    """One of ``choices``: numbers, texts or truth values, all of one type."""

    choices: tuple[Scalar, ...]

    def contains(self, value: object) -> bool:
        """Whether it is one of the choices, and of their type."""
        return any(value == choice and type(value) is type(choice) for choice in self.choices)

    def span(self) -> str:
        """``one of [a, b]``."""
        return f"one of {list(self.choices)}"

    def faults(self) -> list[str]:
        """Fewer than two choices, one given twice, or of several or other types."""
        if not isinstance(self.choices, (tuple, list)) or len(self.choices) < 2:
            return [f"at least two choices must be given, but got {self.choices!r}"]
        kinds = {type(choice) for choice in self.choices}
        if len(kinds) > 1 or not kinds <= {bool, int, float, str}:
            return [f"choices must be values of one plain type, but got {list(self.choices)}"]
        if len(set(self.choices)) < len(self.choices):
            return [f"choices must differ, but got {list(self.choices)}"]
        return []


@dataclass(frozen=True)
class OwnKnob:
    """One of a workload's own knobs.

    Attributes:
        range: what the factory declares.
        default: its value in the workload as it is; of a ``Float`` a float.
    """

    range: Range
    default: Scalar


MUST_RANGE = "a range must be Float(low, high), Int(low, high) or Choice((a, b)) of models.knobs"

MUST_ANNOTATE = (
    "a range must stand beside its type, as in x: Annotated[float, Float(0.0, 1.0)] = 0.5"
)
_CALL = re.compile(r"(?:\w+\.)*(?:Float|Int|Choice)\(")
"""A range where a type belongs, in an annotation that was not evaluated."""


def own_knobs(factory: Callable[..., Any], name: str) -> dict[str, OwnKnob]:
    """The knobs that ``factory``, of the workload called ``name``, declares, by name.

    Raises:
        ValueError: what it declares is wrong; the message names every fault.
    """
    hints = _hints(factory, name)
    found: dict[str, OwnKnob] = {}
    faults: list[str] = []
    for parameter in inspect.signature(factory).parameters.values():
        hint = hints.get(parameter.name)
        ranges = _ranges(hint)
        if not ranges and (where := _misplaced(parameter, hint)) is not None:
            faults.append(f"knob {parameter.name}: {MUST_ANNOTATE}, but it stands {where}")
        if bare := next(filter(_is_bare, () if ranges else _notes(hint)), None):
            faults.append(f"knob {parameter.name}: {MUST_RANGE}, but got {bare!r}")
        if not ranges:
            continue
        if wrong := _faults(parameter, hints[parameter.name], ranges):
            faults += [f"knob {parameter.name}: {fault}" for fault in wrong]
        else:
            found[parameter.name] = _knob(ranges[0], parameter.default)
    if faults:
        raise ValueError(f"workload {name!r}: " + "; ".join(faults))
    return found


def values_given(known: Own, given: Mapping[str, Scalar], name: str) -> dict[str, Scalar]:
    """The arguments of a factory for the knobs ``given``.

    Raises:
        ValueError: a knob is none of the ``known`` ones, or a value is not in its range.
    """
    faults = [
        f"knob {n} must be one of its own {sorted(known)}"
        if n not in known
        else f"knob {n} must be {known[n].range.span()}, but got {value!r}"
        for n, value in given.items()
        if n not in known or not known[n].range.contains(value)
    ]
    if faults:
        raise ValueError(f"workload {name!r}: " + "; ".join(faults))
    return dict(given)


def costly(known: Own, own: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """What of ``own`` may change a step's cost.

    >>> free = Float(0.0, 1.0, changes_cost=False)
    >>> known = {"width": OwnKnob(Int(16, 64), 32), "p": OwnKnob(free, 0.0)}
    >>> costly(known, {"width": 64, "p": 0.5})
    {'width': 64}
    """
    return {
        name: value
        for name, value in own.items()
        if name not in known or known[name].range.changes_cost
    }


def _hints(factory: Callable[..., Any], name: str) -> dict[str, Any]:
    # Without a hint that names a knob the annotations are nobody's business: one that cannot be
    # evaluated, of a type imported for checkers alone say, must not refuse a workload.
    target = _function(factory)
    written = str(getattr(target, "__annotations__", {}))
    if "Annotated" not in written:
        return {}
    try:
        return get_type_hints(target, include_extras=True)
    except Exception as error:
        raise ValueError(
            f"workload {name!r}: annotations of its factory must be names that its module has, as "
            f"ranges of knobs are among them, but reading them raised "
            f"{type(error).__name__}: {error}"
        ) from error


def _function(factory: Any) -> Any:
    """The function that has a factory's annotations."""
    if isinstance(factory, functools.partial):
        return _function(factory.func)
    if isinstance(factory, type):
        return vars(factory).get("__init__", factory)
    return inspect.unwrap(factory) if inspect.isroutine(factory) else factory.__call__


def arguments_without_range(factory: Callable[..., Any], name: str) -> list[str]:
    """The keyword arguments of ``factory``, of the workload called ``name``, that are no knobs."""
    known = own_knobs(factory, name)
    every = inspect.signature(factory).parameters.values()
    kinds = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [each.name for each in every if each.kind in kinds and each.name not in known]


def _notes(hint: Any) -> tuple[Any, ...]:
    """What an annotation says beside the type."""
    return get_args(hint)[1:] if get_origin(hint) is Annotated else ()


def _misplaced(parameter: inspect.Parameter, hint: Any) -> str | None:
    """Where a range stands that is looked for beside a type alone; None: nowhere."""
    written = parameter.annotation
    if isinstance(parameter.default, Range):
        return "in place of the default"
    if isinstance(written, Range) or (isinstance(written, str) and _CALL.match(written)):
        return "in place of the type"
    return "within another type" if any(map(_ranges, _in(hint))) else None


def _in(hint: Any) -> Iterator[Any]:
    """The types that a type is made of, at any depth."""
    for each in () if get_origin(hint) is Annotated else get_args(hint):
        yield each
        yield from _in(each)


def _is_bare(note: Any) -> bool:
    """Whether numbers are noted that were meant as a range."""
    return isinstance(note, (tuple, list, range)) and len(note) > 1


def _ranges(hint: Any) -> list[Any]:
    """The ranges in an annotation: instances, and classes written without their values."""
    return [
        each
        for each in _notes(hint)
        if isinstance(each, Range) or (isinstance(each, type) and issubclass(each, Range))
    ]


def _faults(parameter: inspect.Parameter, hint: Any, ranges: list[Any]) -> list[str]:
    declared, default = ranges[0], parameter.default
    if len(ranges) > 1:
        return [f"one range must be given, but got {len(ranges)}"]
    if isinstance(declared, type):
        return [f"a range must be given, but got the bare {declared.__name__}: write its values"]
    if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.VAR_KEYWORD):
        return ["it must be a keyword argument of the factory"]
    if faults := list(declared.faults()):
        return faults
    if default is parameter.empty:
        return [f"a default must be given, {declared.span()}: the workload as it is"]
    if not _hint_fits(get_args(hint)[0], declared):
        return [f"the annotated type must be that of its range, but got {get_args(hint)[0]}"]
    if not declared.contains(default):
        return [f"the default must be {declared.span()}, but got {default!r}"]
    return []


def _hint_fits(kind: Any, declared: Range) -> bool:
    if isinstance(declared, Choice):
        return not isinstance(kind, type) or kind is type(declared.choices[0])
    return kind is (float if isinstance(declared, Float) else int)


def _knob(declared: Range, default: Any) -> OwnKnob:
    return OwnKnob(declared, float(default) if isinstance(declared, Float) else default)


def _is_a(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
