"""The lever of a frozen prefix whose activations are kept, example by example. Pure; no torch.

While the bottom blocks are frozen, what they make of an example is always the same; where examples
come again it is made once, and later steps begin above the prefix:

    bottom blocks: frozen, their activations kept | trained like all others
    fraction:      0                                prefix_until          1
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from models.levers.form import Form, filling
from models.levers.lever import Lever
from policies.rules import setting


@dataclass(frozen=True)
class CachedPrefix(Lever):
    """Which blocks are frozen and kept, and until when."""

    name: ClassVar[str] = "cached_prefix"
    switches: ClassVar[tuple[str, ...]] = ("prefix",)
    needs: ClassVar[str] = "examples_at, and blocks that make the same of an example every time"

    prefix: float = setting(
        0.0,
        low=0.0,
        high=1.0,
        unit="fraction",
        meaning="share of the blocks, from the bottom, that are frozen and not run again",
    )
    prefix_until: float = setting(
        0.7,
        likely=0.9,
        unsure=0.2,
        low=0.0,
        high=1.0,
        unit="fraction",
        meaning="share of the horizon after which the prefix is trained like all other blocks",
    )
    prefix_rate: float = setting(
        1.0,
        likely=1.3,
        low=1e-4,
        high=1e4,
        unit="× the rate",
        meaning="learning rate while the prefix is frozen",
    )
    prefix_dtype: str = setting(
        "float32",
        choices=("float32", "bfloat16", "float16"),
        meaning="what activations of floats are kept in",
    )
    prefix_memory: float = setting(
        1.0,
        low=0.0,
        high=1e6,
        unit="GiB",
        meaning="of main memory for activations; examples beyond it run through the prefix again",
    )

    def blocks(self, num_blocks: int) -> int:
        """Blocks of the prefix; at least one above it is always trained.

        >>> CachedPrefix(0.5).blocks(8), CachedPrefix(1.0).blocks(8), CachedPrefix().blocks(8)
        (4, 7, 0)
        """
        if not self.on:
            return 0
        return min(max(1, round(self.prefix * num_blocks)), num_blocks - 1)

    def blocks_at(self, fraction: float, num_blocks: int) -> int:
        """Blocks that a step which begins at ``fraction`` of the horizon does not train."""
        return self.blocks(num_blocks) if fraction < self.prefix_until else 0

    def shapes(self, form: Form, num_blocks: int) -> tuple[Form, ...]:
        """``form`` with the prefix run, and with its activations kept."""
        return tuple(replace(form, cached=count) for count in {0, self.blocks(num_blocks)})

    def events(self, num_blocks: int) -> tuple[str, ...]:
        """The event of keeping a batch's activations, where the lever is on."""
        return (filling(self.blocks(num_blocks)),) if self.on else ()

    def rate_factor(self, fraction: float) -> float:
        """The factor on the learning rate at ``fraction`` of the horizon."""
        return self.prefix_rate if self.on and fraction < self.prefix_until else 1.0
