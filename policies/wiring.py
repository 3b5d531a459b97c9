"""Finds what a policy freezes in a model: the parameters and modules of its stem, blocks and head.

Needs nothing of PyTorch but the objects it is handed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.parts import STEM, module_parts, outer_names, owner

Module = Any
"""A ``torch.nn.Module``."""

_WRAPPERS = {
    "DistributedDataParallel": "it waits for the gradients that existed when it was made",
    "FullyShardedDataParallel": "it flattens parameters of several blocks into one",
}


@dataclass(frozen=True)
class Part:
    """The stem, a block or the head.

    Attributes:
        parameters: those that train when the part does.
        modules: those whose evaluation mode touches no other part.
    """

    parameters: list[Any] = field(default_factory=list)
    modules: list[Module] = field(default_factory=list)


def divide(model: Module, blocks: Sequence[Module], stem: Sequence[Any] | None) -> Mapping[int, Part]:
    """The parts of a model by number (see ``policies.parts``), without parameters that do not require grad.

    Raises:
        ValueError: blocks that are no parts of the model or overlap, parameters shared between blocks, a
            wrapper that cannot be trained this way; names every one.
    """
    _refuse([*_wrapper_faults(model), *_block_faults(model, blocks, stem)])
    named = list(model.named_modules(remove_duplicate=False))
    numbers = module_parts([name for name, _ in named], _names_of(named, blocks), _stem_names(named, stem))
    parts: dict[int, Part] = {index: Part() for index in range(STEM, len(blocks) + 1)}
    for module, part in _modules(named, numbers):
        parts[part].modules.append(module)
    for parameter, part in _parameters(named, numbers, len(blocks), stem):
        parts[part].parameters.append(parameter)
    return parts


def _names_of(named: Sequence[tuple[str, Module]], blocks: Sequence[Module]) -> dict[str, int]:
    index_of = {id(block): index for index, block in enumerate(blocks)}
    return {name: index_of[id(module)] for name, module in named if id(module) in index_of}


def _stem_names(named: Sequence[tuple[str, Module]], stem: Sequence[Any] | None) -> list[str] | None:
    if stem is None:
        return None
    wanted = {id(part) for part in stem}
    return [name for name, module in named if id(module) in wanted]


def _modules(named: Sequence[tuple[str, Module]], numbers: Sequence[int]) -> list[tuple[Module, int]]:
    """The modules that belong to one part with all they contain, once each."""
    parts_within: dict[str, set[int]] = defaultdict(set)
    for (name, _), part in zip(named, numbers, strict=True):
        for outer in outer_names(name):
            parts_within[outer].add(part)
    parts_of: dict[int, set[int]] = defaultdict(set)
    for name, module in named:
        parts_of[id(module)] |= parts_within[name]
    once = {id(module): module for _, module in named}
    return [(module, min(parts_of[key])) for key, module in once.items() if len(parts_of[key]) == 1]


def _parameters(
    named: Sequence[tuple[str, Module]], numbers: Sequence[int], num_blocks: int, stem: Sequence[Any] | None
) -> list[tuple[Any, int]]:
    """The part that trains each parameter, once each."""
    in_stem = {id(part) for part in stem or ()}
    found: dict[int, Any] = {}
    parts_of, names_of = defaultdict(set), defaultdict(list)
    for (prefix, module), part in zip(named, numbers, strict=True):
        for name, parameter in module.named_parameters(recurse=False):
            found[id(parameter)] = parameter
            parts_of[id(parameter)].add(STEM if id(parameter) in in_stem else part)
            names_of[id(parameter)].append(f"{prefix}.{name}" if prefix else name)
    owners = {key: owner(parts, num_blocks) for key, parts in parts_of.items()}
    _refuse(
        f"a parameter must belong to one block, but {' and '.join(sorted(set(names_of[key])))} are one; "
        "untie them, or make one block of all that share it"
        for key, part in owners.items()
        if part is None
    )
    return [(p, owners[key]) for key, p in found.items() if p.requires_grad]  # type: ignore[misc]


def _wrapper_faults(model: Module) -> list[str]:
    kinds = {kind.__name__ for module in model.modules() for kind in type(module).__mro__}
    return [
        f"model must not contain {name}: {why}; pass the bare module, average the gradients yourself after "
        "the backward, and give observe() the mean loss, so that all processes plan the same"
        for name, why in _WRAPPERS.items()
        if name in kinds
    ]


def _block_faults(model: Module, blocks: Sequence[Module], stem: Sequence[Any] | None) -> list[str]:
    if not blocks:
        return ["blocks must name at least one module of the model, but got none"]
    inside = {id(module) for module in model.modules()}
    own = inside | {id(parameter) for parameter in model.parameters()}
    faults = [
        f"blocks must be modules of the model, but block {index} ({type(block).__name__}) is not"
        for index, block in enumerate(blocks)
        if id(block) not in inside
    ]
    faults += [
        f"blocks must be distinct and not nested, but block {index} is in block {other}"
        for index, block in enumerate(blocks)
        for other in range(len(blocks))
        if other != index and any(block is module for module in blocks[other].modules())
    ]
    for part in stem or ():
        if id(part) not in own:
            faults.append(f"stem must name parts of the model, but {type(part).__name__} is not one")
        elif any(module is block for module in _contents(part) for block in blocks):
            faults.append(f"stem must lie below the blocks, but {type(part).__name__} contains one")
    return faults


def _contents(part: Any) -> list[Module]:
    return list(part.modules()) if hasattr(part, "modules") else []


def _refuse(faults: Any) -> None:
    if found := list(faults):
        raise ValueError("; ".join(found))
