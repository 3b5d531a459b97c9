"""What a training loop holds while a step lasts."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from policies.applying.reading import later
from policies.base import StepPlan


class Step:
    """One step (with ``accumulate``, one micro-step) of a training loop.

    Attributes:
        plan: what the step does.
        relevance: after ``observe`` on a probe one score a block, the bottom block first; otherwise
            None.
    """

    def __init__(
        self,
        plan: StepPlan,
        read: Callable[[float], tuple[float, ...]] | None,
        saw: Callable[[Tensor | float], None],
    ) -> None:
        self.plan = plan
        self.relevance: tuple[float, ...] | None = None
        self.loss: Callable[[], float] | None = None
        self._read, self._saw = read, saw

    def observe(self, loss: Tensor | float, *, grad_scale: float = 1.0) -> None:
        """Report the step's loss; on a probe, read the relevance of every block from its gradients.

        Call it after ``loss.backward()`` and before gradients are clipped: once, or after each of
        the backwards whose gradients add up; so do the losses. Without a probe it does not wait for
        the device; the loss is read when the next step is planned.

        Args:
            loss: a scalar, not multiplied by a gradient scaler's factor. In the first step give it
                with its graph, not detached: it shows where parameters are used.
            grad_scale: the factor by which the gradients still are multiplied
                (``scaler.get_scale()``).

        Raises:
            ValueError: the loss is no scalar.
        """
        before, now = self.loss, later(loss)
        self.loss = now if before is None else lambda: before() + now()
        self._saw(loss)
        if self._read is not None:
            self.relevance = self._read(grad_scale)
