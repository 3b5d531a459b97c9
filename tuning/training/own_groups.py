"""A user's own optimizer: what is wrong with it before a run; and the same object through changes
of its model, with groups made anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from models.identity import kind_of
from models.making import turned_down
from models.several import SeveralOptimizers
from tuning.trial.recipe_file import NUMBERS, baseline_of


class OwnGroups:
    """The groups of an optimizer as it was given, for whatever parameters the model has later.

    A parameter that was put in belongs to the group of the one whose place it took: that of the
    parameter with the longest common path of modules.

    Args:
        model: the model, which levers change.
        optimizer: the optimizer, before its first step.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer) -> None:
        self._model, self._optimizer = model, optimizer
        whole = optimizer.optimizers if isinstance(optimizer, SeveralOptimizers) else (optimizer,)
        self._each = [(each, [dict(group) for group in each.param_groups]) for each in whole]
        place = {
            id(p): (number, index)
            for number, (_, groups) in enumerate(self._each)
            for index, group in enumerate(groups)
            for p in group["params"]
        }
        named = model.named_parameters()
        self._places = {name: place[id(p)] for name, p in named if id(p) in place}
        self._before = dict(model.named_parameters())
        self._held = held_by(optimizer)

    def renewed(self) -> Optimizer:
        """The optimizer with its groups as they were given, filled with the parameters that the
        model now has.

        Raises:
            RuntimeError: the loop has added parameters to it.
        """
        if held_by(self._optimizer) - self._held:
            raise RuntimeError(
                "the optimizer must keep the parameters that it came with, but got others since: "
                "call add_param_group before the recipe is applied"
            )
        named = dict(self._model.named_parameters())
        same = named.keys() == self._before.keys() and all(
            named[name] is parameter for name, parameter in self._before.items()
        )
        members = None if same else self._members(named)
        for number, (each, groups) in enumerate(self._each):
            each.param_groups[:] = [
                {**group, "params": list(group["params"]) if members is None
                 else members.get((number, index), [])}
                for index, group in enumerate(groups)
            ]  # fmt: skip
        self._forget()
        self._held = held_by(self._optimizer)
        return self._optimizer

    def _members(self, named: dict[str, nn.Parameter]) -> dict[tuple[int, int], list[Any]]:
        found: dict[tuple[int, int], list[Any]] = {}
        for name, parameter in named.items():
            place = self._place(name)
            if place is not None:
                found.setdefault(place, []).append(parameter)
        return found

    def _place(self, name: str) -> tuple[int, int] | None:
        """(optimizer, group) of a parameter by its name: that of the parameter that shares the
        longest path of modules with it. None where none shares any, and for parameters that the
        optimizer was not given.
        """
        if name in self._places:
            return self._places[name]
        if name in self._before:
            return None  # one that the optimizer was not given
        path = name.split(".")
        for length in range(len(path) - 1, 0, -1):
            start = ".".join(path[:length]) + "."
            if beside := [p for known, p in self._places.items() if known.startswith(start)]:
                return beside[0]
        return None

    def _forget(self) -> None:
        """Drop the state of parameters that the optimizer no longer holds."""
        for each, _ in self._each:
            held = held_by(each)
            for parameter in [p for p in each.state if id(p) not in held]:
                del each.state[parameter]


def held_by(optimizer: Optimizer) -> set[int]:
    """Identities of the parameters that an optimizer steps."""
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


def optimizer_faults(model: nn.Module, optimizer: Optimizer) -> Iterator[str]:
    """Faults of an optimizer that cannot be put under a recipe as it is, each with what to do."""
    if not held_by(optimizer) & {id(p) for p in model.parameters()}:
        yield (
            "the optimizer must hold the model's parameters, but holds none of them: make it of "
            "model.parameters() after the model is changed, copied or loaded with assign=True"
        )
    if any(map(_has_stepped, optimizer.state.values())):
        yield (
            f"the optimizer must not have stepped yet, but this {type(optimizer).__name__} has: "
            "make a new one. To go on with a run that was broken off, apply the recipe to a new "
            "one and give run.load_state_dict what run.state_dict() was"
        )
    if (turned := turned_down(optimizer)) is not None:
        yield (
            f"the optimizer must be at its peak rates, but a scheduler has set {turned[0]:.3g} of "
            f"{turned[1]:.3g}: leave the scheduler out, the recipe sets the rates"
        )


def _has_stepped(state: Any) -> bool:
    # Some optimizers make their state when they are constructed, with a count of 0 steps.
    return bool(state.get("step", 0)) or isinstance(state.get("momentum_buffer"), torch.Tensor)


def not_held(model: nn.Module, optimizer: Optimizer) -> list[str]:
    """Names of parameters that are to be trained and that the optimizer does not have."""
    held = held_by(optimizer)
    named = model.named_parameters()
    return [name for name, p in named if p.requires_grad and id(p) not in held]


def other_numbers(optimizer: Optimizer, known: Mapping[str, Any]) -> list[str]:
    """How an optimizer differs from the one that a recipe was found with, in kind and numbers.

    Args:
        optimizer: the optimizer, before its first step.
        known: the other one, as ``baseline_of`` describes it; empty where it is not known.
    """
    here = baseline_of(kind_of(optimizer), optimizer.param_groups)
    return [
        f"{name} {_each(known[name])} (here {_each(here[name]) if name in here else 'none'})"
        for name in ("optimizer", *NUMBERS)
        if name in known and _each(known[name]) != _each(here.get(name))
    ]


def _each(values: Any) -> str:
    """The different values that stand in the groups, in words."""
    several = values if isinstance(values, list) else [values]
    return " and ".join(sorted({str(each) for each in several}))
