"""The kinds of knob: a number in a range, a choice among values, a value held fixed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from policies.base import Scalar

if TYPE_CHECKING:  # --help lists every space and loads nothing heavy
    import numpy as np

STEP = 0.15
"""Standard deviation of a step from a number to one beside it, as a share of its range."""
Condition = Mapping[str, tuple[Scalar, ...]]


def same(a: object, b: object) -> bool:
    """Whether two values are equal and of one type, so that True is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


@dataclass(frozen=True)
class Knob(ABC):
    """Base of all kinds. Subclasses add their range.

    Attributes:
        name: the policy's setting, or ``horizon`` or ``policy``.
        unit: of its values; empty where it has none.
        meaning: one line for a reader.
        when: applies only where each earlier knob named here has one of these values.
    """

    name: str
    unit: str = field(default="", kw_only=True)
    meaning: str = field(default="", kw_only=True)
    when: Condition = field(default_factory=dict, kw_only=True)

    @abstractmethod
    def at(self, u: float) -> Scalar:
        """The value at coordinate ``u`` in [0, 1] on the knob's own scale."""

    def guess(self, u: float) -> Scalar:
        """The value at ``u`` where likely values have the larger shares; ``at`` where none are."""
        return self.at(u)

    @abstractmethod
    def beside(self, value: Scalar, draws: np.random.Generator) -> Scalar:
        """Another value near ``value``; itself where there is no other."""

    @abstractmethod
    def contains(self, value: object) -> bool:
        """Whether ``value`` lies in the range and has the right type."""

    @abstractmethod
    def values(self) -> tuple[Scalar, ...]:
        """Both ends of a range, or all choices: where a rule between knobs would break first."""

    @abstractmethod
    def span(self) -> str:
        """The range for a reader."""

    @abstractmethod
    def faults(self) -> list[str]:
        """What is wrong with the range itself, as ``rule must hold, but got value``."""

    def identity(self) -> dict[str, Any]:
        """All that decides which values a search may give the knob, as JSON values."""
        about = {"unit", "meaning"}
        values = {k: v for k, v in vars(self).items() if k not in about}
        if values.get("chance", 0) is None:
            del values["chance"]  # as before there were chances: runs of then go on
        if values.get("likely", 0) is None:
            del values["likely"], values["unsure"]  # likewise
        return {"kind": type(self).__name__, **values}


@dataclass(frozen=True)
class _Range(Knob):
    """A number from ``low`` to ``high``, both included, on a linear or a logarithmic scale.

    Attributes:
        likely: a value that has served well elsewhere; None: none is known.
        unsure: standard deviation of a better one's distance from it, as a share of the range on
            its scale (a prior as NePS has them: Mallik et al. 2023, arXiv 2306.12370).
    """

    low: float
    high: float
    log: bool = False
    likely: float | None = field(default=None, kw_only=True)
    unsure: float = field(default=0.25, kw_only=True)

    def guess(self, u: float) -> Scalar:
        """Quantile ``u`` of a normal distribution about what is likely, cut off at both ends."""
        if self.likely is None or self.low == self.high:
            return self.at(u)
        about = NormalDist(self._place(self.likely), self.unsure)
        low, high = about.cdf(0.0), about.cdf(1.0)
        share = min(max((1 - u) * low + u * high, 1e-12), 1 - 1e-12)
        return self.at(min(max(about.inv_cdf(share), 0.0), 1.0))

    def beside(self, value: Scalar, draws: np.random.Generator) -> Scalar:
        """Some ``STEP`` of the range away on its scale; what an end stops is thrown back."""
        if self.low == self.high:
            return value
        u = abs(self._place(float(value)) + STEP * draws.standard_normal()) % 2.0
        return self.at(2.0 - u if u > 1.0 else u)

    def _place(self, value: float) -> float:
        """The coordinate of a value; where a narrower range has cut it off, the end's."""
        inside = min(max(value, self.low), self.high)
        if self.log:
            return math.log(inside / self.low) / math.log(self.high / self.low)
        return (inside - self.low) / (self.high - self.low)

    def values(self) -> tuple[Scalar, ...]:
        """Both ends; one where they are the same."""
        return (self.low,) if self.low == self.high else (self.low, self.high)

    def span(self) -> str:
        """``low … high``."""
        return f"{self.low:g} … {self.high:g}"

    def faults(self) -> list[str]:
        """Ends that are not finite, or not in order, or on a log scale not positive."""
        if not all(math.isfinite(bound) for bound in (self.low, self.high)):
            return [
                f"{self.name}: low and high must be finite, but got (low={self.low}, "
                f"high={self.high})"
            ]
        faults = []
        if self.low > self.high:
            faults.append(
                f"{self.name}: low <= high must hold, but got (low={self.low:g}, "
                f"high={self.high:g})"
            )
        if self.log and self.low <= 0:
            faults.append(
                f"{self.name}: low > 0 must hold on a log scale, but got low={self.low:g}"
            )
        return faults


