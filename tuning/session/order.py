"""Which trial goes next while the trunk is still being trained: the one that has least to gain from
waiting for it.

A trial that starts before its trunk is complete trains from its first step. What departs from the
trunk at once loses nothing by that and goes first; after it the shortest, which shares least. The
trunk's own run, which will then be had for nothing, waits until the trunk is there. Baselines are
put in this order; of the sampled trials only as many are asked for as there are free slots, since
each knows more the later it is asked.
"""

from __future__ import annotations

from collections.abc import Callable

from models.levers.form import PLAIN
from models.levers.planning import planned
from policies.base import Progress
from tuning.trial.trial import TrialSpec

KNOWN_BEFORE = ("baseline", "control", "enqueued")
"""Origins of trials that are the same whatever is known when they are asked for."""


class TrunkWait:
    """Holds back trials that were asked for while the trunk is trained. None are left once the
    trunk is complete and they have been given out.

    Args:
        num_blocks: the number of blocks of the workload's model.
    """

    def __init__(self, num_blocks: int) -> None:
        self._num_blocks = num_blocks
        self._held: list[TrialSpec] = []
        self._baselines_over = False

    def next(self, ask: Callable[[], TrialSpec | None], *, pending: bool) -> TrialSpec | None:
        """The next trial, from those held back or from ``ask``; None where there is none yet.

        Args:
            ask: gives the next trial in the study's order, or None.
            pending: whether the trunk is still being trained.
        """
        if not pending:
            return self._held.pop(0) if self._held else ask()
        self._fetch(ask)
        ready = [spec for spec in self._held if not _is_the_trunk(spec)]
        if not ready:
            return None
        chosen = min(
            ready, key=lambda spec: (not self._departs(spec), spec.recipe.horizon, spec.number)
        )
        self._held.remove(chosen)
        return chosen

    def ahead(self, ask: Callable[[], TrialSpec | None]) -> TrialSpec | None:
        """The first suggestion, where it comes right after the trunk's own run and shares no step
        with it; None otherwise. It is called before anything is given out.
        """
        while len(self._held) < 2 and (spec := ask()) is not None:
            self._held.append(spec)
        last = self._held[-1] if self._held else None
        if last is None or last.origin != "enqueued" or not self._departs(last):
            return None
        return self._held.pop()

    def _fetch(self, ask: Callable[[], TrialSpec | None]) -> None:
        """Ask for trials until one departs from the trunk at once. A sampled trial is asked for
        only where none but the trunk's own run is held.
        """
        while not any(self._departs(spec) for spec in self._held):
            if self._baselines_over and any(not _is_the_trunk(spec) for spec in self._held):
                return
            spec = ask()
            if spec is None:
                return
            self._held.append(spec)
            self._baselines_over = spec.origin not in KNOWN_BEFORE

    def _departs(self, spec: TrialSpec) -> bool:
        return departs_at_once(spec, self._num_blocks)


def departs_at_once(spec: TrialSpec, num_blocks: int) -> bool:
    """Whether the trial's first step is not full_update's: a block is frozen in it, a lever is
    pulled, or one of the workload's own knobs is turned.
    """
    if spec.recipe.own:
        return True
    own, levers = spec.recipe.policy_and_levers()
    policy = planned(own, levers, num_blocks, spec.seed)
    plan = policy.plan(policy.init(num_blocks), Progress(0, 0.0))
    return len(plan.active_blocks) < num_blocks or levers.form(0.0, PLAIN, 0) != PLAIN


def _is_the_trunk(spec: TrialSpec) -> bool:
    return spec.recipe.is_control and spec.recipe.horizon == 1.0
