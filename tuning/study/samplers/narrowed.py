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
    """How many of so many trials that are over TPE takes for good ones, with one objective.

    It grows by one at most from one number to the next, so that some number of others always
    leaves the split where it is.
    """
    return min(math.ceil(0.1 * over), 25)


class Narrowed(InMemoryStorage):
    """Shows all trials, until it is narrowed to a knob.

    Args:
        trials: known, of one objective to be minimised, numbered upwards from 1: what is asked for
            is number 0.
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
        """Those that are shown; they change no more, so none is copied."""
        return [trial for trial in self._shown if states is None or trial.state in states]

    def common(self) -> list[str]:
        """Names of the params of all trials that are over, in order; there is one such trial."""
        first, *others = (trial.params for trial in [*self._good, *self._rest])
        return sorted(set(first).intersection(*others))

    def narrow(self, name: str) -> None:
        """Show the trials that have a param of that name, and what keeps the split."""
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
    """TPE's order: what finished by its value, then what was given up by its last one."""
    if trial.state == TrialState.COMPLETE:
        return False, trial.values[0]
    return True, max(trial.intermediate_values.items())[1]
