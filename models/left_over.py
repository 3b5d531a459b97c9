"""The memory of runs that are over.

A model and what is done to it hold one another, by hooks, an updater, an optimizer, so that neither
goes before Python looks for garbage. Python looks when there are many new objects, and a run leaves
few, however many bytes they hold: trainings of 22 million parameters left 0.4 GB each, which on a
GPU the next one may not find.
"""

from __future__ import annotations

import gc
import itertools

from torch import nn

ROOM = 256 << 20
"""Bytes that may be left before it is looked for: a look takes some tenths of a second."""
COPIES = 4
"""Of a model's weights in a run: they, their gradients, and two moments."""


class LeftOver:
    """Counts the bytes that models made since the last look may hold by now."""

    def __init__(self) -> None:
        self._bytes = 0

    def let_go(self) -> None:
        """Collect garbage if the models left over may hold much; before a new model, or a new form
        of one.
        """
        if self._bytes > ROOM:
            gc.collect()
            self._bytes = 0

    def made(self, model: nn.Module) -> None:
        """Count one more model, or another form of one, which is left over some day."""
        tensors = itertools.chain(model.parameters(), model.buffers())
        self._bytes += COPIES * sum(each.numel() * each.element_size() for each in tensors)


left_over = LeftOver()
"""Of this process."""
