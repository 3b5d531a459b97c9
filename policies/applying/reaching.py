"""Which blocks a backward reaches: one that is trained and never is would stand still."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from torch import nn

from policies.applying.freezing import Freezer
from policies.applying.presence import is_absent
from policies.applying.reading import has_gradients

PATIENCE = 16
"""Steps in which a block may be trained and not run before it is taken for one that never is."""


class Reaching:
    """Which parameters have had gradients, looked at when a step's loss is observed and at its end.

    A loop may step and drop the gradients itself in between.

    Args:
        model: any module.
        blocks: its blocks.
        freezer: of that model.
    """

    def __init__(self, model: nn.Module, blocks: Sequence[nn.Module], freezer: Freezer) -> None:
        self._model, self._blocks, self._freezer = model, blocks, freezer
        self._any = False
        self._observed: set[int] = set()  # blocks that had gradients when the loss was observed
        self._waited: dict[int, int] = {}  # steps in which a block waited; -1 once it was reached

    @property
    def parameters(self) -> Iterable[nn.Parameter]:
        """All, from the head down, where gradients are: the first is found at once."""
        parts = reversed(self._freezer.parts.values())
        return (p for part in parts for p in part.parameters)

    def look(self) -> None:
        """Take in what has gradients now."""
        self._any = has_gradients(self.parameters)
        unreached = (i for i in range(len(self._blocks)) if self._waited.get(i, 0) >= 0)
        self._observed = {index for index in unreached if self._has_gradients(index)}

    def refuse_nothing(self) -> None:
        """Raise where the step had no backward.

        Raises:
            RuntimeError: it had none, or none of these parameters.
        """
        if self._any or has_gradients(self.parameters):
            return
        self._refuse_replaced()
        raise RuntimeError(
            "loss.backward() must come before the step ends, but no parameter has a gradient, "
            "nor had one at step.observe(loss): observe right after the backward, before any "
            "zero_grad()"
        )

    def refuse_unreached(self, active: Sequence[int]) -> None:
        """Raise where a block that is to be trained is never reached.

        A block that was reached once passes: stochastic depth drops one now and then.

        Raises:
            RuntimeError: one was not in ``PATIENCE`` steps.
        """
        for index in active:
            if self._waited.get(index, 0) < 0 or not self._is_due(index):
                continue
            reached = index in self._observed or self._has_gradients(index)
            self._waited[index] = -1 if reached else self._waited.get(index, 0) + 1
        waited = [i for i in active if self._waited.get(i, 0) >= PATIENCE]
        if waited:
            names = ", ".join(self._freezer.names[index] for index in waited)
            raise RuntimeError(
                f"a block that is trained must get a gradient, but {names} got none in "
                f"{PATIENCE} steps: the forward did not run it (a branch not taken, a detach(), "
                "no_grad), or a reentrant checkpoint cut it off (pass use_reentrant=False). Run "
                "it, or leave it out of blocks"
            )

    def state(self) -> list[list[int]]:
        """What a resumed run needs, as JSON values."""
        return [list(pair) for pair in self._waited.items()]

    def load(self, state: Iterable[tuple[int, int]]) -> None:
        """Go on from ``state``."""
        self._waited = dict(state)

    def _has_gradients(self, index: int) -> bool:
        return has_gradients(self._freezer.parts[index].parameters)

    def _is_due(self, index: int) -> bool:
        parameters = self._freezer.parts[index].parameters
        return any(p.requires_grad for p in parameters) and not is_absent(self._blocks[index])

    def _refuse_replaced(self) -> None:
        """Raise where gradients are of parameters that were put in place of those known."""
        known: Mapping[int, str] = self._freezer.parameters
        for name, parameter in self._model.named_parameters():
            if parameter.grad is not None and id(parameter) not in known:
                raise RuntimeError(
                    f"the model's parameters must stay those that the updater was made for, but "
                    f"{name} is another one (load_state_dict(assign=True), to_empty(), another "
                    "head): change and load the model first, then make optimizer and updater"
                )
