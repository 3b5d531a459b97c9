"""What is wrong with a model, its blocks or its stem, before anything is done to them.

Of PyTorch it needs nothing but the objects it is handed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from policies.applying.parts import Places
from policies.applying.wiring import Module, Part, Stem, refuse

_ALONE = (
    "pass the bare module, average the gradients yourself after the backward, and give observe() "
    "the mean loss, so that all processes plan the same"
)
_WRAPPERS = {
    "DistributedDataParallel": "it waits for the gradients that existed when it was made",
    "FullyShardedDataParallel": "it flattens parameters of several blocks into one",
    "FSDPModule": "it gathers and scatters what required a gradient when it was made",
}
_PARAMETERS = {
    "DTensor": "it is one process's share of a tensor, whose norm and gradient the others hold "
    f"too; {_ALONE}",
    "FlatParameter": "it holds the weights of several modules, of which one may be frozen; "
    f"{_ALONE}",
    "UninitializedParameter": "it has no shape yet; run one batch through the model first",
}


def checked_blocks(model: Module, blocks: Any, stem: Stem) -> list[Module]:
    """The blocks as a list.

    Raises:
        ValueError: blocks that are no list of distinct modules of the model, a stem that is none, a
            model or parameters that cannot be trained this way; names every one.
    """
    if not hasattr(blocks, "__len__") or isinstance(blocks, (str, Mapping, set, frozenset)):
        raise ValueError(
            "blocks must be a list of modules in forward order, but got a "
            f"{type(blocks).__name__}; pass list(...)"
        )
    found = list(blocks)
    if not found:
        raise ValueError("blocks must name at least one module of the model, but got none")
    refuse(
        [*_wrapper_faults(model), *_block_faults(model, found), *_stem_faults(model, found, stem)]
    )
    return found


def refuse_idle_top(parts: Mapping[int, Part], blocks: Sequence[Module]) -> None:
    """Refuse blocks the last of which has nothing to train: the least depth would train none.

    Raises:
        ValueError: the last block has no parameter that requires a gradient.
    """
    top = len(blocks) - 1
    if not any(parts[index].parameters for index in range(len(blocks))):
        raise ValueError(
            f"the blocks must have something to train, but none of the {len(blocks)} "
            f"({type(blocks[top]).__name__}) has a parameter that requires a gradient: thaw some, "
            "or let adapters reach into them (LoRA's target_modules)"
        )
    if not parts[top].parameters:
        raise ValueError(
            f"the last block must have a parameter to train, but block {top} "
            f"({type(blocks[top]).__name__}) has none that requires a gradient; leave it out"
        )


def _kinds(objects: Iterable[Any]) -> set[str]:
    return {kind.__name__ for each in objects for kind in type(each).__mro__}


def _wrapper_faults(model: Module) -> list[str]:
    faults = [
        f"model must not contain {name}: {why}; {_ALONE}"
        for name, why in _WRAPPERS.items()
        if name in _kinds(model.modules())
    ]
    return faults + [
        f"parameters must be plain tensors, but the model has one that is a {name}: {why}"
        for name, why in _PARAMETERS.items()
        if name in _kinds(model.parameters())
    ]


def _block_faults(model: Module, blocks: Sequence[Module]) -> list[str]:
    inside = {id(module) for module in model.modules()}
    faults = [
        f"blocks must be modules of the model, but block {index} ({type(block).__name__}) is not"
        for index, block in enumerate(blocks)
        if id(block) not in inside
    ]
    faults += [
        f"blocks must take hooks, but block {index} is compiled by torch.jit.script, which allows "
        "none; leave it as it is, or use torch.compile"
        for index, block in enumerate(blocks)
        if "RecursiveScriptModule" in _kinds([block])
    ]
    if faults:
        return faults
    return [fault for index in range(len(blocks)) for fault in _overlaps(blocks, index)]


def _overlaps(blocks: Sequence[Module], index: int) -> list[str]:
    block = blocks[index]
    twice = [
        f"blocks must be distinct, but block {index} and block {other} are one module; name it "
        "once, however often it runs"
        for other in range(index + 1, len(blocks))
        if blocks[other] is block
    ]
    return twice + [
        f"blocks must not be nested, but block {index} is in block {other}"
        for other, outer in enumerate(blocks)
        if outer is not block and any(block is module for module in outer.modules())
    ]


def _stem_faults(model: Module, blocks: Sequence[Module], stem: Stem) -> list[str]:
    if isinstance(stem, Places):
        if stem.num_blocks == len(blocks):
            return []
        return [
            f"stem must be traced with these {len(blocks)} blocks, but was with {stem.num_blocks}"
        ]
    own = {id(each) for each in (*model.modules(), *model.parameters())}
    faults = []
    for part in stem or ():
        if id(part) not in own:
            faults.append(
                f"stem must name parts of the model, but {type(part).__name__} is not one"
            )
        elif any(module is block for module in _contents(part) for block in blocks):
            faults.append(f"stem must lie below the blocks, but {type(part).__name__} contains one")
    return faults


def _contents(part: Any) -> list[Module]:
    return list(part.modules()) if hasattr(part, "modules") else []
