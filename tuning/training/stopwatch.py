"""What training really took: wall seconds of the steps alone, evaluations and checkpoints
excluded.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.workload import Workload


class Stopwatch:
    """Adds up wall seconds while it runs.

    Args:
        seconds: what it shows at first.
        clock: returns seconds from any origin.
        synchronize: waits until the device has done what it was given. It is called only where the
            watch stops, so that a step costs what it does unmeasured.

    """

    def __init__(
        self,
        seconds: float = 0.0,
        *,
        clock: Callable[[], float] | None = None,
        synchronize: Callable[[], object] = lambda: None,
    ) -> None:
        self.seconds = seconds
        self._clock, self._synchronize = clock or time.perf_counter, synchronize
        self._since: float | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run within the block. What is still under way on the device after it counts when the
        watch runs next.
        """
        self._since = self._clock()
        try:
            yield
        finally:
            self.seconds += self._clock() - self._since
            self._since = None

    @contextlib.contextmanager
    def standing(self) -> Iterator[None]:
        """Stand still within the block, if the watch runs."""
        if self._since is None:
            yield
            return
        self._synchronize()
        self.seconds += self._clock() - self._since
        try:
            yield
        finally:
            self._since = self._clock()

    def around_evaluation(self, workload: Workload) -> Workload:
        """The workload with evaluations, of further metrics too, during which this watch stands
        still.
        """
        metrics = {name: self._around(measure) for name, measure in workload.metrics.items()}
        return replace(workload, evaluate=self._around(workload.evaluate), metrics=metrics)

    def _around(self, measure: Callable[[Any], float]) -> Callable[[Any], float]:
        @functools.wraps(measure)
        def measured(model: Any) -> float:
            with self.standing():
                return measure(model)

        return measured
