"""How the report writes numbers and knobs, the same in the terminal, on the page and in the
picture.
"""

from __future__ import annotations

import decimal
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from tuning.trial.metric import LOSS, Metric
from tuning.trial.trial import Scalar

NOTHING = "–"
DIGITS, MOST_DIGITS = 4, 15
SMALLEST, LARGEST = -4, 5
"""The lowest and the highest power of ten of a number that is written out."""
ROUNDING = 1e-12
"""Numbers that differ by less than this share of the largest may be the same number, computed in
two ways.
"""
SIGNS = {"": "", "at least": "≥", "at most": "≤"}
"""What stands before a number that is a bound."""
BETTER = "better"
"""The text in place of a gain of at least 1.00."""
_PREFIXES = ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def seconds(value: float | None) -> str:
    """Seconds with their unit, to three figures or to the whole second: ``0.0123 s``, ``9.60 s``,
    ``3725 s``.
    """
    if value is None:
        return NOTHING
    # The # keeps zeros at the end, and a dot where no digit follows it.
    return f"{value:.0f} s" if abs(value) >= 1000 else f"{value:#.3g}".removesuffix(".") + " s"


def loss(value: float | None, power: int | None = None, metric: Metric = LOSS) -> str:
    """A loss as the value of its ``metric``, with the digits of ``significant``.

    >>> loss(1.92784), loss(1.92784, -4), loss(1e200), loss(-0.97, metric=Metric("a", True))
    ('1.928', '1.9278', '1.000e+200', '0.9700')
    """
    return NOTHING if value is None else significant(metric.of(value), power)


def significant(value: float, power: int | None = None) -> str:
    """A number to four significant digits, or to as many as show steps of ten to the ``power``. It
    is in scientific notation where most of the digits would be zeros.

    >>> [significant(value) for value in (0.0001234, 12345, 1e-300, 9.99996, -5.0)]
    ['0.0001234', '12345', '1.000e-300', '10.00', '-5.000']
    """
    if value == 0 or not math.isfinite(value):
        return f"{value + 0.0:g}"  # of two zeros the one without a sign
    digits = _digits(value, power)
    rounded = f"{value:.{digits - 1}e}"
    # Of the rounded number, which may have a digit more before the point: 10.00 of 9.99996.
    size = power_of(float(rounded))
    if not SMALLEST <= size <= max(LARGEST, digits - 1):
        return rounded
    return f"{value:.{max(0, digits - 1 - size)}f}"


def _digits(value: float, power: int | None) -> int:
    wanted = DIGITS if power is None else power_of(value) - power + 1
    return min(max(DIGITS, wanted), MOST_DIGITS)


def no_better(loss: float, metric: Metric = LOSS) -> str:
    """The value of the ``metric`` in five digits, rounded to the worse side, so that a run reached
    it.

    >>> no_better(1.234561), no_better(-0.9712345, Metric("accuracy", maximize=True))
    ('1.2346', '0.97123')
    """
    rounding = decimal.ROUND_FLOOR if metric.maximize else decimal.ROUND_CEILING
    context = decimal.Context(prec=DIGITS + 1, rounding=rounding)
    return f"{float(context.create_decimal_from_float(metric.of(loss))):g}"


def told_apart(values: Iterable[float | None]) -> int | None:
    """The power of ten in whose steps values that differ look different, for ``significant``.

    Differences below a thousandth of what the values span need not show, and differences that
    rounding may have made do not count. None where no values differ.

    >>> told_apart([1.92784, 1.92752, 2.05]), told_apart([1.9, 2.1]), told_apart([0.5, 0.5])
    (-4, -1, None)
    """
    known = sorted({value for value in values if value is not None and math.isfinite(value)})
    # Halves, because the span of very large values of both signs overflows.
    half_span = known[-1] / 2 - known[0] / 2 if known else 0.0
    if half_span <= ROUNDING * max(map(abs, known), default=0.0):
        return None
    return power_of(max(min(b - a for a, b in itertools.pairwise(known)), half_span / 500))


def tick(value: float, step: float) -> str:
    """A value on an axis whose ticks are a ``step`` apart.

    >>> tick(1.25, 0.05), tick(300.0, 100.0), tick(1.25e200, 5e198), tick(1e-18, 0.1)
    ('1.25', '300', '1.25e+200', '0')
    """
    if abs(value) < step / 2:
        return "0"
    power = power_of(step)
    if SMALLEST <= power_of(value) <= LARGEST:
        return f"{value:.{max(0, -power)}f}"
    return f"{value:.{max(0, power_of(value) - power)}e}"


