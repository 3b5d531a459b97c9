"""Which part of a model each of its modules belongs to: stem, block or head. Names in, numbers out.

Parts are numbered in forward order: ``STEM`` (-1), the blocks 0..num_blocks-1, then the head, ``num_blocks``.
Without a list of the stem's modules the order of registration decides: before the first block is stem, after
the last is head, and what stands between two blocks (a transition, a downsampling) goes with the block before
it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

STEM = -1


def module_parts(names: Sequence[str], blocks: Mapping[str, int], stem: Collection[str] | None = None) -> list[int]:
    """The part of each module.

    Args:
        names: dotted names of all modules in order of registration, ``""`` for the model itself.
        blocks: dotted name of each block -> its index; a block known by several names has them all.
        stem: names of the modules the stem consists of, with all they hold; the rest outside the blocks is
            head.

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


def owner(parts: Collection[int], num_blocks: int) -> int | None:
    """The one part that trains a parameter found in ``parts``; None where it cannot belong to one.

    An embedding tied to the output projection is the head's: it is always trained, while the bottom block is
    frozen by the head's gradient alone.

    >>> owner({2}, num_blocks=4), owner({STEM, 4}, num_blocks=4), owner({1, 2}, num_blocks=4)
    (2, 4, None)
    """
    if len(parts) == 1:
        return next(iter(parts))
    return num_blocks if set(parts) <= {STEM, num_blocks} else None
