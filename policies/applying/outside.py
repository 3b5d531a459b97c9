"""Whether a forward ran before its step began, when the step's plan could not hold for it yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch.autograd.graph import Node

OUTSIDE = (
    "the model must run inside 'with updater.step() as step', but {name} was used before it began, "
    "when the blocks of this step were not yet frozen or thawed: move the forward in"
)


def used_before(graph: Sequence[Node], number: int, names: Mapping[int, str]) -> str | None:
    """A parameter that was used before the operation with ``number``; None where none was.

    Args:
        graph: the nodes that the loss is made by, of this thread.
        number: as autograd counts operations in this thread.
        names: of parameters, by identity.
    """
    waiting, seen = list(graph), set(graph)
    while waiting:
        node = waiting.pop()
        early = node._sequence_nr() < number
        for following, _ in node.next_functions:
            taken = getattr(following, "variable", None)  # where the graph ends
            if early and id(taken) in names:
                return names[id(taken)]
            if following is not None and following not in seen:
                seen.add(following)
                waiting.append(following)
    return None
