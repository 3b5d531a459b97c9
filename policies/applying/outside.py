"""What a loop does outside its steps: a forward too early, gradients left to be added to."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

from torch import Tensor, nn
from torch._C._autograd import _get_sequence_nr
from torch.autograd.graph import Node

from policies.applying.tracing import graph_of

OUTSIDE = (
    "the model must run inside 'with updater.step() as step', but {name} was used before it began, "
    "when the blocks of this step were not yet frozen or thawed: move the forward in"
)


class Outside:
    """What shows that a loop's steps are not what it says they are.

    Args:
        names: of the parameters, by identity.
        parameters: the same, those first whose gradients are found soonest.
        accumulates: whether the loop said that several steps make one of the optimizer's.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        parameters: Callable[[], Iterable[nn.Parameter]],
        accumulates: bool,
    ) -> None:
        self._names, self._parameters = names, parameters
        self._told = accumulates
        self._stepped: bool | None = None  # an optimizer, in this step; None: in none yet
        self._left: tuple[nn.Parameter, Tensor] | None = None  # a gradient that nobody has taken
        self._looked = False  # whether a loss has shown that its forward ran within its step
        self._began: int | None = None  # operations that autograd had counted as a step began

    def begin(self) -> None:
        """A step begins."""
        self._left = self._not_taken()
        if self._stepped:
            self._stepped = False
        self._began = None if self._looked else _get_sequence_nr()

    def stepped(self) -> None:
        """An optimizer steps."""
        self._stepped = True

    def saw(self, loss: Tensor | float) -> None:
        """A loss was observed.

        Raises:
            RuntimeError: its forward ran before the step began.
        """
        self._refuse_forward_before(loss)
        left, self._left = self._left, None
        if left is not None and left[0].grad is left[1]:  # it was added to, not dropped
            self._tell_of_accumulation()

    def _not_taken(self) -> tuple[nn.Parameter, Tensor] | None:
        """A parameter and its gradient of the last step, along which no optimizer has stepped."""
        if self._stepped is not False or self._told:
            return None
        return next(((p, p.grad) for p in self._parameters() if p.grad is not None), None)

    def _tell_of_accumulation(self) -> None:
        """Warn, once: where a policy counts no steps, nothing else may be wrong with it."""
        self._told = True
        warnings.warn(
            "gradients of the last updater.step() were added to before an optimizer stepped: "
            "where several of them make one optimizer step, say so, BlockUpdater(..., "
            "accumulate=N), or blocks freeze and thaw in between. Steps and total_steps then "
            "count the optimizer's",
            stacklevel=5,
        )

    def _refuse_forward_before(self, loss: Tensor | float) -> None:
        """Raise where the forward ran before the step began.

        It is looked at once: a loop that runs the model too early does so in every step.
        """
        if self._began is None or not (graph := graph_of(loss)):
            return
        if (name := used_before(graph, self._began, self._names)) is not None:
            raise RuntimeError(OUTSIDE.format(name=name))
        self._looked = True


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
