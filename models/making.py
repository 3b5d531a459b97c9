"""A workload's model, blocks and optimizer, as every part of the project makes them.

What a function of the workload returns is looked at here, so that a wrong one is named by what it
is and by what should be there instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from models.frames import written_at
from models.left_over import left_over
from models.several import NEEDED, as_one, is_optimizer
from models.workload import Workload

SCHEDULED = (
    "the learning rate is scheduled by the search, from the workload's warmup_steps and "
    "decay_fraction"
)


def new_model(workload: Workload, seed: int, device: torch.device | str = "cpu") -> nn.Module:
    """The workload's model for a seed, on ``device``, in training mode.

    Parts in evaluation mode are put into training mode too, but for single layers and what has
    nothing to train: those rest on purpose. What earlier models left in memory is let go of first.

    Raises:
        ValueError: ``make_model`` returned something else, or a model that has no shapes yet or
            is compiled in a way that lets nothing be changed.
    """
    left_over.let_go()
    model = workload.make_model(seed)
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"make_model(seed) must return a model, but got {named(model)}"
            + (": return one, not the class" if isinstance(model, type) else "")
            + written_at(workload.make_model, "make_model")
        )
    if faults := [*_lazy_faults(model), *_script_faults(model)]:
        raise ValueError("; ".join(faults) + written_at(workload.make_model, "make_model"))
    model = model.to(device)
    left_over.made(model)
    for part in parts_at_rest(model).values():
        part.train()
    return model


def _lazy_faults(model: nn.Module) -> list[str]:
    """Parameters and buffers that get their shapes with the first batch."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    lazy = [name for name, tensor in tensors if is_lazy(tensor)]
    if not lazy:
        return []
    return [
        f"parameters must have their shapes when make_model returns, but {_some(lazy)} are lazy: "
        "run one batch through the model in make_model, or give the layers their sizes"
    ]


def _script_faults(model: nn.Module) -> list[str]:
    """Parts that take no hooks everywhere and cannot be copied."""
    script = torch.jit.ScriptModule
    parts = {name: part for name, part in model.named_modules() if isinstance(part, script)}
    tops = [name for name in parts if not name or name.rpartition(".")[0] not in parts]
    if not tops:
        return []
    what = "the model" if tops == [""] else _some(tops)
    return [
        "a model must consist of plain modules, which can be frozen, left out and copied, but "
        f"{what} was compiled by torch.jit.script or torch.jit.trace: leave that out, or "
        "use torch.compile"
    ]


def parts_at_rest(model: nn.Module) -> dict[str, nn.Module]:
    """What of a model is in evaluation mode and hardly on purpose, by name; the whole as ``""``.

    Pretrained models come so, alone or within another. A norm that rests is a single layer, and an
    extractor that rests has nothing to train; those are left.
    """
    if not model.training:
        return {"": model}
    found: dict[str, nn.Module] = {}
    for name, module in model.named_modules():
        within = any(name.startswith(f"{above}.") for above in found)
        if not module.training and not within and _is_part(module):
            found[name] = module
    return found


def _is_part(module: nn.Module) -> bool:
    has_layers = any(True for _ in module.children())
    return has_layers and any(p.requires_grad for p in module.parameters())


def blocks_of(workload: Workload, model: nn.Module) -> list[nn.Module]:
    """The model's blocks in forward order.

    Raises:
        ValueError: ``blocks`` returned no modules of the model, or one of them twice.
    """
    found = workload.blocks(model)
    if isinstance(found, (Mapping, nn.ModuleDict)):
        raise ValueError(
            "blocks(model) must list modules in forward order, but got a "
            f"{type(found).__name__}: return list(....values())"
        )
    try:
        blocks = list(found)
    except TypeError:
        raise ValueError(f"blocks(model) must list modules, but got {named(found)}") from None
    _refuse_no_blocks(blocks, model)
    return blocks


def _refuse_no_blocks(blocks: list[Any], model: nn.Module) -> None:
    if not blocks:
        raise ValueError(
            "blocks(model) must list at least one module, but got none: return the model's layers, "
            "list(model.layers) for one, as a list (a generator is empty when it is read again)"
        )
    inside = {id(module) for module in model.modules()}
    for index, block in enumerate(blocks):
        if not isinstance(block, nn.Module) or id(block) not in inside:
            raise ValueError(
                f"blocks(model) must list modules of the model, but block {index} is "
                f"{named(block)}" + (" of another" if isinstance(block, nn.Module) else "")
            )
        if first := [i for i in range(index) if blocks[i] is block]:
            raise ValueError(
                "blocks(model) must list each module once, but blocks "
                f"{first[0]} and {index} are the same {type(block).__name__}"
            )


