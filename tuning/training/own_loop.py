"""A user's own loop around a recipe's run: the batches that it brings, by their number in the
stream; and what it does beside the run, refused where that would be another training, told where it
would do nothing.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from models.application.optimizers import Rates
from models.batches import Batch
from policies.apply import Step, refuse_without_gradients, stepped_nowhere
from tuning.training.levered import Levered
from tuning.training.own_groups import held_by

LEVEL = 5
"""The stack level of a warning: the loop's own line, seen from where a step begins."""


class InOrder:
    """Batches of an iterable by their number in the stream; the numbers asked for never fall.

    Args:
        source: the batches; it is gone through again when it ends.
    """

    def __init__(self, source: Iterable[Batch]) -> None:
        self._source, self._at, self._next = source, iter(source), 0

    def __call__(self, number: int) -> Batch:
        """Batch ``number``; those before it are passed over.

        Raises:
            ValueError: no batch is left, and none comes again.
        """
        while self._next < number:
            self._read()
        return self._read()

    def _read(self) -> Batch:
        self._next += 1
        for _ in range(2):
            for batch in self._at:
                return batch
            self._at = iter(self._source)
        raise ValueError(
            f"batches must last for the run, but there were {self._next - 1}: give a DataLoader or "
            "a list, which can be gone through again, or more of them"
        )


class OwnLoop:
    """Checks what a loop does beside a run's steps.

    Args:
        levered: the model under the recipe.
        own: the loop's optimizer; the recipe may have put another in its place.
    """

    def __init__(self, levered: Levered, own: Optimizer) -> None:
        self._levered = levered
        self._replaced = None if own is levered.optimizer else Rates(own)
        if self._replaced is not None:
            self._replaced.set(1.0)
        self._known: Collection[int] | None = {id(p) for p in levered.model.parameters()}
        self._told: set[str] = set()
        self._averaged = 0
        self._between: Any = None

    def begins(self) -> None:
        """Check the loop as a step is about to begin.

        Raises:
            RuntimeError: the average stands in the weights' place, or gradients are left that the
                step's would be added to.
        """
        self.refuse_averaged("run.step()")
        self._stop()
        other = self._levered.other_rate()
        if self._replaced is not None:
            other = other or self._replaced.other()
        if other is not None:
            self._tell(
                f"the loop has set a learning rate of {other[0]:.3g}, but it is the recipe that "
                f"sets the rates of each step ({other[1]:.3g} before): leave the scheduler, or the "
                "change of param_groups, out; a peak is told by the optimizer given to apply()"
            )
        if not self._levered.model.training:
            self._tell(
                "the model is in evaluation mode, without dropout and with statistics that stand "
                "still, which no trial was: call model.train() after each evaluation"
            )
        for group in self._levered.optimizer.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and _is_some(parameter.grad):
                    raise RuntimeError(
                        "a step must begin without gradients, but a backward before it has left "
                        "some, which its own would be added to: move that backward into 'with "
                        "run.step()', or call zero_grad() after it"
                    )

    @contextlib.contextmanager
    def inside(self, step: Step) -> Iterator[None]:
        """Check what the body of a step does.

        Raises:
            RuntimeError: it steps an optimizer of the model's, drops the gradients, sets a rate, or
                gives a gradient to what was put into the model since and nobody steps.
        """
        with stepped_nowhere(self._levered.model):
            yield
        if step.loss is None:
            return  # which is told by the updater
        refuse_without_gradients(self._levered.model)
        if (other := self._levered.other_rate()) is not None:
            raise RuntimeError(
                f"the recipe sets the rates, {other[1]:.3g} in this step, but the loop has set "
                f"{other[0]:.3g} inside it: leave scheduler.step(), or the change of param_groups, "
                "out; a peak is told by the optimizer given to apply()"
            )
        if self._known is not None:
            self._refuse_new(self._known)
            self._known = None

    def ended(self) -> None:
        """After a step, watch for an optimizer step that does nothing because the gradients are
        dropped already.
        """
        if self._levered.course.finished:
            return
        me = weakref.ref(self)

        def see(optimizer: Optimizer, *_: Any) -> None:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            if (loop := me()) is None or any(p.grad is not None for p in parameters):
                return
            if held_by(optimizer) & {id(p) for p in loop._levered.model.parameters()}:
                loop._tell(
                    f"{type(optimizer).__name__}.step() does nothing after 'with run.step()', "
                    "which has stepped and dropped the gradients: leave it out. Clipping goes "
                    "inside, after step.observe(loss); to accumulate gradients do all backwards "
                    "of a step inside one 'with run.step()'"
                )

        handle = register_optimizer_step_pre_hook(see)
        self._between = weakref.finalize(self, handle.remove)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the average stands in the weights' place."""
        self._averaged += 1
        try:
            with self._levered.averaged():
                yield
        finally:
            self._averaged -= 1

    def refuse_averaged(self, what: str) -> None:
        """Refuse to call ``what`` inside of ``averaged``, where there is an average.

        Raises:
            RuntimeError: the model has the average's weights in place of those that are trained.
        """
        if self._averaged and self._levered.averaging:
            raise RuntimeError(
                f"{what} must come after 'with run.averaged()', but is inside it, where the model "
                "has the average's weights in place of those that are trained: move it out"
            )

    def _refuse_new(self, known: Collection[int]) -> None:
        """Once is enough: what is put in comes between ``apply`` and the first step."""
        held = held_by(self._levered.optimizer)
        for name, p in self._levered.model.named_parameters():
            if p.grad is not None and id(p) not in held and id(p) not in known:
                raise RuntimeError(
                    f"the optimizer must hold all that is trained, but {name} was put into the "
                    "model after the recipe was applied, and nothing steps it: change and load the "
                    "model first, then make the optimizer, then apply the recipe"
                )

    def _tell(self, text: str) -> None:
        """Warn, once in a run for each kind of warning."""
        kind = text[:24]
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(text, stacklevel=LEVEL)

    def _stop(self) -> None:
        if self._between is not None:
            self._between()
            self._between = None


def _is_some(gradient: torch.Tensor) -> bool:
    return gradient.layout is not torch.strided or bool(gradient.any())
