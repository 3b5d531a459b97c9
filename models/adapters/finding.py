"""Where a model's blocks are, found by looking at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn

LISTS = (nn.ModuleList, nn.Sequential, nn.ModuleDict)
Blocks = Callable[[nn.Module], Sequence[nn.Module]]


def find_blocks(model: nn.Module) -> list[nn.Module]:
    """The modules of one kind that stand in lists and together hold the most parameters, in order.

    Modules with a class of their own go before sequences of layers, these before single layers; of
    the last two, those are of a kind whose parameters have the same shapes. Modules inside another
    of their kind, as an expert's in a block, do not count.

    Raises:
        ValueError: no kind has two of them.
    """
    for sort in SORTS:
        kinds = [kind for kind in _kinds(model, sort) if len(kind) > 1]
        if kinds:
            return max(kinds, key=lambda kind: sum(map(_size, kind)))
    raise ValueError(
        "blocks of one kind must stand in a list (nn.ModuleList, nn.Sequential) to be found, but "
        f"{type(model).__name__} has no two: its largest parts are {_largest(model)}; give "
        "blocks=lambda model: [...], in forward order"
    )


def blocks_named(path: str) -> Blocks:
    """``blocks`` for the list of modules at a dotted path, ``transformer.h`` say."""

    def blocks(model: nn.Module) -> list[nn.Module]:
        try:
            found = model.get_submodule(path)
        except AttributeError:
            raise ValueError(_no_list(model, path, "which it does not have")) from None
        if not isinstance(found, LISTS) and any(_lists(found)):
            raise ValueError(_no_list(model, path, f"a {type(found).__name__}, which holds lists"))
        return list(found.children())

    return blocks


def _no_list(model: nn.Module, path: str, what: str) -> str:
    found = ", ".join(_lists(model))
    there = f"its lists are {found}" if found else f"its largest parts are {_largest(model)}"
    return (
        f"blocks must be the path of a list of modules of {type(model).__name__}, but got "
        f"{path!r}, {what}; {there}"
    )


def _lists(model: nn.Module) -> Iterator[str]:
    """Paths of lists of modules that are not inside of another."""
    for name, module in model.named_children():
        if isinstance(module, LISTS) and len(module) > 1:
            yield name
        else:
            yield from (f"{name}.{inner}" for inner in _lists(module))


def _class(module: nn.Module) -> Any:
    return None if isinstance(module, LISTS) or _is_layer(module) else type(module)


def _sequence(module: nn.Module) -> Any:
    return _shapes(module) if isinstance(module, nn.Sequential) else None


def _layer(module: nn.Module) -> Any:
    return (type(module), _shapes(module)) if _is_layer(module) else None


def _layer_of_any_shape(module: nn.Module) -> Any:
    return type(module) if _is_layer(module) else None


SORTS = (_class, _sequence, _layer, _layer_of_any_shape)
"""What tells modules of each sort apart by kind; None of a module of another sort."""


def _kinds(model: nn.Module, sort: Callable[[nn.Module], Any]) -> list[list[nn.Module]]:
    """The candidates of a sort, by kind."""
    found: dict[Any, list[nn.Module]] = {}
    inside: dict[Any, set[int]] = {}
    for parent in model.modules():
        for child in parent.children() if isinstance(parent, LISTS) else ():
            kind = sort(child)
            if kind is None or not _size(child):
                continue
            if id(child) not in inside.setdefault(kind, set()):
                found.setdefault(kind, []).append(child)
                inside[kind].update(id(each) for each in child.modules())
    return list(found.values())


def _is_layer(module: nn.Module) -> bool:
    return not any(True for _ in module.children())


def _shapes(module: nn.Module) -> Any:
    return tuple((name, tuple(each.shape)) for name, each in module.named_parameters())


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _largest(model: nn.Module) -> str:
    parts = sorted(model.named_children(), key=lambda pair: -_size(pair[1]))
    return ", ".join(f"{name} ({type(part).__name__})" for name, part in parts[:4]) or "none"
