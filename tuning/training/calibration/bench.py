"""The bench on which a calibration times single steps, at any depth at any time, on one model and
its optimizer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import nn

from models.application.batches import OfSeed, Stream
from models.application.optimizers import make_optimizer
from models.application.prefix import Prefix, example_numbers
from models.batches import apart, to_device
from models.levers.cached_prefix import CachedPrefix
from models.levers.form import PLAIN, Form
from models.levers.optimizer import stand_in
from models.levers.shaping import Shaped
from models.making import blocks_of, new_model, new_optimizer
from models.measuring import loss_of
from models.workload import Workload
from policies.apply import BlockUpdater, trace_parts
from policies.base import Observation, Progress, StepPlan, UpdatePolicy
from tuning.training.calibration.company import Host, Lap
from tuning.training.loop import fitting_batches, shown

PARTS = ("forward", "backward", "optimizer")
"""The parts of a step, in this order."""


@dataclass(frozen=True)
class _NoState:
    num_blocks: int


@dataclass(frozen=True)
class DepthDial(UpdatePolicy[_NoState]):
    """A policy that runs and updates the blocks that the fraction names: see ``dial``.

    Attributes:
        cached: number of blocks at the bottom that no step reaches, because their output is kept.
    """

    name = "depth_dial"
    State = _NoState

    cached: int = 0

    def init(self, num_blocks: int) -> _NoState:
        """Remember how many blocks there are."""
        return _NoState(num_blocks)

    def plan(self, state: _NoState, progress: Progress) -> StepPlan:
        """Update the suffix of blocks that ``progress.fraction`` names."""
        marks = state.num_blocks + 2
        present, depth = divmod(round(progress.fraction * marks**2), marks)
        have = present or state.num_blocks
        return StepPlan(
            tuple(range(max(have - depth, self.cached), have)),
            probe=depth > state.num_blocks,
            phase="full",
            # not ``model_blocks``: a model that grew does not shrink, and the next step may be full
            left_out=tuple(range(have, state.num_blocks)),
        )

    def observe(self, state: _NoState, observation: Observation) -> _NoState:
        """Learn nothing."""
        return state


def dial(depth: int, num_blocks: int, present: int = 0) -> float:
    """The fraction at which ``DepthDial`` runs ``present`` blocks (0: all) and updates the top
    ``depth`` of them; a depth of ``num_blocks + 1`` probes.

    >>> dial(1, 2), dial(3, 2), dial(1, 2, present=1)
    (0.0625, 0.1875, 0.3125)
    """
    marks = num_blocks + 2
    return (present * marks + depth) / marks**2


def _unmarked(part: str) -> None:
    pass


class StepBench:
    """A model in some form with its optimizer, on which single steps are timed."""

    def __init__(
        self,
        workload: Workload,
        seed: int,
        device: torch.device,
        host: Host | None = None,
        form: Form = PLAIN,
    ) -> None:
        torch.manual_seed(seed)
        self.workload, self.seed, self.device, self.host = workload, seed, device, host or Host()
        self.model = new_model(workload, seed, device)
        self._shaped = Shaped(self.model, workload.blocks, PLAIN)
        self.form = form
        self.change(form)
        blocks = blocks_of(workload, self.model)
        own = new_optimizer(workload, self.model)
        self.optimizer = make_optimizer(self.model, blocks, own, stand_in(form))
        self.num_blocks = len(blocks)
        self._batches: dict[tuple[float, float], Any] = {}
        self._prefix = self._kept(blocks)
        places = trace_parts(self.model, blocks, lambda: workload.loss(self.model, self.batch))
        policy = DepthDial(form.cached)
        self.updater = BlockUpdater(self.model, blocks, policy, self.optimizer, stem=places)

    @property
    def batch(self) -> Any:
        """The batch of every step, in containers of its own: a loss may take labels out of it."""
        return self._batch_of(self.form)

    def _batch_of(self, work: Form) -> Any:
        size = work.batch, work.input
        if size not in self._batches:
            self._batches[size] = self.make_batch(work)
        return apart(self._batches[size])

    def change(self, form: Form) -> None:
        """Bring the model into ``form``. Its optimizer is left as it is."""
        if form.lasting != self._shaped.form:
            self._shaped.change(
                form.lasting, lambda: fitting_batches(self.workload, self.model, self.seed, 0)
            )

    def make_batch(self, work: Form | None = None) -> Any:
        """The first batch that steps in the form see, on the device."""
        stream = Stream(OfSeed(self.workload.batch_at, self.seed))
        seen = shown(self.workload, stream, Fraction(0), work or self.form)
        return to_device(seen, self.device)

    def step(
        self,
        depth: int,
        mark: Callable[[str], None] = _unmarked,
        work: Form | None = None,
    ) -> None:
        """Train one step on the top ``depth`` blocks (one more than there are probes).

        Args:
            depth: blocks updated.
            mark: hears the step's parts end.
            work: the form whose blocks are present and whose examples are seen; by default the
                bench's own.
        """
        work = work or self.form
        with (
            self.updater.step(fraction=dial(depth, self.num_blocks, work.present)) as update,
            self._shaped.computing(),
            self._served(),
        ):
            loss = loss_of(self.workload, self.model, self._batch_of(work))
            loss.item()
            mark("forward")
            loss.backward()  # type: ignore[no-untyped-call]
            update.observe(loss)
        mark("backward")
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        mark("optimizer")

    def _served(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext() if self._prefix is None else self._prefix.around(self.ids)

    def _kept(self, blocks: Sequence[nn.Module]) -> Prefix | None:
        """The form's kept prefix with the batch's activations in it; None where the form keeps
        none.

        Raises:
            ValueError: the workload's examples have no ids.
        """
        if not self.form.cached:
            return None
        if (examples_at := self.workload.examples_at) is None:
            raise ValueError(
                f"workload {self.workload.name!r} must have examples_at for a prefix to be kept"
            )
        ids = Stream(lambda step: example_numbers(examples_at(self.seed, step)))
        self.ids = ids.take(Fraction(0), self.form.batch)
        prefix = Prefix(blocks, CachedPrefix(self.form.cached / len(blocks), prefix_until=1.0))
        with prefix.around(self.ids), torch.no_grad():
            self.workload.loss(self.model, self.batch)
        return prefix

    def lap(self, work: Callable[[], object], times: int = 1) -> Lap:
        """What ``work`` takes, the mean of ``times`` in a row."""
        queued = self.host.queued()  # looked up outside of what is timed
        wall, cpu = self._reading()
        for _ in range(times):
            work()
        end_wall, end_cpu = self._reading()
        since = end_wall - wall, end_cpu - cpu, self.host.queued() - queued
        return Lap(*(seconds / times for seconds in since))

    def parts(self, depth: int) -> dict[str, Lap]:
        """What each part of one step takes, by the part's name."""
        readings = [(*self._reading(), self.host.queued())]
        self.step(depth, lambda part: readings.append((*self._reading(), self.host.queued())))
        return {
            part: Lap(*(end - begin for begin, end in zip(before, after, strict=True)))
            for part, before, after in zip(PARTS, readings, readings[1:], strict=False)
        }

    def _reading(self) -> tuple[float, float]:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self.host.wall(), self.host.cpu()
