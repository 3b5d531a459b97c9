"""The verdict in one sentence: who wins, by how much and how sure; or that nobody does, and what
would have to change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scipy import special

from tuning.findings import format as form
from tuning.findings.called import CALLED, NOT_KNOWN, WINS
from tuning.findings.gains import Gained
from tuning.findings.paired import mean_and_deviation, signs_needed
from tuning.trial.recipe import TUNED, ControlKind

if TYPE_CHECKING:
    from tuning.findings.verdict import Against, CandidateVerdict, ControlVerdict, Verdict

MOST_SEEDS = 100
"""The largest number of seeds that is given as advice."""
MOST_TIMES = 10
"""The largest factor of speed that is given as advice."""


def sentence(verdict: Verdict) -> str:
    """The verdict in words. The ``sentence`` that ``verdict`` itself has is not read."""
    tested, seeds = verdict.tested, len(verdict.seeds)
    winner = next((c for c in verdict.candidates if c.number == verdict.winner), None)
    if winner is not None:
        return _won(winner, verdict)
    judged = [candidate for candidate in verdict.candidates if candidate.lower_loss is not None]
    if not judged:
        notes = "; ".join(f"{name(c)}: {c.note}" for c in verdict.candidates)
        return f"No recipe could be compared with training for less: {notes}."
    best = min(judged, key=lambda candidate: (candidate.p, -(candidate.lower_loss or 0.0)))
    return (
        f"None of {tested} recipes beats training for less over {seeds} fresh seeds: "
        if tested > 1
        else f"The recipe does not beat training for less over {seeds} fresh seeds: "
    ) + (
        f"{f'the best, {name(best)},' if tested > 1 else name(best)} has "
        f"{_gain(best, verdict)} ({_sureness(best, tested)})"
        f"{_what_would_have_to_change(best, verdict)}.{_rivals_that_do(verdict)}"
    )


def _rivals_that_do(verdict: Verdict) -> str:
    """Which rivals beat the own control where no recipe does; each sentence begins with a space."""
    return "".join(
        f" {WINS[kind]} does: {rival.recipe.name} (trial {rival.number}), which gains "
        f"{_bounded(rival.over_own)} ({_sureness(rival.over_own, 1)})."
        for kind, rival in verdict.rivals.items()
        if rival.over_own.wins
    )


def name(candidate: CandidateVerdict) -> str:
    """How a schedule is called: its policy, its levers and the trial it was found in."""
    return f"{candidate.recipe.name} (trial {candidate.number})"


def _won(winner: CandidateVerdict, verdict: Verdict) -> str:
    metric = verdict.metric
    how = (
        f"its {metric.short} is {_difference(winner.lower_loss, verdict)} than the control's at "
        "equal time"
    )
    if winner.gain is not None and winner.bound:
        how += (
            "" if Gained(winner.gain, winner.bound).only_better else f", {_gain(winner, verdict)}"
        )
    elif winner.gain is not None:
        how = f"it reaches its {metric.short} {form.gain(winner.gain)} times as fast as the control"
    return (
        f"{name(winner)} beats training for less: over {len(verdict.seeds)} fresh seeds {how} "
        f"({_sureness(winner, verdict.tested)}).{rival_sentences(winner, verdict)}"
    )


def rival_sentences(winner: CandidateVerdict, verdict: Verdict) -> str:
    """How much of the win is tuning, and whether a smaller model does as well; each sentence begins
    with a space.
    """
    kind = winner.recipe.control_kind
    if kind is not None:
        return f" {WINS[kind]} is what wins."
    told = [_over(rival, winner.over[rival], verdict) for rival in winner.over]
    told += [gained_nothing(rival, number) for rival, number in verdict.behind.items()]
    if TUNED not in winner.over and TUNED not in verdict.behind:
        told.append(f"How much of that is tuning is {NOT_KNOWN}.")
    return "".join(f" {words}" for words in told)


def gained_nothing(kind: ControlKind, number: int) -> str:
    """The sentence on a rival that was not trained again, because it gained nothing in the
    search.
    """
    return f"{WINS[kind]} gained nothing in the search (trial {number}), so none of it is that."


def _over(kind: ControlKind, over: Against, verdict: Verdict) -> str:
    rival = f"{CALLED[kind]} (trial {verdict.rivals[kind].number})"
    if over.gain is None:
        return f"Beside {rival} no gain can be told: {over.note}."
    sure = _sureness(over, verdict.tested)
    if over.wins and Gained(over.gain, over.bound).only_better:
        lower = _difference(over.lower_loss, verdict)
        return f"Beside {rival} its {verdict.metric.short} is {lower} at equal time ({sure})."
    if over.wins:
        return f"Over {rival} it gains {_bounded(over)} ({sure})."
    what = "may be tuning" if kind == TUNED else "may be a smaller model"
    return f"Over {rival} it does not win: a gain of {_bounded(over)} ({sure}), so the win {what}."


def _gain(candidate: CandidateVerdict, verdict: Verdict) -> str:
    if candidate.gain is None:
        how = _difference(candidate.lower_loss, verdict)
        return f"{verdict.metric.one} {how} than the control's at equal time"
    return f"a gain of {_bounded(candidate)}"


def _bounded(candidate: CandidateVerdict | Against) -> str:
    """A gain with its bound in words: ``1.28``, ``at least 1.28``."""
    return f"{candidate.bound + ' ' if candidate.bound else ''}{form.gain(candidate.gain)}"


def _difference(lower_loss: float | None, verdict: Verdict) -> str:
    """By how much and in which direction: ``0.0123 lower``."""
    by, metric = lower_loss or 0.0, verdict.metric
    return f"{verdict.apart(by)} {metric.better if by > 0 else metric.worse}"


def _sureness(candidate: CandidateVerdict | Against, tested: int) -> str:
    low, high = candidate.interval
    interval = "" if low is None or high is None else f"95 % interval {low:.2f} to {high:.2f}; "
    return (
        f"{interval}{p(candidate.p_corrected)}{f', corrected for {tested}' if tested > 1 else ''}"
    )


def p(value: float) -> str:
    """A p-value in words: two significant figures, ``p < 0.0001`` below that."""
    return "p < 0.0001" if value < 0.0001 else f"p = {value:.2g}"


def _what_would_have_to_change(best: CandidateVerdict, verdict: Verdict) -> str:
    seeds, alpha = len(verdict.seeds), verdict.alpha / verdict.tested
    if best.note and best.seeds < seeds:
        return f", and {best.note}"
    lower = [c.lower_loss for c in best.per_seed if c.lower_loss is not None]
    if len(lower) < seeds or seeds < 2:
        return f", and {best.note}"
    short = missing(lower, alpha)
    if short <= 0 and best.p_corrected > verdict.alpha:
        # No loss varies from seed to seed, so only the sign of each seed's difference counts.
        return f"; to win it would have to hold this over {signs_needed(alpha)} seeds"
    if short <= 0:
        return ", which is too little to call a win"
    faster = _faster(best, verdict.control, short, alpha)
    ways = [] if faster is None or faster >= MOST_TIMES - 1 else [_how_much_faster(faster)]
    if _can_be_had(best, short) and short <= _spanned(verdict):
        ways.append(f"{_difference(short, verdict)} in {verdict.metric.short}")
    more = seeds_needed(lower, alpha)
    hold = f"hold this over {more} seeds" if more else ""
    if not ways:
        return (
            f"; to win it would have to {hold}" if hold else ", which is too little to call a win"
        )
    also = f", or {hold}" if hold else ""
    return f"; to win it would have to be {' or '.join(ways)}{also}"


def _can_be_had(best: CandidateVerdict, lower: float) -> bool:
    """Whether a loss can be lower by ``lower`` than that of ``best``: one above 0 does not fall
    below 0, and a score up to 1, whose loss is its negative, does not rise above 1.
    """
    if best.loss is None:
        return True
    floor = 0.0 if best.loss > 0 else -1.0
    return best.loss < floor or best.loss - lower >= floor


def _spanned(verdict: Verdict) -> float:
    """How far the best loss that was seen is from the worst: advice that asks for more is none."""
    seen = [*(c.loss for c in verdict.candidates), *(run.loss for run in verdict.control.runs)]
    losses = [loss for loss in seen if loss is not None]
    return max(losses) - min(losses)


def _how_much_faster(share: float) -> str:
    if share < 1:
        return f"{100 * share:.1f} % faster"
    return f"{1 + share:.1f} times as fast"


def missing(values: Sequence[float], alpha: float) -> float:
    """By how much the mean of paired differences, shape (n >= 2,), must rise to be significantly
    above 0 at one-sided ``alpha``.
    """
    mean, spread = mean_and_deviation(values)
    return _critical(len(values), alpha) * spread / math.sqrt(len(values)) - mean


def seeds_needed(values: Sequence[float], alpha: float) -> int | None:
    """The least number of seeds at which differences with the mean and spread of ``values`` would
    win; None where that is more than ``MOST_SEEDS``.
    """
    mean, spread = mean_and_deviation(values)
    enough = (
        n for n in range(2, MOST_SEEDS + 1) if mean > _critical(n, alpha) * spread / math.sqrt(n)
    )
    return next(enough, None) if mean > 0 else None


def _critical(count: int, alpha: float) -> float:
    return float(special.stdtrit(count - 1, 1 - alpha))


def _faster(
    best: CandidateVerdict, control: ControlVerdict, short: float, alpha: float
) -> float | None:
    """The missing gain as a fraction. Where gains are bounds it follows from the control's exchange
    rate; None where that tells nothing.
    """
    gains = [c.gain for c in best.per_seed if c.gain is not None and not c.bound]
    if len(gains) == len(best.per_seed):
        return math.expm1(max(0.0, missing([math.log(gain) for gain in gains], alpha)))
    rate = control.loss_per_percent
    if rate is None or rate <= 0:
        return None
    # The rate is for one per cent, what is missing a fraction.
    faster = short / rate / 100
    # Where noise has made the rate too large, the gain it asks for would not reach the control's.
    return faster if best.gain is None or (1 + faster) * best.gain > 1 else None
