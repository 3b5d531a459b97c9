"""The own control at a horizon shorter than any before, beside a recipe that was trained for less.

What leads may have the target long before the shortest horizon that is sampled is over
(``tuning.study.to_target``). A verdict asks what the own recipe has after as long, so that it has
to be trained for as long: ``docs/decisions/three-controls.md``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tuning.study.samplers.values import counts
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import CONTROL_POLICY, Recipe
from tuning.trial.trial import TrialSpec


def shorter_control(known: Sequence[Outcome], workload: str, seed: int) -> TrialSpec | None:
    """The own control at the shortest horizon at which a recipe was put in; None where it was
    trained as short, or at none at all. Its number is not chosen yet.

    What is sampled does not count: where horizons below the baselines' are, the control has places
    of its own there.

    Args:
        known: the search's trials that are over.
        workload: the workload of all the search's trials.
        seed: the seed of the search's trials.
    """
    ended = [run for run in known if counts(run)]
    own = [run.recipe.horizon for run in ended if run.recipe.is_control]
    put_in = [run.recipe.horizon for run in ended if run.origin == "enqueued"]
    if not own or min(put_in, default=math.inf) >= min(own):
        return None
    return TrialSpec(0, "control", workload, Recipe(CONTROL_POLICY, min(put_in)), seed)
