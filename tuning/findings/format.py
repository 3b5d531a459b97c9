"""How the report writes numbers and knobs, the same in the terminal, on the page and in the
picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tuning.trial.trial import Scalar

NOTHING = "–"
_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def seconds(value: float | None) -> str:
    """Seconds with their unit, three figures or the whole second.

    ``0.0123 s``, ``9.60 s``, ``3725 s``.
    """
    if value is None:
        return NOTHING
    return f"{value:.0f} s" if abs(value) >= 1000 else f"{value:#.3g}".removesuffix(".") + " s"


def loss(value: float | None) -> str:
    """A loss to four decimals, or in scientific notation where these would show nothing."""
    if value is None:
        return NOTHING
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.01 else f"{value:.3e}"


def over_seeds(facts: Mapping[str, Any] | None) -> str:
    """A loss over seeds, from ``mean``, ``deviation`` and ``seeds``.

    ``1.9312 ± 0.021 over 3 seeds``.
    """
    if facts is None:
        return NOTHING
    return f"{loss(facts['mean'])} ± {facts['deviation']:.2g} over {facts['seeds']} seeds"


def gain(value: float | None) -> str:
    """A gain to two decimals: ``1.09``."""
    return NOTHING if value is None else f"{value:.2f}"


def amount(value: float | None, unit: str = "") -> str:
    """A large quantity with an SI prefix: ``amount(5.46e12, "FLOP")`` is ``5.46 TFLOP``."""
    if value is None:
        return NOTHING
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.3g} {prefix}{unit}".rstrip()
    return f"{value:.3g} {unit}".rstrip()


def knob(value: Scalar) -> str:
    """A knob's value: four significant figures for a float, else as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def knobs(values: Mapping[str, Scalar]) -> str:
    """Knobs as ``name=value`` separated by commas, in their order."""
    return ", ".join(f"{name}={knob(value)}" for name, value in values.items())
