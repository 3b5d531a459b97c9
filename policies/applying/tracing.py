"""What of a model runs when: one traced forward instead of the order of registration.

Modules are seen by hooks. Parameters may be used without a call (a position table of the model
itself, the weight of an embedding of queries), so those are found in the graph of the loss: every
node has a number that grows as the forward goes on, and blocks note the number at which they begin
and end.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._C._autograd import _get_sequence_nr
from torch.autograd.graph import Node

from policies.applying.faults import checked_blocks
from policies.applying.parts import STEM, Places
from policies.applying.resting import Passing, in_reentrant_checkpoint, passing
from policies.applying.undoing import undone
from policies.applying.wiring import Wiring


def trace_parts(
    model: nn.Module, blocks: Sequence[nn.Module], forward: Callable[[], Any]
) -> Places:
    """What runs where in ``model``, for ``BlockUpdater(stem=...)``.

    The model and the generators of random numbers stay as they are. Where no block was seen to run
    (its ``forward`` is called instead of the block, the model is compiled whole) the order of
    registration stands; ``Places.remarks`` tells.

    Args:
        model: any module.
        blocks: its blocks in forward order.
        forward: runs one training forward and returns the loss, or what the loss is made of.

    Raises:
        ValueError: blocks that are none; see ``BlockUpdater``.
    """
    found = checked_blocks(model, blocks, None)
    trace = Trace(Wiring(model, found), found)
    with undone(model), torch.enable_grad(), trace.watching():
        places = trace.places(graph_of(forward()))
    return places or Places(len(found), {}, {})


def graph_of(value: Any) -> list[Node]:
    """The graph nodes that made the tensors in ``value``, within tuples, mappings and dataclasses
    too.
    """
    if isinstance(value, Tensor):
        return [] if value.grad_fn is None else [value.grad_fn]
    if isinstance(value, Mapping):
        return graph_of(tuple(value.values()))
    if isinstance(value, (tuple, list)):
        return [node for item in value for node in graph_of(item)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return graph_of(tuple(vars(value).values()))
    return []


@dataclass
class _Run:
    """One call of the model: how often blocks have been entered in it."""

    entries: int = 0
    highest: int = STEM


@dataclass(frozen=True)
class _Moment:
    """A place in a run: after so many entries, inside a block or not."""

    run: _Run
    entries: int
    highest: int
    inside: int | None

    def part(self, head: int) -> int:
        if self.inside is not None:
            return self.inside
        if self.entries in (0, self.run.entries):
            return head if self.entries else STEM
        return self.highest

    def part_so_far(self, head: int) -> int:
        """The part that runs at this moment, as well as it can be known while the run goes on."""
        if self.inside is not None:
            return self.inside
        return head if self.highest == head - 1 else self.highest


_Hook = tuple[nn.Module, Callable[..., None]]


def _in_forward(
    hooks: Iterable[_Hook], beside: Callable[..., None] | None = None
) -> list[tuple[nn.Module, Passing]]:
    """Hooks that see what the loss is made of.

    They do not see what a checkpoint or a reversible block runs again in the backward, nor what
    runs without gradients, to condition on or to learn from: of that ``beside`` is told.
    """

    def seen(hook: Callable[..., None], *given: Any) -> None:
        if torch._C._current_graph_task_id() != -1:
            return
        if torch.is_grad_enabled() or in_reentrant_checkpoint():
            hook(*given)
        elif beside is not None:
            beside(*given)

    return [(module, Passing(partial(seen, hook))) for module, hook in hooks]


class Trace:
    """Watches forwards and tells where everything outside the blocks ran.

    Args:
        wiring: the model's.
        blocks: its blocks.
        ran: told of every module outside the blocks that is about to run, and in which part, as far
            as can be known then.
    """

    def __init__(
        self,
        wiring: Wiring,
        blocks: Sequence[nn.Module],
        ran: Callable[[nn.Module, int], None] | None = None,
    ) -> None:
        self._wiring, self._blocks, self._ran = wiring, blocks, ran
        self._untrained = wiring.untrained_modules()
        self._begin()

    def _begin(self) -> None:
        self._calls: defaultdict[int, list[_Moment]] = defaultdict(list)  # of modules, by identity
        self._beside: set[int] = set()  # modules of a teacher, called without gradients
        self._order: dict[int, None] = {}
        self._inside: list[int] = []
        self._depth = 0
        self._run = _Run()
        self._numbers = [0]  # of graph nodes at which the moments beside them began
        self._moments = [self._now()]

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the context lasts; what an earlier one saw is forgotten."""
        self._begin()
        root = self._wiring.model
        outside = {id(module): module for module in self._wiring.outside.values()}.values()
        calls = _in_forward([(module, self._call) for module in outside], self._call_beside)
        before: list[_Hook] = [(b, partial(self._enter, i)) for i, b in enumerate(self._blocks)]
        after: list[_Hook] = [(b, partial(self._leave, i)) for i, b in enumerate(self._blocks)]
        if root not in self._blocks:
            before.insert(0, (root, self._enter_model))
            after.append((root, self._leave_model))
        with passing(calls + _in_forward(before), _in_forward(after)):
            yield

    def _now(self) -> _Moment:
        inside = self._inside[-1] if self._inside else None
        return _Moment(self._run, self._run.entries, self._run.highest, inside)

    def _mark(self) -> None:
        self._numbers.append(_get_sequence_nr())
        self._moments.append(self._now())

    def _enter_model(self, module: nn.Module, args: Any) -> None:
        self._depth += 1
        if self._depth == 1:  # the model's own calls of itself are one forward
            self._run = _Run()
            self._mark()

    def _leave_model(self, module: nn.Module, args: Any, output: Any) -> None:
        self._depth = max(0, self._depth - 1)

    def _enter(self, index: int, block: nn.Module, args: Any) -> None:
        self._order.setdefault(index)
        self._inside.append(index)
        self._run.entries += 1
        self._run.highest = max(self._run.highest, index)
        self._mark()

    def _leave(self, index: int, block: nn.Module, args: Any, output: Any) -> None:
        if index not in self._inside[-1:]:
            return  # a block that another hook did not let in leaves all the same
        self._inside.pop()
        self._mark()

    def _call(self, module: nn.Module, args: Any) -> None:
        now = self._now()
        self._calls[id(module)].append(now)
        if self._ran is not None:
            self._ran(module, now.part_so_far(self._wiring.num_blocks))

    def _call_beside(self, module: nn.Module, args: Any) -> None:
        if id(module) in self._untrained:
            self._beside.add(id(module))
            if self._ran is not None:
                self._ran(module, self._wiring.num_blocks)

    def places(self, graph: Iterable[Node]) -> Places | None:
        """Where everything ran, the loss having ``graph``; None where no block was seen to run."""
        if not self._order:
            return None
        used = self._uses(graph)
        return Places(
            self._wiring.num_blocks,
            modules=self._teachers()
            | self._highest({n: self._calls[id(m)] for n, m in self._wiring.outside.items()}),
            parameters=self._highest(
                {  # a weight that was made ready early is used where its module runs
                    name: (*used.get(id(parameter), ()), *self._calls_of_owner(name))
                    for name, parameter in self._wiring.outside_parameters.items()
                }
            ),
            unreached=self._unreached(used),
            order=tuple(self._order),
        )

    def _teachers(self) -> dict[str, int]:
        """What is never trained and ran only without gradients: it is no stem, and never rests."""
        outside = self._wiring.outside.items()
        return {name: self._wiring.num_blocks for name, m in outside if id(m) in self._beside}

    def _highest(self, moments: Mapping[str, Sequence[_Moment]]) -> dict[str, int]:
        head = self._wiring.num_blocks
        return {
            name: max(moment.part(head) for moment in seen)
            for name, seen in moments.items()
            if seen
        }

    def _calls_of_owner(self, parameter: str) -> Sequence[_Moment]:
        owner = self._wiring.outside.get(parameter.rpartition(".")[0])
        return () if owner is None else self._calls[id(owner)]

    def _unreached(self, used: Mapping[int, object]) -> tuple[str, ...]:
        if not used:
            return ()
        named = self._wiring.model.named_parameters()
        return tuple(name for name, p in named if p.requires_grad and id(p) not in used)

    def _uses(self, graph: Iterable[Node]) -> dict[int, list[_Moment]]:
        """The moments at which each parameter was used, by identity."""
        uses: defaultdict[int, list[_Moment]] = defaultdict(list)
        unseen, seen = list(graph), set[Node]()
        while unseen:
            node = unseen.pop()
            if node in seen:
                continue
            seen.add(node)
            for below, _ in node.next_functions:
                if below is not None and hasattr(below, "variable"):
                    uses[id(below.variable)].append(self._moment_of(node))
                elif below is not None:
                    unseen.append(below)
        return uses

    def _moment_of(self, node: Any) -> _Moment:
        return self._moments[bisect.bisect_right(self._numbers, node._sequence_nr()) - 1]
