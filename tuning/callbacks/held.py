"""A recipe whose steps another loop takes: that loop says what happens when.

A plain loop holds its step in one ``with``; a framework's is spread over its calls. ``HeldRecipe``
keeps it open from the first forward to the last backward, however many micro-batches there are.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from policies.apply import Step
from tuning.training.generators import seed_all
from tuning.training.plain_loop import LoadedRecipe, RecipeRun, load_recipe

Recipe = str | Path | LoadedRecipe
Blocks = str | Sequence[nn.Module] | Callable[[nn.Module], Sequence[nn.Module]]
"""The blocks in forward order: the blocks themselves, the name of their list in the model, or a
function that gives them for a model.
"""


class HeldRecipe:
    """A recipe at work under a loop that steps the optimizer itself.

    Args:
        run: what ``LoadedRecipe.apply`` made.
        seed: of the process's generators as the first step begins; None leaves them alone.
    """

    def __init__(self, run: RecipeRun, seed: int | None = None) -> None:
        self._levered, self._seed = run.levered, seed
        self._levered.prepare()  # the optimizer is handed on, so it has to be the one that stays
        self._stack: contextlib.ExitStack | None = None
        self._step: Step | None = None
        self._losses: list[Tensor] = []

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer that takes the steps."""
        return self._levered.optimizer

    @property
    def device(self) -> torch.device:
        """The device that the model is on."""
        return self._levered.subject.device

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return self._levered.course.steps

    @property
    def finished(self) -> bool:
        """Whether the recipe's run is over."""
        return self._levered.course.finished

    @property
    def averages(self) -> bool:
        """Whether an average of the weights, not the weights themselves, is evaluated by now."""
        return self._levered.course.averages

    @property
    def idle(self) -> bool:
        """Whether no step is under way."""
        return self._stack is None

    def open(self) -> None:
        """Get ready for the forward of a micro-batch: begin a step, unless one is under way, to
        which the micro-batch then belongs.

        Raises:
            RuntimeError: the run is over; and see ``BlockUpdater.step``.
        """
        if self._stack is not None:
            return
        if self.finished:
            raise RuntimeError(f"the run is over: its {self.steps} steps have been taken")
        if self._seed is not None and self.steps == 0:
            seed_all(self._seed)  # as late as here: loaders draw when they begin
        self._levered.prepare()
        stack = contextlib.ExitStack()
        self._step = stack.enter_context(self._levered.gradients())
        self._stack = stack

    def heard(self, loss: Tensor) -> None:
        """Note a micro-batch's share of the step's loss; the shares add up to the loss."""
        if not self.idle:
            self._losses.append(loss)

    def close(self) -> None:
        """The step's gradients are whole: read them here, before they are clipped.

        Raises:
            RuntimeError: see ``BlockUpdater.step``.
        """
        assert self._stack is not None, "open() comes first"
        assert self._step is not None, "open() comes first"
        stack, step, losses = self._stack, self._step, self._losses
        self._forget()
        with stack:
            if losses:
                step.observe(reduce(lambda one, other: one + other, losses))

    def abandon(self, error: BaseException) -> None:
        """Give up the step under way, if one is: weights and course stay where they were."""
        stack = self._stack
        self._forget()
        if stack is not None:
            with contextlib.suppress(type(error)):
                stack.__exit__(type(error), error, error.__traceback__)

    def stepped(self) -> None:
        """Enter the step that the optimizer has just taken; after the last nothing is frozen."""
        self._levered.stepped()
        if self.finished:
            self._levered.updater.thaw()

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Within the block the model has the weights to evaluate."""
        return self._levered.averaged()

    def settle(self) -> None:
        """Leave the model with the weights to evaluate, for good: the run is over."""
        self._levered.settle()

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands. The framework saves model, optimizer and generators itself."""
        return self._levered.progress()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state_dict`` was taken, once model and optimizer have been loaded."""
        self._levered.load_progress(state)

    def _forget(self) -> None:
        self._stack, self._step, self._losses = None, None, []


def loaded(recipe: Recipe) -> LoadedRecipe:
    """The recipe of a file, or the one that was loaded already.

    Raises:
        ValueError: the file cannot be read or is no recipe; names every fault.
    """
    return recipe if isinstance(recipe, LoadedRecipe) else load_recipe(recipe)


def blocks_of(model: nn.Module, blocks: Blocks) -> Sequence[nn.Module]:
    """The blocks of ``model``: ``blocks`` itself, what it returns for the model, or the children of
    the module that it names.

    Raises:
        ValueError: the model has no list of that name.
    """
    if callable(blocks):
        return blocks(model)
    if not isinstance(blocks, str):
        return list(blocks)
    try:
        found = model.get_submodule(blocks)
    except AttributeError as error:
        raise ValueError(
            f"blocks must be the name of a list of the model's modules, but got {blocks!r}: {error}"
        ) from None
    return list(found.children())