def new_optimizer(workload: Workload, model: nn.Module) -> Optimizer:
    """The optimizer for a model; several in a list, tuple or dict as one.

    Raises:
        ValueError: ``make_optimizer`` returned something that cannot be used as one.
    """
    found = as_one(workload.make_optimizer(model))
    if not is_optimizer(found):
        raise ValueError(
            _no_optimizer(found) + written_at(workload.make_optimizer, "make_optimizer")
        )
    if "closure" in _required(found.step):
        raise ValueError(
            "make_optimizer(model) must return an optimizer that steps by the gradients there are, "
            f"but {type(found).__name__}.step needs a closure: choose another one"
        )
    _refuse_scheduled(found, workload)
    return found  # type: ignore[no-any-return]


def _refuse_scheduled(optimizer: Optimizer, workload: Workload) -> None:
    """Refuse rates that a scheduler of torch has turned down already, and none at all."""
    if all(group["lr"] is not None and group["lr"] == 0 for group in optimizer.param_groups):
        raise ValueError(
            "make_optimizer(model) must return an optimizer at its peak rates, but all are 0"
            + written_at(workload.make_optimizer, "make_optimizer")
        )
    if (turned := turned_down(optimizer)) is not None:
        raise ValueError(
            "make_optimizer(model) must return an optimizer at its peak rates, but a scheduler "
            f"has set {turned[0]:.3g} of {turned[1]:.3g}: leave it out, {SCHEDULED}"
            + written_at(workload.make_optimizer, "make_optimizer")
        )


def turned_down(optimizer: Optimizer) -> tuple[float, float] | None:
    """A rate that a scheduler of torch has set, and the peak it belongs to; None where none has."""
    for group in optimizer.param_groups:
        rate = group["lr"]
        # A one-cycle schedule begins at a share of its peak, and keeps that beside it.
        peak = group.get("max_lr", group.get("initial_lr", rate))
        if rate != peak:
            return float(rate), float(peak)
    return None


def _no_optimizer(found: Any) -> str:
    text = f"make_optimizer(model) must return an optimizer, but got {named(found)}"
    if isinstance(found, type):
        return f"{text}: return one that holds the model's parameters, not the class"
    if isinstance(found, (list, tuple)):
        return f"{text}: return the optimizer alone, or several in a list; {SCHEDULED}"
    if isinstance(found, Mapping) and "optimizer" in found:
        return f'{text}: return its ["optimizer"]; {SCHEDULED}'
    missing = [name for name in NEEDED if not hasattr(found, name)]
    return f"{text}, which has no {', '.join(missing)}"


def _required(function: Any) -> list[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]


def named(value: Any) -> str:
    """What a value is, for a message: its type, and a little of what is in it.

    >>> named(None), named(3), named(nn.Linear), named([1, "a"])
    ('None', '3 (int)', 'the class Linear', 'a list of (int, str)')
    """
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, (bool, int, float, complex)):
        return f"{value!r} ({type(value).__name__})"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)} and {value.dtype}"
    if isinstance(value, Mapping):
        return f"a {type(value).__name__} with {', '.join(map(repr, list(value)[:5])) or 'nothing'}"
    if isinstance(value, (list, tuple)):
        kinds = ", ".join(type(each).__name__ for each in list(value)[:5])
        return f"a {type(value).__name__} of ({kinds})"
    return f"a {type(value).__name__}"


def parameter_faults(model: nn.Module) -> list[str]:
    """Why the search's loop cannot train the model's parameters as they are, a line a reason.

    Call it once the optimizer is made: some optimizers hook into the backward.
    """
    found: dict[str, list[str]] = {}
    for name, parameter in model.named_parameters():
        if reason := _parameter_fault(parameter):
            found.setdefault(reason, []).append(name)
    return [reason.format(_some(names)) for reason, names in found.items()]


def _parameter_fault(parameter: nn.Parameter) -> str | None:
    kinds = {
        kind.__name__ for tensor in (parameter, parameter.data) for kind in type(tensor).__mro__
    }
    if "DTensor" in kinds:
        return (
            "parameters must be whole on one device, but {} are sharded (DTensor, as fully_shard "
            "makes them): return the model unsharded, a trial has one device"
        )
    if parameter.is_meta:
        return "parameters must have values, but {} are on the meta device: initialize them"
    if getattr(parameter, "_post_accumulate_grad_hooks", None):
        return (
            "gradients must be there when the backward is over, but {} have a hook that may step "
            "or drop them within it (register_post_accumulate_grad_hook): step in the optimizer's "
            "step alone"
        )
    return None


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
