"""What a workload's results depend on, as plain values that two sessions can compare."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from models.batches import Batch, tensors_of
from models.first_values import first_loss, first_measures, spread_batches, stepped_loss
from models.held import held_by
from models.making import blocks_of, new_model, new_optimizer, parameter_faults
from models.settings import batch_values, modules_of, settings_of, weights_of
from models.several import SeveralOptimizers
from models.source.digests import source_digests
from models.workload import Workload

ASIDE = frozenset({"name", "fingerprint", "target", "held_out"})
"""Of a workload's fields: its name, and what a run.json holds anyway."""

REACH = 4
"""How far ``source`` looks: more each time that it sees code which it did not see before. Runs that
were recorded with another are compared by what both have seen.
"""
MOST_NAMES = 6
"""Of frozen parameters; of more their number."""


def identity_of(workload: Workload) -> dict[str, Any]:
    """The workload's identity, its data's fingerprint aside: JSON values.

    Makes its model, its optimizer and some batches, evaluates it once and trains it two steps on
    the CPU, and forgets them.

    Raises:
        ValueError: they cannot be trained; every reason that is seen.
    """
    model = new_model(workload, 0)
    blocks = blocks_of(workload, model)
    optimizer = new_optimizer(workload, model)
    if faults := parameter_faults(model):
        raise ValueError("; ".join(faults))
    batch, code = workload.batch_at(0, 0), code_of(workload, model)
    modules, weights = modules_of(model), weights_of(model)  # before anything runs it
    held = held_by(model, optimizer)
    loss, measures = first_loss(workload, model, batch), first_measures(workload, model)
    groups = [_settings(group) for group in optimizer.param_groups]
    stepped = stepped_loss(workload, model, optimizer, batch)  # loads what a step imports
    settings = _at_rest(code, lambda: stepped_loss(workload, model, optimizer, batch))
    return {
        **_numbers(workload),
        "decay": workload.decay_shape,
        "blocks": kinds_of(blocks),
        "order of blocks": _order_of(model, blocks),
        "frozen from the first": _few([n for n, p in model.named_parameters() if _rests(p)]),
        "parameters": {name: _form(p) for name, p in model.named_parameters()},
        "modules": modules,
        "weights": weights,
        "batch": batch_form(batch),
        "batch's values": batch_values(batch),
        "first batches": spread_batches(workload, 0),
        "first loss": loss,
        "optimizer": kind_of(optimizer),
        "groups": groups,
        "reach": REACH,
        "source": source_digests(code),
        "settings": {**_as_made(workload, held), **settings},
        "levers": source_digests(
            [each for each in (workload.shrink, workload.examples_at) if each is not None]
        ),
        "first measures": measures,
        "stepped loss": stepped,
    }


def _as_made(workload: Workload, held: dict[str, str]) -> dict[str, str]:
    """What a model and its optimizer hold, without what another pair does not: a time, a number of
    its own, what a training has left behind for the next.
    """
    if not held:
        return {}
    model = new_model(workload, 0)
    now = held_by(model, new_optimizer(workload, model))
    return {name: told for name, told in held.items() if now.get(name) == told}


def _at_rest(code: list[Any], use: Callable[[], Any]) -> dict[str, str]:
    """The settings of code that has run once, without those that change as it runs again.

    What it sets the first time (a configuration that a model completes from its first batch) would
    else be one thing in a process that has trained the workload and another in one that has not;
    what it counts is a state.
    """
    before = settings_of(code)
    use()
    after = settings_of(code)
    return {name: told for name, told in before.items() if after.get(name) == told}


def _numbers(workload: Workload) -> dict[str, Any]:
    """The fields of a workload that are plain values."""
    values = {field.name: getattr(workload, field.name) for field in dataclasses.fields(workload)}
    return {n: v for n, v in values.items() if isinstance(v, (int, float, str)) and n not in ASIDE}


def _order_of(model: nn.Module, blocks: Sequence[nn.Module]) -> str:
    place = {id(module): index for index, module in enumerate(model.modules())}
    found = [place.get(id(block), 0) for block in blocks]
    if found == sorted(found):
        return "as registered"
    return ", ".join(str(sorted(found).index(each)) for each in found)


def _rests(parameter: nn.Parameter) -> bool:
    return not parameter.requires_grad


def _few(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "") or "nothing"


def kinds_of(modules: Sequence[nn.Module]) -> str:
    """How many of each kind there are.

    >>> kinds_of([nn.Linear(1, 1), nn.Linear(1, 1), nn.ReLU()])
    '2 x Linear, 1 x ReLU'
    """
    kinds = Counter(type(module).__name__ for module in modules)
    return ", ".join(f"{count} x {kind}" for kind, count in kinds.items())


def batch_form(batch: Batch) -> str:
    """Shapes and dtypes of a batch's tensors."""
    return ", ".join(map(_form, tensors_of(batch)))


def kind_of(optimizer: Optimizer) -> str:
    """The optimizer's class, or those of several."""
    if isinstance(optimizer, SeveralOptimizers):
        return " + ".join(type(each).__name__ for each in optimizer.optimizers)
    return type(optimizer).__name__


def _form(tensor: torch.Tensor) -> str:
    if tensor.is_nested:
        parts = tensor.unbind()
        return f"{len(parts)} nested like {_form(parts[0])}" if parts else "nothing nested"
    dtype = str(tensor.dtype).removeprefix("torch.")
    return f"{tuple(tensor.shape)}" + ("" if dtype == "float32" else f" {dtype}")


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    own = {name: _plain(value) for name, value in group.items() if name != "params"}
    return {**own, "parameters": len(group["params"])}


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if hasattr(value, "item") and getattr(value, "size", None) is not None:
        value = value.item() if _is_one(value) else repr(value)
    plain = value is None or isinstance(value, (bool, int, float, str))
    return value if plain else type(value).__name__


def _is_one(value: Any) -> bool:
    return (value.numel() if isinstance(value, torch.Tensor) else value.size) == 1


def code_of(workload: Workload, model: nn.Module) -> list[Any]:
    """The functions of a workload and the classes of its model's modules."""
    return [*functions_of(workload), *{type(module): None for module in model.modules()}]


def functions_of(workload: Workload) -> list[Any]:
    """The functions of a workload that a training calls whatever its levers are."""
    return [
        workload.make_model,
        workload.blocks,
        workload.batch_at,
        workload.loss,
        workload.evaluate,
        *workload.metrics.values(),
        workload.make_optimizer,
        workload.decay,
    ]
