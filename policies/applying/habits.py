"""What loops are used to do in a step and must leave to a recipe: every step would be taken twice,
or none, without a word.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from policies.applying.reading import has_gradients


@contextlib.contextmanager
def stepped_nowhere(model: nn.Module) -> Iterator[None]:
    """No optimizer steps a parameter of ``model`` inside; others may, a discriminator's say.

    Raises:
        RuntimeError: one does, at its ``step``.
    """

    def refuse(optimizer: Optimizer, *_: Any) -> None:
        own = {id(parameter) for parameter in model.parameters()}  # looked for only now
        if any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
            raise RuntimeError(
                "leaving 'with run.step()' steps the optimizer, but the loop calls "
                f"{type(optimizer).__name__}.step() inside it: leave that out, and zero_grad() as "
                "well; a loop with a GradScaler gives it, run.step(scaler)"
            )

    handle = register_optimizer_step_pre_hook(refuse)
    try:
        yield
    finally:
        handle.remove()


def refuse_without_gradients(model: nn.Module) -> None:
    """Raise where no parameter of the model has a gradient.

    Raises:
        RuntimeError: nothing has.
    """
    if not has_gradients(model.parameters()):
        raise RuntimeError(
            "leaving 'with run.step()' steps the optimizer along the gradients, but no parameter "
            "has one any more: zero_grad() is the run's, leave it out; and run the model that the "
            "recipe was applied to, no copy of it"
        )
