"""Where a model's blocks are, found by looking at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

LISTS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)
Blocks = Callable[[nn.Module], Sequence[nn.Module]]


def find_blocks(model: nn.Module) -> list[nn.Module]:
    """The modules of one class that stand in lists and together hold the most parameters, in order.

    Modules of several layers go before single layers. Those inside another of their kind, as an
    expert's in a block, do not count.

    Raises:
        ValueError: no class has two of them.
    """
    for layers in (False, True):
        kinds = [kind for kind in _kinds(model, layers) if len(kind) > 1]
        if kinds:
            return max(kinds, key=lambda kind: sum(map(_size, kind)))
    raise ValueError(
        "blocks of one class must stand in a list (nn.ModuleList, nn.Sequential) to be found, but "
        f"{type(model).__name__} has no two: its largest parts are {_largest(model)}; give "
        "blocks=lambda model: [...], in forward order"
    )


def blocks_named(path: str) -> Blocks:
    """``blocks`` for the list of modules at a dotted path, ``transformer.h`` say."""

    def blocks(model: nn.Module) -> list[nn.Module]:
        try:
            return list(model.get_submodule(path).children())
        except AttributeError:
            raise ValueError(
                f"blocks must be a path of {type(model).__name__}, but got {path!r}; its largest "
                f"parts are {_largest(model)}"
            ) from None

    return blocks


def _kinds(model: nn.Module, layers: bool) -> list[list[nn.Module]]:
    """The candidates by class: single layers, or modules that have some."""
    found: dict[type, list[nn.Module]] = {}
    inside: dict[type, set[int]] = {}
    for parent in model.modules():
        for child in parent.children() if isinstance(parent, LISTS) else ():
            kind, alone = type(child), not any(True for _ in child.children())
            if alone is not layers or isinstance(child, LISTS) or not _size(child):
                continue
            if id(child) not in inside.setdefault(kind, set()):
                found.setdefault(kind, []).append(child)
                inside[kind].update(id(each) for each in child.modules())
    return list(found.values())


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _largest(model: nn.Module) -> str:
    parts = sorted(model.named_children(), key=lambda pair: -_size(pair[1]))
    return ", ".join(f"{name} ({type(part).__name__})" for name, part in parts[:4]) or "none"
