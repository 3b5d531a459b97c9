"""Brings a model in line with a plan, for one step at a time; all that touches ``requires_grad``.

While a part is frozen its parameters have ``requires_grad=False`` and ``grad=None``, its modules
are in evaluation mode, and what moves its weights, buffers or moments all the same is undone or
refused. The graph is never cut by hand: where nothing below the lowest active block is trained, no
tensor there requires a gradient and autograd stops of itself; where something is, its gradient is
the whole one.
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from policies.applying.causes import (
    BETWEEN,
    BUFFER,
    BY_FORWARD,
    BY_MEMORY,
    EARLY,
    SHARED,
    STRANGER,
    SWITCHED,
    MovedError,
)
from policies.applying.early import Early
from policies.applying.faults import refuse_idle_top
from policies.applying.guard import Guard, overlap
from policies.applying.moments import (
    forget,
    is_torchs_own,
    optimizers_in,
    refuse_moments_elsewhere,
    remembers,
)
from policies.applying.parts import STEM, Places
from policies.applying.reading import has_taken_gradients
from policies.applying.resting import (
    Passing,
    Sleep,
    drop_gradients,
    in_reentrant_checkpoint,
    passing,
)
from policies.applying.strangers import Strangers
from policies.applying.tracing import Trace, graph_of, trace_parts
from policies.applying.wiring import Part, Stem, Wiring

_OUTSIDE = -2
"""Number under which everything outside the blocks is watched until its parts are known."""


class Freezer:
    """Freezes and thaws the parts of a model.

    Args:
        model: any module.
        blocks: its blocks, checked.
        stem: see ``BlockUpdater``.
        optimizer: one, or what holds several.
        stepping: called before one of them steps.

    Attributes:
        parts: stem, blocks and head by number; see ``policies.applying.parts``.
        places: what a traced forward showed; None where the stem was given or nothing was traced
            yet.
        active: blocks that ``requires_grad`` stands for now.
        names: of the blocks, by number.
        parameters: names of the model's parameters, by identity.
    """

    def __init__(
        self,
        model: nn.Module,
        blocks: Sequence[nn.Module],
        stem: Stem,
        optimizer: Any,
        stepping: Callable[[], None],
    ) -> None:
        self._stepping = weakref.WeakMethod(stepping)  # an optimizer keeps no updater alive
        self._wiring, self._blocks = Wiring(model, blocks), blocks
        self.parts: dict[int, Part] = self._wiring.divide(stem)
        self.names = {index: name for name, index in self._wiring.blocks.items()}
        self.parameters = self._wiring.names
        refuse_idle_top(self.parts, blocks)
        self.places = stem if isinstance(stem, Places) else None
        self.active: tuple[int, ...] | None = None
        self._optimizers = optimizers_in(optimizer)
        self._foreign = [each for each in self._optimizers if not is_torchs_own(each)]
        self._sleep, self._strangers = Sleep(), Strangers(self._optimizers)
        self._guard = Guard(
            self._wiring.names,
            {id(module): name for name, module in reversed(self._wiring.named)},
            doubtful=bool(self._foreign),
        )
        outside = self._wiring.outside or self._wiring.outside_parameters
        self._trace = Trace(self._wiring, blocks, self._ran) if stem is None and outside else None
        self._early: Early | None = None
        self._told = False  # whether the loop was told that its own freezing is undone
        self._graph: list[Any] = []
        self._frozen: dict[int, Part] = {}
        self._still: list[nn.Parameter] = []  # what is in the frozen parts
        self._resters: list[nn.Module] = []
        self._gates: list[tuple[nn.Module, Passing]] = []
        self._tops = self._find_tops()
        self._hooks = [hook for each in self._optimizers for hook in self._watch(each)]

    @contextlib.contextmanager
    def step(self, active: tuple[int, ...]) -> Iterator[None]:
        """One step in which the blocks ``active`` are trained, and the head.

        Raises:
            RuntimeError: something frozen was moved since the last step began.
        """
        self._refuse_moved_between()
        self._bring(active)
        if not self._frozen and self._trace is None:  # nothing rests: there is nothing to undo
            with passing(self._gates):
                yield
            return
        self._sleep.lay(self._resters)
        tracing = self._tracing(active)
        try:
            with self._sleep.step(fused=not self._frozen), passing(self._gates), tracing:
                yield
                self._take_trace()
        finally:
            self._graph = []
            self._rest()

    def saw(self, loss: Tensor | float) -> None:
        """Let the graph of the loss show where parameters are used, in a step that is traced.

        What turns out to be frozen loses its gradients at once: the rest of the step may clip by
        the norm of all that there are, or climb along them.
        """
        if self._trace is not None:
            self._graph.extend(graph_of(loss))
            self._take_trace()

    def settle(self, places: Places | None) -> None:
        """Take the parts from ``places``; None leaves them to the order of registration, for good.

        Nothing changes where the stem was given to the constructor.
        """
        if self._trace is None:
            return
        self._trace, self.places = None, places
        if places is not None:
            self.parts = self._wiring.divide(places)
            self._tops = self._find_tops()
        self.active = None
        frozen = [self.parts[index] for index in self._frozen]
        # What was taken for frozen so far may be trained from now on, and begins as it was found.
        self._guard.put_buffers_back([module for part in frozen for module in part.modules])
        self._guard.clear()

    def forget(self) -> None:
        """Take the model as it is now, loaded from a checkpoint say, for what must not move."""
        self.active = None
        self._guard.clear()

    def expect_change(self) -> None:
        """Blocks are about to be given other weights, which are to be taken for right.

        Raises:
            RuntimeError: something frozen was moved before.
        """
        self._refuse_moved_between()
        self.forget()

    def forget_moments(self, before: tuple[int, ...], now: tuple[int, ...]) -> None:
        """Let what thaws between two sets of active blocks go on as if never stepped.

        Raises:
            RuntimeError: an optimizer keeps moments where those of a block cannot be told, or
                something frozen was moved since the last step began.
        """
        refuse_moments_elsewhere(self._foreign)
        # Only what thaws: a block that stays active keeps its moments from step to step.
        thawing = set(self._resting(before)).difference(self._resting(now))
        if thawing:  # what is given other moments is watched no more
            self._refuse_moved_between()
            self._guard.release(thawing)
        for index in thawing:
            forget(self._optimizers, self.parts[index].parameters)

    def switched_elsewhere(self) -> list[str]:
        """Names of parameters that somebody else froze or thawed: trained by the last plan, or
        frozen from the start, and no more.
        """
        if self.active is None:
            return []
        thawed = (p for p in self._wiring.untrained() if p.requires_grad)
        return [self._wiring.names[id(p)] for p in (*self._frozen_elsewhere(self.active), *thawed)]

    @property
    def still(self) -> Sequence[nn.Parameter]:
        """What is frozen for now."""
        return self._still

    def thaw(self) -> None:
        """Thaw everything, until the next step."""
        self._guard.clear()
        self._frozen, self._still, self._resters = {}, [], []
        self._require_grad(tuple(range(len(self._blocks))))
        self.active = None

    def let_go(self) -> None:
        """Watch nothing any more; what is frozen is somebody else's."""
        for hook in self._hooks:
            hook.remove()
        self._guard.clear()
        self._frozen, self._still, self._trace = {}, [], None

    def close(self) -> None:
        """Thaw everything and watch nothing any more."""
        self.let_go()
        self._require_grad(tuple(range(len(self._blocks))))

    def _take_trace(self) -> None:
        """Let what a traced step has shown hold from now on.

        Raises:
            RuntimeError: the loop has done too early what depends on it.
        """
        if self._trace is not None and self.active is not None:
            early, self._early = self._early, None
            changed = set() if early is None else early.changed()
            self._take(self._trace.places(self._graph), self.active)
            if early is not None:
                early.refuse(self._still, changed)

    def _take(self, places: Places | None, active: tuple[int, ...]) -> None:
        self.settle(places)
        self._bring(active)
        self._sleep.lay(self._resters)
        resting = {id(module) for module in self._resters}
        for module in self._wiring.outside.values():
            if id(module) not in resting:
                self._sleep.wake(module)

    def _resting(self, active: tuple[int, ...]) -> list[int]:
        """The parts that are not trained while ``active`` blocks are; the head always is."""
        blocks = set(range(len(self._blocks))).difference(active)
        return sorted(blocks | {STEM} if 0 in blocks else blocks)

    def _bring(self, active: tuple[int, ...]) -> None:
        """``requires_grad``, gradients and what is watched, as ``active`` says."""
        if active != self.active or self._strangers.other_modules():
            self._tell_of_switched()
            self._take_in_late()
            self._frozen = {index: self.parts[index] for index in self._resting(active)}
            self._still = [p for part in self._frozen.values() for p in part.parameters]
            self._resters = [m for part in self._frozen.values() for m in part.modules]
            self._require_grad(active)
            self._gates = self._make_gates()
            self._watch_strangers()
            self._guard.hold({**self._frozen, **self._unknown()}, self._foreign)
        # Nothing changed since the last step, which most steps can tell without touching a
        # parameter.
        elif any(parameter.requires_grad for parameter in self._still):  # the loop has thawed it
            self._require_grad(active)
        if (name := self._strangers.found()) is not None:
            raise RuntimeError(f"{name} {STRANGER}")
        drop_gradients(self._still)

    def _take_in_late(self) -> None:
        """Modules that blocks were given since, by a first forward say, rest with their block; one
        that several of them hold rests with none.
        """
        holders = Counter(id(m) for block in self._blocks for m in block.modules())
        known = {id(module) for _, module in self._wiring.named}
        known.update(id(m) for part in self.parts.values() for m in part.modules)
        for index, block in enumerate(self._blocks):
            # ``named`` was made when the updater was, before the first forward could add any.
            late = (m for m in block.modules() if id(m) not in known and holders[id(m)] == 1)
            self.parts[index].modules.extend(late)

    def _frozen_elsewhere(self, active: tuple[int, ...]) -> list[nn.Parameter]:
        resting = set(self._resting(active))
        trained = (part for index, part in self.parts.items() if index not in resting)
        return [p for part in trained for p in part.parameters if not p.requires_grad]

    def _tell_of_switched(self) -> None:
        """Warn, once, of parameters that were frozen elsewhere.

        A model that freezes a parameter in each forward does so after this.
        """
        if self.active is None or self._told:
            return
        if frozen := self._frozen_elsewhere(self.active):
            self._told = True
            name = self._wiring.names[id(frozen[0])]
            more = f" and {len(frozen) - 1} more" if len(frozen) > 1 else ""
            warnings.warn(f"{name}{more} {SWITCHED}", stacklevel=7)

    def _watch_strangers(self) -> None:
        blocks = [(self.names[i], self._blocks[i]) for i in self._frozen if i != STEM]
        known = {id(p) for part in self.parts.values() for p in part.parameters}
        self._strangers.watch(blocks, known)

    def _unknown(self) -> dict[int, Part]:
        """What is watched while its part is not yet known."""
        modules = [] if self._trace is None else list(self._wiring.outside.values())
        return {_OUTSIDE: Part(modules=modules)}

    def _require_grad(self, active: tuple[int, ...]) -> None:
        resting, unsure = set(self._resting(active)), self._unsure()
        for index, part in self.parts.items():
            for parameter in part.parameters:
                parameter.requires_grad_(index not in resting or id(parameter) in unsure)
        self.active = active

    def _unsure(self) -> set[int]:
        """Parameters whose part a traced step is still to show: its graph has to reach them."""
        if self._trace is None:
            return set()
        return {id(parameter) for parameter in self._wiring.outside_parameters.values()}

    def _rest(self) -> None:
        drop_gradients(self._still)
        self._guard.put_buffers_back(self._resters)

    @contextlib.contextmanager
    def _tracing(self, active: tuple[int, ...]) -> Iterator[None]:
        """The first step shows what runs when, unless it is known."""
        if self._trace is None:
            yield
            return
        outside = self._wiring.outside_parameters.values()
        with contextlib.ExitStack() as stack:
            if self._frozen:
                if has_taken_gradients(outside):
                    stack.enter_context(self._looking_ahead(active))
                self._early = stack.enter_context(Early(self._wiring.names, outside))
            stack.enter_context(self._trace.watching())
            yield

    @contextlib.contextmanager
    def _looking_ahead(self, active: tuple[int, ...]) -> Iterator[None]:
        """Find the parts before the first forward: within its backward hooks move what it reaches,
        before a loss could show what is frozen.
        """

        def look(model: nn.Module, args: Any, kwargs: Any) -> None:
            handle.remove()
            places = trace_parts(model, self._blocks, lambda: model(*args, **kwargs))
            self._take(places, active)

        hook = Passing(look)
        handle = self._wiring.model.register_forward_pre_hook(hook, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def _ran(self, module: nn.Module, part: int) -> None:
        """A module outside the blocks is about to run in a traced step, and shows its part."""
        if self._trace is None:  # known by now
            return
        if part in self._frozen:
            self._sleep.lay([module])
        else:
            self._sleep.wake(module)

    def _make_gates(self) -> list[tuple[nn.Module, Passing]]:
        """What is called before which module runs, in steps like this one."""
        # The lowest active block is the one that a reentrant checkpoint leaves without a gradient.
        lowest = min(set(range(len(self._blocks))).difference(self._frozen))
        watched = sorted({*self._frozen, lowest} - {STEM})
        gates = [(self._wiring.model, Passing(self._enter_model))] if self._frozen else []
        gates += [(self._blocks[i], Passing(partial(self._enter, i))) for i in watched]
        # While a step is traced a module's part is only known as it runs (``_ran``).
        for index in self._frozen if self._trace is None else ():
            enter = Passing(partial(self._enter_top, index))
            gates += [(top, enter) for top in self._tops[index]]
        return gates

    def _enter_model(self, module: nn.Module, args: Any) -> None:
        self._sleep.lay(self._resters)

    def _enter_top(self, index: int, module: nn.Module, args: Any) -> None:
        self._sleep.lay(self._frozen[index].modules)

    def _enter(self, index: int, module: nn.Module, args: Any) -> None:
        if not torch.is_grad_enabled() and in_reentrant_checkpoint():
            raise RuntimeError(
                "reentrant checkpointing gives a block no gradient when nothing below it is "
                "trained; pass use_reentrant=False to torch.utils.checkpoint.checkpoint"
            )
        if index in self._frozen:
            self._sleep.lay(self._frozen[index].modules)

    def _find_tops(self) -> dict[int, list[nn.Module]]:
        """The modules of each part that are in no other module of it, the blocks aside."""
        blocks = set(self._blocks)
        return {
            index: [m for m in _tops(part.modules) if m not in blocks]
            for index, part in self.parts.items()
        }

    def _watch(self, optimizer: Any) -> list[torch.utils.hooks.RemovableHandle]:
        """Look after what is frozen right before and after ``optimizer`` steps, if it lets us."""
        # Optimizers beside torch's own need not derive from its class; they are looked after
        # between steps.
        if not hasattr(optimizer, "_optimizer_step_post_hooks"):
            return []
        return [
            optimizer.register_step_pre_hook(lambda *_: self._before_optimizer()),
            optimizer.register_step_post_hook(lambda each, *_: self._refuse_moved_by(each)),
        ]

    def _before_optimizer(self) -> None:
        if (stepping := self._stepping()) is not None:
            stepping()
        if self._graph:  # it steps inside the step already
            self._take_trace()
        drop_gradients(self._still)

    def _refuse_moved_by(self, optimizer: Any) -> None:
        name, own = type(optimizer).__name__, is_torchs_own(optimizer)
        if self._trace is not None and (moved := self._guard.moved()) is not None:
            raise MovedError(EARLY.format(f"moved {moved}"))  # in a closure, with all gradients
        if own and not remembers(optimizer):
            self._refuse_moved(f"the step that {name} ends", BY_FORWARD)
        else:
            self._refuse_moved(f"{name}.step()", f"{name} {BY_MEMORY}", closely=not own)

    def _refuse_moved_between(self) -> None:
        names = ", ".join(type(each).__name__ for each in self._optimizers) or "the optimizer"
        cause = BETWEEN.format(optimizers=names)
        self._refuse_moved("the last step or after it", cause, closely=True)
        if (buffer := self._guard.changed_buffer()) is not None:
            raise RuntimeError(f"{buffer} {BUFFER}")

    def _refuse_moved(self, when: str, cause: str, *, closely: bool = False) -> None:
        if (name := self._guard.moved(closely=closely)) is not None:
            other = self._shares_with(name)
            why = cause if other is None else SHARED.format(other=other)
            raise MovedError(f"{name} is frozen but was moved in {when}: {why}")

    def _shares_with(self, name: str) -> str | None:
        """The name of a trained parameter that lies where a frozen one does."""
        still = {id(p) for p in self._still}
        named = {n: p for p in self._wiring.model.parameters() if (n := self.parameters.get(id(p)))}
        frozen = named.get(name)
        if frozen is None:
            return None
        trained = ((n, p) for n, p in named.items() if id(p) not in still and p.requires_grad)
        return next((n for n, p in trained if overlap(frozen, p)), None)


def _tops(modules: Iterable[nn.Module]) -> list[nn.Module]:
    found = list(modules)
    below = {id(inner) for module in found for inner in module.modules() if inner is not module}
    return [module for module in found if id(module) not in below]
