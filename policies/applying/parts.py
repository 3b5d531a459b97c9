"""Which part of a model each of its modules belongs to: stem, block or head. Names in, numbers out.

Parts are numbered in forward order: ``STEM`` (-1), the blocks 0..num_blocks-1, then the head,
``num_blocks``. What runs before the first block is stem, what runs after the last is head, and what
runs between two blocks (a transition, a downsampling) goes with the block before it. ``Places``
says it, as one traced forward showed. Where nothing was traced the order of registration stands for
the order of running.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

STEM = -1


@dataclass(frozen=True)
class Places:
    """What runs where outside the blocks of a model, by dotted name; JSON values only.

    What runs in several places has the highest, as it has to be trained wherever one of them is.

    Attributes:
        num_blocks: blocks of the model, and the number of its head.
        modules: part of each module outside the blocks that was called.
        parameters: part of each parameter outside the blocks that the loss depends on.
        unreached: parameters that require a gradient, in or outside blocks, and that the loss does
            not depend on.
        order: the blocks in the order in which they first ran; one that did not run is not in it.
    """

    num_blocks: int
    modules: Mapping[str, int]
    parameters: Mapping[str, int]
    unreached: tuple[str, ...] = ()
    order: tuple[int, ...] = ()

    @property
    def stem(self) -> tuple[str, ...]:
        """Parameters that are trained with block 0."""
        return self._named(STEM)

    @property
    def head(self) -> tuple[str, ...]:
        """Parameters outside the blocks that are always trained."""
        return self._named(self.num_blocks)

    def remarks(self) -> list[str]:
        """What a user should know: blocks that did not run or ran in another order, idle
        parameters.
        """
        idle = [index for index in range(self.num_blocks) if index not in self.order]
        found = (
            [f"blocks {idle} were not run by the forward; call them, not their forward"]
            if idle
            else []
        )
        if list(self.order) != sorted(self.order):
            found.append(
                f"blocks must be given in forward order, but they first ran as {list(self.order)}"
            )
        if self.unreached:
            found.append(
                f"the loss does not depend on {', '.join(self.unreached)}: no step trains them"
            )
        return found

    def _named(self, part: int) -> tuple[str, ...]:
        return tuple(name for name, place in self.parameters.items() if place == part)


def places_to_json(places: Places) -> dict[str, Any]:
    """``places`` as JSON values."""
    return asdict(places)


def places_from_json(data: Mapping[str, Any]) -> Places:
    """What ``places_to_json`` wrote: the inverse."""
    lists = {key: tuple(data[key]) for key in ("unreached", "order")}
    return Places(**{**data, **lists})


def module_parts(
    names: Sequence[str], blocks: Mapping[str, int], stem: Collection[str] | None = None
) -> list[int]:
    """The part of each module, by the order of registration.

    Args:
        names: dotted names of all modules in order of registration, ``""`` for the model itself.
        blocks: dotted name of each block -> its index; a block known by several names has them all.
        stem: names of the modules the stem consists of, with all they hold; the rest outside the
            blocks is head.

    >>> module_parts(["", "embed", "layers", "layers.0", "layers.0.fc", "layers.1", "norm"],
    ...              {"layers.0": 0, "layers.1": 1})
    [-1, -1, -1, 0, 0, 1, 2]
    >>> module_parts(["", "norm", "layers.0", "embed"], {"layers.0": 0}, stem=["embed"])
    [1, 1, 0, -1]
    """
    num_blocks = 1 + max(blocks.values())
    seen: set[int] = set()
    parts, between = [], STEM
    for name in names:
        block = next((index for prefix, index in blocks.items() if is_within(name, prefix)), None)
        if block is not None:
            seen.add(block)
            between = num_blocks if len(seen) == num_blocks else block
            parts.append(block)
        elif stem is None:
            parts.append(between)
        else:
            named = any(is_within(name, prefix) for prefix in stem)
            parts.append(STEM if named else num_blocks if between == STEM else between)
    return parts


def is_within(name: str, prefix: str) -> bool:
    """Whether the module ``name`` is the module ``prefix`` or inside it.

    >>> is_within("layers.1.fc", "layers.1"), is_within("layers.10", "layers.1"), is_within("x", "")
    (True, False, True)
    """
    return name == prefix or not prefix or name.startswith(prefix + ".")


def outer_names(name: str) -> list[str]:
    """The module ``name`` and all that it is inside of, the model itself (``""``) last.

    >>> outer_names("layers.1.fc"), outer_names("")
    (['layers.1.fc', 'layers.1', 'layers', ''], [''])
    """
    words = name.split(".") if name else []
    return [".".join(words[:end]) for end in range(len(words), -1, -1)]


def owner(inside: Collection[int], outside: Collection[int]) -> int | None:
    """The one part that trains a parameter; None where it cannot belong to one.

    A parameter used in several places outside the blocks is trained where any of them is, so it
    belongs to the highest. An embedding tied to the output projection is the head's: always
    trained.

    Args:
        inside: blocks that hold it.
        outside: parts of the modules outside the blocks that hold it.

    >>> owner({2}, ()), owner((), {STEM, 4}), owner({1, 2}, ()), owner({2}, {4})
    (2, 4, None, None)
    """
    if inside:
        return next(iter(inside)) if len(inside) == 1 and not outside else None
    return max(outside)
