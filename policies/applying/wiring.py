"""Finds what a policy freezes in a model: the parameters and modules of its stem, blocks and head.

Of PyTorch it needs nothing but the objects it is handed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.applying.parts import STEM, Places, is_within, module_parts, outer_names, owner

Module = Any
"""A ``torch.nn.Module``."""

Stem = Iterable[Any] | Places | None
"""How a stem is told: its modules and parameters, the places of a traced forward, or not at all."""


@dataclass(frozen=True)
class Part:
    """The stem, a block or the head.

    Attributes:
        parameters: those that train when the part does.
        modules: those whose evaluation mode touches no other part.
    """

    parameters: list[Any] = field(default_factory=list)
    modules: list[Module] = field(default_factory=list)


class Wiring:
    """A model and its blocks: the names of everything, and what stands outside the blocks.

    Args:
        model: any module.
        blocks: its blocks.

    Attributes:
        blocks: by dotted name, the index of each block.
        outside: modules by name that neither are in a block nor hold one.
        outside_parameters: parameters by name that are in no block.
        names: of every parameter and buffer, by identity.
    """

    def __init__(self, model: Module, blocks: Sequence[Module]) -> None:
        self.model = model
        self.num_blocks = len(blocks)
        self.named = list(model.named_modules(remove_duplicate=False))
        index_of = {id(block): index for index, block in enumerate(blocks)}
        self.blocks = {name: index_of[id(m)] for name, m in self.named if id(m) in index_of}
        self.outside = {
            name: module
            for name, module in self.named
            if self.block_of(name) is None and not any(is_within(b, name) for b in self.blocks)
        }
        self.outside_parameters = {
            name: parameter
            for name, parameter in model.named_parameters(remove_duplicate=False)
            if self.block_of(name) is None
        }
        self.names = {id(p): name for name, p in model.named_parameters()}
        self._trainable = {id(p) for p in model.parameters() if p.requires_grad}

    def untrained(self) -> Iterator[Any]:
        """The parameters that required no gradient at first, those that are there still."""
        for parameter in self.model.parameters():
            if id(parameter) in self.names and id(parameter) not in self._trainable:
                yield parameter

    def untrained_modules(self) -> set[int]:
        """Identities of modules outside the blocks that hold parameters, none of them trained, and
        of all that they hold.
        """
        found: set[int] = set()
        for module in self.outside.values():
            held = {id(parameter) for parameter in module.parameters()}
            if held and not held & self._trainable:
                found.update(id(inner) for inner in module.modules())
        return found

    def block_of(self, name: str) -> int | None:
        """The block that holds the module or parameter ``name``, if any does."""
        return next((i for prefix, i in self.blocks.items() if is_within(name, prefix)), None)

    def divide(self, stem: Stem) -> dict[int, Part]:
        """The parts by number; what required no gradient at first is in none.

        Raises:
            ValueError: a parameter is shared between blocks.
        """
        places = stem if isinstance(stem, Places) else None
        named = None if stem is None or places else tuple(stem)  # type: ignore[arg-type]
        numbers = self._numbers(named, places)
        parts: dict[int, Part] = {index: Part() for index in range(STEM, self.num_blocks + 1)}
        for module, part in self._modules(numbers):
            parts[part].modules.append(module)
        for parameter, part in self._parameters(numbers, named, places):
            parts[part].parameters.append(parameter)
        return parts

    def _numbers(self, stem: Sequence[Any] | None, places: Places | None) -> list[int]:
        wanted = {id(part) for part in stem or ()}
        stems = None if stem is None else [name for name, m in self.named if id(m) in wanted]
        numbers = module_parts([name for name, _ in self.named], self.blocks, stems)
        ran = {} if places is None else places.modules
        return [
            ran.get(name, number) if name in self.outside else number
            for (name, _), number in zip(self.named, numbers, strict=True)
        ]

    def _modules(self, numbers: Sequence[int]) -> list[tuple[Module, int]]:
        """The modules that belong to one part with all they contain, once each."""
        parts_within: dict[str, set[int]] = defaultdict(set)
        for (name, _), part in zip(self.named, numbers, strict=True):
            for outer in outer_names(name):
                parts_within[outer].add(part)
        parts_of: dict[int, set[int]] = defaultdict(set)
        for name, module in self.named:
            parts_of[id(module)] |= parts_within[name]
        once = {id(module): module for _, module in self.named}
        return [(m, min(parts_of[key])) for key, m in once.items() if len(parts_of[key]) == 1]

    def _placed(self, places: Places | None) -> dict[int, set[int]]:
        """The parts in which each parameter outside the blocks ran, under any of its names."""
        ran = {} if places is None else places.parameters
        placed: defaultdict[int, set[int]] = defaultdict(set)
        for name, parameter in self.outside_parameters.items():
            if name in ran:
                placed[id(parameter)].add(ran[name])
        return placed

    def _parameters(
        self, numbers: Sequence[int], stem: Sequence[Any] | None, places: Places | None
    ) -> list[tuple[Any, int]]:
        """The part that trains each parameter, once each."""
        found: dict[int, Any] = {}
        inside: defaultdict[int, set[int]] = defaultdict(set)
        outside: defaultdict[int, set[int]] = defaultdict(set)
        names_of: defaultdict[int, set[str]] = defaultdict(set)
        for (prefix, module), part in zip(self.named, numbers, strict=True):
            held = outside if self.block_of(prefix) is None else inside
            for name, parameter in module.named_parameters(recurse=False):
                found[id(parameter)] = parameter
                held[id(parameter)].add(part)
                names_of[id(parameter)].add(f"{prefix}.{name}" if prefix else name)
        outside.update(self._placed(places))
        for part in stem or ():
            if id(part) in outside:  # named as a parameter: the stem's, wherever else it is used
                outside[id(part)] = {STEM}
        owners = {key: owner(inside[key], outside[key]) for key in found}
        refuse(_shared(sorted(names_of[key])) for key, part in owners.items() if part is None)
        return [(p, owners[key]) for key, p in found.items() if key in self._trainable]  # type: ignore[misc]


def _shared(names: Sequence[str]) -> str:
    return (
        f"a parameter must belong to one block, but {' and '.join(names)} are one; "
        "untie them, or make one block of all that share it"
    )


def refuse(faults: Iterable[str]) -> None:
    """Raise one ``ValueError`` that names all ``faults``, if there are any."""
    if found := list(faults):
        raise ValueError("; ".join(found))
