"""Brings a model into a form and back, and lets it compute as the form says: the one file that
applies levers.

A change of form is made between two steps, in place. Parameters that stay are the same objects, so
their moments can be carried over; parameters that are put in begin without.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch import nn
from torch.optim import Optimizer

from models.approximation.inputs import collect_inputs
from models.approximation.matching import Placement, placement_patterns
from models.approximation.replace import Kind, approximate, skeleton, structured, to_dense
from models.compute.attention import forced
from models.compute.compiling import compiled
from models.compute.precision import precision
from models.levers.form import Form

NEEDS_INPUTS = ("data_aware", "low_rank_diagonal")
"""Kinds that are fitted to what the matrices are multiplied with."""


class Shaped:
    """A model and the form it has.

    Args:
        model: changed in place.
        blocks: model -> its blocks in forward order.
        form: the form to begin in. The values of what it puts in are arbitrary: they are to be
            loaded.
    """

    def __init__(
        self, model: nn.Module, blocks: Callable[[nn.Module], Sequence[nn.Module]], form: Form
    ) -> None:
        self.model = model
        self.form = Form()
        self._blocks = blocks
        self._undo: Callable[[], None] | None = None
        self._resting: list[nn.Parameter] = []
        if form.approximated:
            skeleton(model, cast(Kind, form.approximation), self._patterns(form), form.share)
        self._settle(form)

    def change(self, form: Form, forward: Callable[[], object]) -> None:
        """Bring the model from its form into ``form``.

        Args:
            form: the new one.
            forward: runs the model on some batches; called where a fit needs to see the layers'
                inputs.

        Raises:
            ValueError: the model has no such matrices, or they cannot be approximated so; the
                message says why.
        """
        self._release()
        if not form.same_modules(self.form):
            if self.form.approximated:
                to_dense(self.model)
            if form.approximated:
                self._approximate(form, forward)
        self._settle(form)

    def _approximate(self, form: Form, forward: Callable[[], object]) -> None:
        patterns = self._patterns(form)
        inputs = None
        if form.approximation in NEEDS_INPUTS:
            with resting(self.model):
                inputs = collect_inputs(self.model, patterns, forward)
        approximate(self.model, cast(Kind, form.approximation), patterns, form.share, inputs)

    def _patterns(self, form: Form) -> tuple[str, ...]:
        return placement_patterns(
            self.model, cast(Placement, form.placement), list(self._blocks(self.model))
        )

    def _settle(self, form: Form) -> None:
        self.form = form
        if form.recovering:
            self._rest_others()
        if form.compiled:
            self._undo = compiled(self.model, list(self._blocks(self.model)))

    def _rest_others(self) -> None:
        """Freeze all but the parameters that the approximation put in."""
        inside = {id(p) for layer in structured(self.model).values() for p in layer.parameters()}
        self._resting = [
            p for p in self.model.parameters() if p.requires_grad and id(p) not in inside
        ]
        for parameter in self._resting:
            parameter.requires_grad_(False)

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Inside, what rests during recovery counts as trained."""
        for parameter in self._resting:
            parameter.requires_grad_(True)
        try:
            yield
        finally:
            for parameter in self._resting:
                parameter.requires_grad_(False)

    def _release(self) -> None:
        """Undo what lies over the modules: compilation, and the rest of recovery."""
        if self._undo is not None:
            self._undo()
            self._undo = None
        if self.form.recovering:
            for parameter in self._resting:
                parameter.requires_grad_(True)
            self._resting = []

    @contextlib.contextmanager
    def computing(self) -> Iterator[None]:
        """Forward and backward inside compute as the form says."""
        form = self.form
        if form.attention == "default" and form.dtype == "float32":
            yield  # spares every step two contexts
            return
        device = next(self.model.parameters()).device
        with contextlib.ExitStack() as stack:
            if form.attention != "default":
                stack.enter_context(forced(form.attention))
            stack.enter_context(precision(form.dtype, device))
            yield


@contextlib.contextmanager
def resting(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode without gradients; afterwards each module has its own mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(modes[0][1])  # adapters merge and part their weights there
        for module, training in modes:
            module.training = training


def carry_moments(old: Optimizer, new: Optimizer) -> None:
    """Give ``new`` the state that ``old`` has for parameters that both hold."""
    held = {id(p) for group in new.param_groups for p in group["params"]}
    for parameter, state in old.state.items():
        if id(parameter) in held:
            new.state[parameter] = state
