"""How much each knob decides whether a trial is among a search's best: PED-ANOVA.

Of every knob, how differently its values are spread among the best quarter of the trials and among
all of them, in shares that add up to one (Watanabe, Bansal and Hutter 2023, arXiv 2304.10255; with
knobs that apply at some points only: arXiv 2601.20800). It says where the best ones lie, not what a
knob does by itself: that is what taking a recipe apart is for.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import optuna

from search_spaces.base import SearchSpace
from tuning.study.samplers.known import points, remembered
from tuning.study.samplers.optuna_ask import study_of
from tuning.trial.outcome import Outcome

FEWEST = 12
"""The fewest trials whose best quarter says something: trials of a search, and trials that have a
knob.
"""
BEST = 0.25


def importances(
    space: SearchSpace, finished: Sequence[Outcome], objective: str
) -> dict[str, float]:
    """The share of each knob that enough trials have, the largest first; empty where too few trials
    are points of the space.

    Args:
        space: what was searched.
        finished: the search's trials that are over.
        objective: the search's.
    """
    every = points(remembered(space), objective, finished, (), len(finished))
    known = [point for point in every if point.values]
    if len(known) < FEWEST:
        return {}
    from optuna.importance import PedAnovaImportanceEvaluator  # brings scikit-learn

    objectives = 2 if objective == "pareto" else 1
    having = Counter(name for point in known for name in point.params)
    told = [k.name for k in space.searched if having[k.name] >= FEWEST]
    with warnings.catch_warnings():
        # Optuna warns of knobs that have one value, which is common among so few trials.
        warnings.simplefilter("ignore", category=UserWarning)
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        found = PedAnovaImportanceEvaluator(target_quantile=BEST).evaluate(
            study_of(space, known, objectives), params=told
        )
    total = sum(found.values())
    if not total > 0:
        return {}
    return {name: share / total for name, share in found.items()}