def _between(low: float, high: float, u: float, log: bool) -> float:
    if log:
        return math.exp((1 - u) * math.log(low) + u * math.log(high))
    return (1 - u) * low + u * high


@dataclass(frozen=True)
class Float(_Range):
    """A real number in [low, high]."""

    def at(self, u: float) -> float:
        """The value at ``u``; what rounding adds beyond an end is cut off."""
        return min(max(_between(self.low, self.high, u, self.log), self.low), self.high)

    def contains(self, value: object) -> bool:
        """Whether it is a number between the ends."""
        return (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )


@dataclass(frozen=True)
class Int(_Range):
    """A whole number in [low, high]; every one has the same share of [0, 1] on the knob's scale."""

    low: int
    high: int

    def at(self, u: float) -> int:
        """The value at ``u``; shares reach half a unit beyond the ends, which else had half."""
        value = round(_between(self.low - 0.5, self.high + 0.5, u, self.log))
        return min(max(value, self.low), self.high)

    def beside(self, value: Scalar, draws: np.random.Generator) -> Scalar:
        """As of any range, but by one at least."""
        found = super().beside(value, draws)
        if found != value or self.low == self.high:
            return found
        by = 1 if draws.random() < 0.5 else -1
        return int(value) + (by if self.low <= int(value) + by <= self.high else -by)

    def contains(self, value: object) -> bool:
        """Whether it is a whole number between the ends."""
        return (
            isinstance(value, int)
            and not isinstance(value, bool)
            and self.low <= value <= self.high
        )


@dataclass(frozen=True)
class Choice(Knob):
    """One of ``choices``.

    Attributes:
        chance: that a draw is another than the first, where more are left; None: each is as likely.
            Of a space with many levers, so that few are pulled and what each brings can be read.
    """

    choices: tuple[Scalar, ...]
    chance: float | None = field(default=None, kw_only=True)

    def at(self, u: float) -> Scalar:
        """The choice whose share of [0, 1] holds ``u``; the shares lie in the choices' order."""
        first, *others = self.choices
        if self.chance is None or not others:
            return self.choices[min(int(u * len(self.choices)), len(self.choices) - 1)]
        if u < 1 - self.chance:
            return first
        place = (u - 1 + self.chance) / self.chance * len(others)
        return others[min(int(place), len(others) - 1)]

    def beside(self, value: Scalar, draws: np.random.Generator) -> Scalar:
        """Any other choice: nothing says which of them are near."""
        others = [choice for choice in self.choices if not same(choice, value)]
        return others[int(draws.integers(len(others)))] if others else value

    def contains(self, value: object) -> bool:
        """Whether it is one of the choices."""
        return any(same(value, choice) for choice in self.choices)

    def values(self) -> tuple[Scalar, ...]:
        """All choices."""
        return self.choices

    def span(self) -> str:
        """``a | b``."""
        return " | ".join(text(choice) for choice in self.choices)

    def faults(self) -> list[str]:
        """No choice left, or one given twice."""
        if not self.choices:
            return [f"{self.name}: at least one choice must be left, but got []"]
        if any(same(a, b) for i, a in enumerate(self.choices) for b in self.choices[:i]):
            return [f"{self.name}: choices must differ, but got {list(self.choices)}"]
        return []


@dataclass(frozen=True)
class Gate(Choice):
    """Whether other knobs apply: no setting of anything, so no trial's recipe holds it.

    Attributes:
        opens: settings of which one is not at its default where it stands open.
    """

    choices: tuple[Scalar, ...] = (False, True)
    chance: float | None = field(default=0.3, kw_only=True)
    opens: tuple[str, ...] = field(default=(), kw_only=True)


@dataclass(frozen=True)
class Fixed(Knob):
    """A knob that is not turned: it has ``value`` wherever it applies."""

    value: Scalar

    def at(self, u: float) -> Scalar:
        """The value, wherever."""
        return self.value

    def beside(self, value: Scalar, draws: np.random.Generator) -> Scalar:
        """The value: it is not turned."""
        return self.value

    def contains(self, value: object) -> bool:
        """Whether it is the value."""
        return same(value, self.value)

    def values(self) -> tuple[Scalar, ...]:
        """The value alone."""
        return (self.value,)

    def span(self) -> str:
        """``value (fixed)``."""
        return f"{text(self.value)} (fixed)"

    def faults(self) -> list[str]:
        """A value that is not finite."""
        if isinstance(self.value, float) and not math.isfinite(self.value):
            return [f"{self.name}: a fixed value must be finite, but got {self.value}"]
        return []


def text(value: Scalar) -> str:
    """A value as TOML writes it, for a reader."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
