"""The lever of which blocks are run at all: fewer all the way, growth, layer dropout. Pure.

No torch. Blocks are told apart by their index in the workload's own model, whatever is present:

    blocks:    start   | one stage more, each  | end
    fraction:  0       growth_at · i / steps   growth_at      1

Present blocks are the lowest; new ones come on top, the stack being repeated (``origin``).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import ClassVar, Self

from models.levers.form import GROWTH, Form
from models.levers.lever import Lever
from policies.base import COPY, NEW_BLOCKS
from policies.rules import setting


@dataclass(frozen=True)
class Depth(Lever):
    """Blocks that a step runs, as shares of those that the workload's model has."""

    name: ClassVar[str] = "depth"
    switches: ClassVar[tuple[str, ...]] = ("depth_start", "depth_end", "layer_dropout")
    needs: ClassVar[str] = "blocks that map x to the shape of x"

    depth_start: float = setting(
        1.0, low=0.001, high=1.0, unit="fraction", meaning="share of the blocks run at the start"
    )
    depth_end: float = setting(
        1.0, low=0.001, high=1.0, unit="fraction", meaning="share of the blocks run at the end"
    )
    growth_at: float = setting(
        0.5,
        likely=0.4,
        unsure=0.2,
        low=0.0,
        high=1.0,
        unit="fraction",
        meaning="share of the horizon from which all those of the end are run",
    )
    growth_steps: int = setting(
        1, low=1, high=64, unit="steps", meaning="in how many steps the blocks are added"
    )
    new_blocks: str = setting(
        COPY,
        choices=NEW_BLOCKS,
        meaning="how a block that is added begins: as a copy, or adding nothing where it can",
    )
    layer_dropout: float = setting(
        0.0,
        low=0.0,
        high=0.9,
        unit="fraction",
        meaning="of steps that leave the top block out, at the start; lower ones in proportion",
    )
    layer_dropout_until: float = setting(
        1.0,
        low=0.0,
        high=1.0,
        unit="fraction",
        meaning="share of the horizon by which layer dropout has fallen to zero",
    )

    def faults(self) -> list[str]:
        """The rules of the settings, and that a model does not shrink."""
        found = super().faults()
        if not found and self.depth_start > self.depth_end:
            found.append(
                "depth_start <= depth_end must hold, but got "
                f"(depth_start={self.depth_start:g}, depth_end={self.depth_end:g})"
            )
        return found

    def idle(self) -> frozenset[str]:
        """Where the model does not grow, how it would; without layer dropout, when that ends.

        >>> sorted(Depth(0.5, 0.5).idle())
        ['growth_at', 'growth_steps', 'layer_dropout_until', 'new_blocks']
        """
        growth = {"growth_at", "growth_steps", "new_blocks"}
        found = super().idle() | (growth if self.depth_start == self.depth_end else set())
        return found | (set() if self.layer_dropout else {"layer_dropout_until"})

    def settled(self, num_blocks: int = 0) -> Self:
        """Of a model whose blocks are known, also in as many steps as blocks are added in.

        >>> Depth(0.5, 0.75, growth_steps=3).settled(4) == Depth(0.5, 0.75).settled(4)
        True
        """
        found = super().settled(num_blocks)
        if not (num_blocks and found.on):
            return found
        counts = found.counts(num_blocks)
        fewer = replace(found, growth_steps=max(1, len(counts) - 1))
        return fewer if fewer.counts(num_blocks) == counts else found

    def counts(self, num_blocks: int) -> tuple[int, ...]:
        """How many blocks are present in each stage of a model of ``num_blocks``.

        >>> Depth(0.25, 1.0, growth_steps=3).counts(8), Depth(0.5, 0.5).counts(6)
        ((2, 4, 6, 8), (3,))
        """
        first, last = (max(1, round(s * num_blocks)) for s in (self.depth_start, self.depth_end))
        steps = self.growth_steps
        found = [round(first + (last - first) * i / steps) for i in range(steps + 1)]
        return tuple(dict.fromkeys(found))

    def stage(self, fraction: float, num_blocks: int) -> int:
        """Which of ``counts`` a step that begins at ``fraction`` of the horizon has.

        >>> lever = Depth(0.25, 1.0, growth_at=0.6, growth_steps=2)
        >>> [lever.stage(f, 8) for f in (0.0, 0.29, 0.3, 0.6, 1.0)]
        [0, 0, 1, 2, 2]
        """
        last = len(self.counts(num_blocks)) - 1
        if fraction >= self.growth_at or not last:
            return last
        return int(fraction / self.growth_at * last)

    def present(self, fraction: float, num_blocks: int) -> tuple[int, ...]:
        """The blocks that a model has at ``fraction`` of the horizon, ascending."""
        return tuple(range(self.counts(num_blocks)[self.stage(fraction, num_blocks)]))

    def shapes(self, form: Form, num_blocks: int) -> tuple[Form, ...]:
        """``form`` with every number of blocks that a step may run."""
        counts = set(self.counts(num_blocks))
        if self.layer_dropout:
            counts |= set(range(1, max(counts)))
        return tuple(
            replace(form, present=0 if count == num_blocks else count) for count in sorted(counts)
        )

    def events(self, num_blocks: int) -> tuple[str, ...]:
        """The event of letting a block in, where the number of blocks grows."""
        return (GROWTH,) if len(self.counts(num_blocks)) > 1 else ()

    def stage_of(self, num_blocks: int) -> tuple[int, ...]:
        """The stage in which each block comes in; 0 for one that is there always, or never."""
        counts = self.counts(num_blocks)
        stages = (sum(count <= block for count in counts) for block in range(num_blocks))
        return tuple(stage % len(counts) for stage in stages)

    def dropped(
        self, seed: int, step: int, fraction: float, present: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Those of ``present`` that this step leaves out, drawn from (seed, step) alone.

        The lowest is never left out: nothing else would learn from the model's inputs.
        """
        left = 1 - fraction / self.layer_dropout_until if self.layer_dropout_until else 0.0
        if not self.layer_dropout or left <= 0 or len(present) == 1:
            return ()
        rng = random.Random(f"{seed}, {step}")  # noqa: S311 - which layers rest, not a secret
        top = len(present) - 1
        chances = [self.layer_dropout * left * place / top for place in range(len(present))]
        draws = [rng.random() for _ in present]
        return tuple(
            b for b, draw, chance in zip(present, draws, chances, strict=True) if draw < chance
        )
