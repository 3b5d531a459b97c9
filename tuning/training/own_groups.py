"""A user's own optimizer through changes of its model: the same object, with groups made anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from models.identity import kind_of
from models.several import SeveralOptimizers
from tuning.trial.recipe_file import NUMBERS, baseline_of


class OwnGroups:
    """The groups of an optimizer as it came, for whatever parameters the model has later.

    A parameter that was put in belongs where the one was whose place it took: to the group of the
    parameter that shares the most of its name.

    Args:
        model: changed by levers.
        optimizer: before its first step.
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

    def renewed(self) -> Optimizer:
        """The optimizer, its groups as they came but for the parameters that the model now has."""
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
        return self._optimizer

    def _members(self, named: dict[str, nn.Parameter]) -> dict[tuple[int, int], list[Any]]:
        found: dict[tuple[int, int], list[Any]] = {}
        for name, parameter in named.items():
            place = self._place(name)
            if place is not None:
                found.setdefault(place, []).append(parameter)
        return found

    def _place(self, name: str) -> tuple[int, int] | None:
        """By the longest path of modules that some parameter of the start shares; None of none."""
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
        """Drop the state of parameters that are no more."""
        for each, _ in self._each:
            held = {id(p) for group in each.param_groups for p in group["params"]}
            for parameter in [p for p in each.state if id(p) not in held]:
                del each.state[parameter]


def other_numbers(optimizer: Optimizer, known: Mapping[str, Any]) -> list[str]:
    """Where an optimizer is not the one that a recipe was found with: its kind, and its numbers.

    Args:
        optimizer: before its first step.
        known: the other's, as ``baseline_of`` gives it; empty where it is not known.
    """
    here = baseline_of(kind_of(optimizer), optimizer.param_groups)
    return [
        f"{name} {_each(known[name])} (here {_each(here[name]) if name in here else 'none'})"
        for name in ("optimizer", *NUMBERS)
        if name in known and _each(known[name]) != _each(here.get(name))
    ]


def _each(values: Any) -> str:
    """What stands in the groups, once each."""
    several = values if isinstance(values, list) else [values]
    return " and ".join(sorted({str(each) for each in several}))
