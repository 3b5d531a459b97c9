"""One updater at a time: what an earlier one left frozen is not for good.

A run that was broken off, in a notebook say, leaves its blocks as its last step had them. The next
updater of the same blocks would take that for what the user wants.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Iterable, Sequence

from torch import nn

from policies.applying.presence import let_in

TAKEN = (
    "another updater was made for these blocks since, and a model has one at a time: go on with "
    "that one, or make a new one for each part of the training"
)


class Hold:
    """What one updater has done to its blocks, also where it is there no more.

    Attributes:
        still: parameters that it has frozen for now.
        absent: whether it may have left blocks out.
        taken: whether another updater has them by now.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = weakref.WeakMethod(release)
        self.still: Sequence[nn.Parameter] = ()
        self.absent = self.taken = False

    def end(self, blocks: Iterable[nn.Module]) -> None:
        """Give back what is held: another updater takes ``blocks``."""
        self.taken = True
        for parameter in self.still:
            parameter.requires_grad_(True)
        if (release := self._release()) is not None:
            release()
        elif self.absent:
            let_in(blocks)


_HOLDS: weakref.WeakKeyDictionary[nn.Module, Hold] = weakref.WeakKeyDictionary()


def take(blocks: Sequence[nn.Module], release: Callable[[], None]) -> Hold:
    """Take hold of the blocks; whoever had them gives back what it froze, with a warning.

    Args:
        blocks: of one model.
        release: a method by which the updater lets go of them.
    """
    earlier = {id(hold): hold for block in blocks if (hold := _HOLDS.get(block)) is not None}
    for hold in earlier.values():
        if frozen := sum(not parameter.requires_grad for parameter in hold.still):
            warnings.warn(
                f"{frozen} parameters were still frozen by an earlier updater or run of this "
                "model, which was not over: they are trained again. What is to stay frozen is to "
                "be frozen after updater.close() and before the next one is made",
                stacklevel=4,
            )
        hold.end(blocks)
    mine = Hold(release)
    for block in blocks:
        _HOLDS[block] = mine
    return mine