def power_of(value: float) -> int:
    """The power of ten of a number's first digit; 0 of 0."""
    # Not the floor of log10, which is rounded up to a whole number just below powers of ten.
    return int(f"{value:.17e}".partition("e")[2])


def over_seeds(
    facts: Mapping[str, Any] | None, power: int | None = None, metric: Metric = LOSS
) -> str:
    """A loss over seeds, from ``mean``, ``deviation`` and ``seeds``. Mean and deviation end at the
    same digit: the deviation's second, or the last that ``loss`` shows.

    >>> over_seeds({"mean": 1.93121, "deviation": 0.0213, "seeds": 3})
    '1.931 ± 0.021 over 3 seeds'
    >>> over_seeds({"mean": 0.9944, "deviation": 7.8e-10, "seeds": 2})
    '0.9944 ± under 0.0001 over 2 seeds'
    """
    if facts is None:
        return NOTHING
    mean, deviation = metric.of(facts["mean"]), facts["deviation"]
    return f"{_both(mean, deviation, power)} over {facts['seeds']} seeds"


def _both(mean: float, deviation: float, power: int | None) -> str:
    size, last = power_of(mean), last_digit(mean, power)
    written_out = SMALLEST <= size <= LARGEST and last <= 0
    if not written_out or deviation < 10.0**last / 2:
        return f"{significant(mean, power)} ± {strays(deviation, last)}"
    places = -max(last, min(power_of(deviation) - 1, size - 1, 0))
    return f"{mean:.{places}f} ± {deviation:.{places}f}"


def last_digit(value: float, power: int | None = None) -> int:
    """The power of ten of the last digit that ``significant`` shows.

    >>> last_digit(0.99443), last_digit(1.9278, -5)
    (-4, -5)
    """
    return power_of(value) - _digits(value, power) + 1


def strays(deviation: float, power: int | None = None) -> str:
    """A deviation in two figures. Where the number beside it is shown in steps of ten to the
    ``power``, which hide the deviation, the text says only that it is smaller.

    >>> strays(0.0213), strays(7.8e-10, -4), strays(7.8e-10), strays(321.0)
    ('0.021', 'under 0.0001', '7.8e-10', '321')
    """
    return _figures(deviation, 2, power)


def difference(value: float, power: int | None = None) -> str:
    """By how much two numbers differ, without a sign, in three figures; ``power`` as in ``strays``.

    >>> difference(-0.010273), difference(7.8e-10, -4), difference(0.0)
    ('0.0103', 'under 0.0001', '0')
    """
    return _figures(abs(value), 3, power)


def _figures(size: float, count: int, power: int | None) -> str:
    if power is not None and 0 < size < 10.0**power / 2:
        return f"under {_power(power)}"
    if 10**count <= size < 10.0**LARGEST:
        return f"{size:.0f}"
    return f"{size:#.{count}g}".removesuffix(".") if size else "0"


def _power(power: int) -> str:
    plain = 2 * SMALLEST <= power <= LARGEST
    return f"{10.0**power:.{max(0, -power)}f}" if plain else f"1e{power:+03d}"


def gain(value: float | None, bound: str = "") -> str:
    """A gain to two decimals, with the sign of its bound: ``1.09``, ``≥1.09``. A gain of at least
    1.00 would read as no gain, and is ``better``: the loss is better than the control's after as
    long.

    >>> gain(1.2, "at least"), gain(1.0, "at least"), gain(1.0)
    ('≥1.20', 'better', '1.00')
    """
    if value is None:
        return NOTHING
    shown = f"{SIGNS[bound]}{value:.2f}"
    return BETTER if shown == f"{SIGNS['at least']}1.00" else shown


def amount(value: float | None, unit: str = "") -> str:
    """A large quantity with an SI prefix: ``amount(5.46e12, "FLOP")`` is ``5.46 TFLOP``."""
    if value is None:
        return NOTHING
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{_three(value / size)} {prefix}{unit}".rstrip()
    return f"{value:.3g} {unit}".rstrip()


def _three(value: float) -> str:
    """A number to three figures, as all others of its column have."""
    return f"{value:#.3g}".removesuffix(".")


def knob(value: Scalar) -> str:
    """A knob's value: four significant figures for a float, else as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def knobs(values: Mapping[str, Scalar]) -> str:
    """Knobs as ``name=value`` separated by commas, in their order."""
    return ", ".join(f"{name}={knob(value)}" for name, value in values.items())
