"""Trials known, of which TPE is shown those that a knob's model is made of.

For each knob that it models by itself Optuna's TPE splits all trials into good ones and the rest,
and then reads those alone that have the knob. In a space full of conditions they are few, and most
of an ask went into the others. So for each such knob it is shown the trials that have it, and as
many more as leave the split where it is among all: good ones where the few would make too many
good, others where too few. What it answers is the same to the bit.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence

from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState


def good_of(over: int) -> int:
    """How many trials TPE takes for good ones where so many are ``over``, with one objective.

    It grows by at most one from one number to the next, so there is always a number of other trials
    that leaves the split where it is.
    """
    # The same as ``default_gamma`` of Optuna's TPE.
    return min(math.ceil(0.1 * over), 25)


class Narrowed(InMemoryStorage):
    """An Optuna storage that shows all trials until it is narrowed to those that have one knob.

    Args:
        trials: those known, with one objective to be minimised, numbered from 1: the trial that is
            asked for has number 0.
    """

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self._shown = list(trials)
        over = sorted((trial for trial in trials if trial.state.is_finished()), key=_rank)
        self._good, self._rest = over[: good_of(len(over))], over[good_of(len(over)) :]
        self._running = [trial for trial in trials if not trial.state.is_finished()]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The trials that are shown. They do not change any more, so none is copied."""
        return [trial for trial in self._shown if states is None or trial.state in states]

    def common(self) -> list[str]:
        """The sorted names of the params that all trials that are over have; there is at least one
        such trial.
        """
        first, *others = (trial.params for trial in [*self._good, *self._rest])
        return sorted(set(first).intersection(*others))

    def narrow(self, name: str) -> None:
        """Show the trials that have a param of that name, and others that keep the split where it
        is.
        """
        good = [trial for trial in self._good if name in trial.params]
        rest = [trial for trial in self._rest if name in trial.params]
        running = [trial for trial in self._running if name in trial.params]
        better = (trial for trial in self._good if name not in trial.params)
        worse = (trial for trial in self._rest if name not in trial.params)
        while (found := good_of(len(good) + len(rest))) != len(good):
            if found > len(good):
                good.append(next(better))
            else:
                rest.append(next(worse))
        self._shown = [*good, *rest, *running]  # of equal values those shown first are good


def _rank(trial: FrozenTrial) -> tuple[bool, float]:
    """TPE's order: finished trials by their value, then those that were given up by their last
    value.
    """
    if trial.state == TrialState.COMPLETE:
        return False, trial.values[0]
    return True, max(trial.intermediate_values.items())[1]
