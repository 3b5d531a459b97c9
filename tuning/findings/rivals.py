"""Confirmed schedules beside the tuned and the smaller control. Pure.

Each is judged as beside the own control, by the same test on the same seeds. That a schedule beats
every control is said only where it beats each of them, which needs no further correction: all of
the tests would have to err at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tuning.findings.judge import (
    Terms,
    comparisons_of,
    control_run,
    curves_of,
    mean,
    note_of,
    p_of,
    wins,
)
from tuning.findings.paired import SeedComparison, gain_over_seeds, holm, t_interval
from tuning.findings.verdict import Against, Candidate, RivalVerdict, Run, Verdict
from tuning.findings.verdict_words import sentence
from tuning.trial.recipe import ControlKind


@dataclass(frozen=True)
class RivalRuns:
    """A rival of the own control.

    Attributes:
        found: the trial of the search whose knobs it has.
        runs: by horizon, at least two horizons.
    """

    found: Candidate
    runs: Mapping[float, Sequence[Run]]


def beside_rivals(
    verdict: Verdict,
    runs: Mapping[int, Sequence[Run]],
    rivals: Mapping[ControlKind, RivalRuns],
    control: Mapping[float, Sequence[Run]],
    behind: Mapping[ControlKind, int] | None = None,
) -> Verdict:
    """``verdict`` with what its candidates gain over each rival.

    Args:
        verdict: beside the own control.
        runs: of each candidate, by the number of its trial.
        rivals: those there are.
        control: the own control's runs by horizon.
        behind: see ``Verdict``.
    """
    terms = Terms(verdict.seeds, verdict.time, verdict.metric)
    over: dict[ControlKind, list[Against]] = {
        kind: _over([runs[c.number] for c in verdict.candidates], rival.runs, terms, verdict.tested)
        for kind, rival in rivals.items()
    }
    candidates = tuple(
        replace(candidate, over={kind: over[kind][place] for kind in over})
        for place, candidate in enumerate(verdict.candidates)
    )
    told = {kind: _rival(rival, control, terms) for kind, rival in rivals.items()}
    found = replace(verdict, candidates=candidates, rivals=told, behind=behind or {})
    return replace(found, sentence=sentence(found))


def _over(
    candidates: Sequence[Sequence[Run]],
    control: Mapping[float, Sequence[Run]],
    terms: Terms,
    tested: int,
) -> list[Against]:
    """What each candidate's runs gain over a control's, in the candidates' order."""
    curves = curves_of(control, terms.time)
    seen = [comparisons_of(runs, curves, terms.time) for runs in candidates]
    ps = [p_of(comparisons, curves, len(terms.seeds)) for comparisons in seen]
    both = zip(ps, holm(ps, tested), strict=True)
    return [_against(c, p, terms) for c, p in zip(seen, both, strict=True)]


def _against(
    comparisons: tuple[SeedComparison, ...], ps: tuple[float, float], terms: Terms
) -> Against:
    gain = gain_over_seeds(comparisons)
    # Sorted, as the last bit of a mean or a deviation depends on the order.
    lower = sorted(c.lower_loss for c in comparisons if c.lower_loss is not None)
    return Against(
        seeds=len(comparisons),
        gain=gain.value,
        bound=gain.bound,
        interval=gain.interval,
        lower_loss=mean(lower),
        lower_loss_interval=t_interval(np.array(lower)) or (None, None),
        p=ps[0],
        p_corrected=ps[1],
        wins=wins(ps[1], gain.value, gain.bound),
        note=note_of(comparisons, gain, terms),
    )


def _rival(rival: RivalRuns, control: Mapping[float, Sequence[Run]], terms: Terms) -> RivalVerdict:
    """The rival's runs, and what it gains over the own control at the least of its horizons that
    the own control's runs reach down to: nothing can be tested below those.
    """
    runs = tuple(control_run(h, runs, terms) for h, runs in sorted(rival.runs.items()) if runs)
    beside = [horizon for horizon in rival.runs if horizon >= min(control)]
    place = min(beside, default=max(rival.runs))
    over_own = _over([rival.runs[place]], control, terms, 1)[0]
    return RivalVerdict(rival.found.number, rival.found.recipe, runs, over_own)
