"""The verdict in one sentence: who wins, by how much, how sure.

Or that nobody does, and what would have to change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from tuning.findings import format as form

if TYPE_CHECKING:
    from tuning.findings.verdict import CandidateVerdict, ControlVerdict

MOST_SEEDS = 100
"""Where more seeds than this would be needed, more seeds are no advice."""


def sentence(
    candidates: Sequence[CandidateVerdict],
    winner: CandidateVerdict | None,
    control: ControlVerdict,
    seeds: int,
    tested: int,
    alpha: float,
) -> str:
    """The verdict on ``candidates`` over ``seeds`` fresh seeds, with p corrected for ``tested``
    schedules.
    """
    if winner is not None:
        return _won(winner, seeds, tested)
    judged = [candidate for candidate in candidates if candidate.lower_loss is not None]
    if not judged:
        notes = "; ".join(f"{name(candidate)}: {candidate.note}" for candidate in candidates)
        return f"No schedule could be compared with training for less: {notes}."
    best = min(judged, key=lambda candidate: (candidate.p, -(candidate.lower_loss or 0.0)))
    return (
        f"None of {tested} schedules beats training for less over {seeds} fresh seeds: "
        if tested > 1
        else f"The schedule does not beat training for less over {seeds} fresh seeds: "
    ) + (
        f"{f'the best, {name(best)},' if tested > 1 else name(best)} has {_gain(best)} "
        f"({_sureness(best, tested)})"
        f"{_what_would_have_to_change(best, control, seeds, tested, alpha)}."
    )


def name(candidate: CandidateVerdict) -> str:
    """How a schedule is called: its policy, its levers and the trial it was found in."""
    return f"{candidate.recipe.name} (trial {candidate.number})"


def _won(winner: CandidateVerdict, seeds: int, tested: int) -> str:
    how = f"its loss is {form.loss(winner.lower_loss)} lower than the control's at equal time"
    if winner.gain is not None and winner.bound:
        how += f", {_gain(winner)}"
    elif winner.gain is not None:
        how = f"it reaches its loss {form.gain(winner.gain)} times as fast as the control"
    return (
        f"{name(winner)} beats training for less: over {seeds} fresh seeds {how} "
        f"({_sureness(winner, tested)})."
    )


def _gain(candidate: CandidateVerdict) -> str:
    if candidate.gain is None:
        sign = "lower" if (candidate.lower_loss or 0) > 0 else "higher"
        return (
            f"a loss {form.loss(abs(candidate.lower_loss or 0))} {sign} than the control's at "
            "equal time"
        )
    return (
        f"a gain of {candidate.bound + ' ' if candidate.bound else ''}{form.gain(candidate.gain)}"
    )


def _sureness(candidate: CandidateVerdict, tested: int) -> str:
    low, high = candidate.interval
    interval = "" if low is None or high is None else f"95 % interval {low:.2f} to {high:.2f}; "
    return (
        f"{interval}{p(candidate.p_corrected)}{f', corrected for {tested}' if tested > 1 else ''}"
    )


def p(value: float) -> str:
    """A p-value in words: two significant figures, ``p < 0.0001`` below that."""
    return "p < 0.0001" if value < 0.0001 else f"p = {value:.2g}"


def _what_would_have_to_change(
    best: CandidateVerdict, control: ControlVerdict, seeds: int, tested: int, alpha: float
) -> str:
    if best.note and best.seeds < seeds:
        return f", and {best.note}"
    lower = [c.lower_loss for c in best.per_seed if c.lower_loss is not None]
    if len(lower) < seeds or seeds < 2:
        return f", and {best.note}"
    short = missing(lower, alpha / tested)
    if short <= 0:
        return ", which is too little to call a win"
    faster = _faster(best, control, short, alpha / tested)
    ways = [] if faster is None else [_how_much_faster(faster)]
    ways.append(f"{form.loss(short)} lower in loss")
    more = seeds_needed(lower, alpha / tested)
    hold = f", or hold this over {more} seeds" if more else ""
    return f"; to win it would have to be {' or '.join(ways)}{hold}"


def _how_much_faster(share: float) -> str:
    if share < 1:
        return f"{100 * share:.1f} % faster"
    return f"{1 + share:.1f} times as fast" if share < 9 else "more than ten times as fast"


def missing(values: Sequence[float], alpha: float) -> float:
    """By how much the mean of paired differences, shape (n >= 2,), must rise to be above 0 at
    one-sided ``alpha``.
    """
    spread = float(np.std(values, ddof=1))
    return _critical(len(values), alpha) * spread / math.sqrt(len(values)) - math.fsum(
        values
    ) / len(values)


def seeds_needed(values: Sequence[float], alpha: float) -> int | None:
    """The least number of seeds at which these mean and spread would win.

    None beyond ``MOST_SEEDS``.
    """
    mean, spread = math.fsum(values) / len(values), float(np.std(values, ddof=1))
    enough = (
        n for n in range(2, MOST_SEEDS + 1) if mean > _critical(n, alpha) * spread / math.sqrt(n)
    )
    return next(enough, None) if mean > 0 else None


def _critical(count: int, alpha: float) -> float:
    return float(special.stdtrit(count - 1, 1 - alpha))


def _faster(
    best: CandidateVerdict, control: ControlVerdict, short: float, alpha: float
) -> float | None:
    """The missing gain as a share; where gains are bounds, from the control's exchange rate."""
    gains = [c.gain for c in best.per_seed if c.gain is not None and not c.bound]
    if len(gains) == len(best.per_seed):
        return math.expm1(max(0.0, missing([math.log(gain) for gain in gains], alpha)))
    rate = control.loss_per_percent
    return short / rate / 100 if rate is not None and rate > 0 else None
