"""What the benchmarks of cheaper matrices share.

They time layers beside a dense one, and see whether a model recovers.
"""

from __future__ import annotations

import copy
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.common import Row, interleaved, ratio_of_medians
from models.approximation.inputs import Moments, collect_inputs
from models.approximation.matching import placement_patterns
from models.approximation.replace import Kind, approximate, structured, to_dense
from models.counting import count_flops
from models.levers.shaping import carry_moments
from models.workload import Workload
from models.workloads.byte_lm import Recipe, byte_lm
from models.workloads.byte_lm_narrow import NARROW
from tuning.trial.course import wsd_factor

GOAL = 0.8
"""Of the speedup that the operations saved allow."""

RECIPE = replace(NARROW, depth=3, width=96, heads=3, window=64, batch=16, learning_rate=3e-3)
"""Wide enough that its matrices weigh something, with sides that 2:4 kernels take."""

QUICK_RECIPE = replace(NARROW, depth=2, width=32, heads=1, window=16, batch=4)
"""For tests."""

REWARM_STEPS = 20
"""After a replacement: what was put in has no moments yet."""


def add_options(arguments: ArgumentParser) -> ArgumentParser:
    """The flags that both benchmarks have."""
    arguments.add_argument(
        "--device", default="cpu", type=torch.device, help="where to measure (default: cpu)"
    )
    arguments.add_argument(
        "--rows",
        type=int,
        default=512,
        metavar="N",
        help="vectors a layer is timed on (default: 512)",
    )
    arguments.add_argument(
        "--trunk", type=int, default=400, metavar="N", help="steps before (default: 400)"
    )
    arguments.add_argument(
        "--recovery", type=int, default=150, metavar="N", help="steps afterwards (default: 150)"
    )
    arguments.add_argument(
        "--quick", action="store_true", help="smallest sizes, few steps: a test that it runs"
    )
    return arguments


def alternating(
    actions: Mapping[str, Callable[[], object]], rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Seconds of each action, taken in turns, by name.

    On a CPU they are seconds of this process; on a GPU each action ends when the GPU has finished.
    """
    if device.type != "cuda":
        return interleaved(actions, rounds, time.process_time)
    return interleaved(
        {name: partial(_finished, action, device) for name, action in actions.items()}, rounds
    )


def _finished(action: Callable[[], object], device: torch.device) -> None:
    action()
    torch.cuda.synchronize(device)


@torch.no_grad()
def _forward(layer: nn.Module, x: Tensor) -> None:
    layer(x)


def _forward_backward(layer: nn.Module, x: Tensor) -> None:
    layer.zero_grad(set_to_none=True)
    x.grad = None
    layer(x).backward(
        x.detach()
    )  # any gradient of the right shape; that of a sum has no memory of its own


def speeds(layers: Mapping[str, nn.Module], x: Tensor, rounds: int) -> dict[str, Row]:
    """How many times as fast as the layer ``dense`` each other is, forward and forward with
    backward, in turns.

    Args:
        layers: by name; one is called ``dense``. Outputs have the shape of inputs.
        x: what they are applied to; its gradient is computed too, as inside a model.
        rounds: of each, after one to warm up.
    """
    x = x.requires_grad_()
    taken = {
        what: alternating(
            {name: partial(action, layer, x) for name, layer in layers.items()}, rounds, x.device
        )
        for what, action in {"forward": _forward, "forward and backward": _forward_backward}.items()
    }
    flops = {name: count_flops(partial(_forward, layer, x)) for name, layer in layers.items()}
    found: dict[str, Row] = {}
    for name in (name for name in layers if name != "dense"):
        row: Row = {"limit": flops["dense"] / flops[name]}
        for what, seconds in taken.items():
            row[what] = ratio_of_medians(seconds["dense"], seconds[name])
            row[f"{what}, of the limit"] = row[what] / row["limit"]
        found[name] = row
    return found


def bound_from(rows: Sequence[Row], what: str) -> int | None:
    """The least size from which on all rows reach the goal; None if the largest does not."""
    start: int | None = None
    for row in sorted(rows, key=lambda row: -int(row["size"])):
        if row[f"{what}, of the limit"] < GOAL:
            break
        start = int(row["size"])
    return start


def verdicts(rows: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    """For each combination of ``keys``, the size from which on the goal is reached.

    There is one size for the forward, and one for forward and backward.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    whats = ("forward", "forward and backward")
    return [
        dict(zip(keys, group, strict=True))
        | {"goal": GOAL}
        | {f"{what}, from size": bound_from(each, what) for what in whats}
        for group, each in groups.items()
    ]


@dataclass(frozen=True)
class Course:
    """``trunk`` steps at the peak learning rate, and ``recovery`` in which it falls to zero.

    Every run of a course sees the same batches at the same rates, so losses differ by the matrices
    alone.
    """

    trunk: int
    recovery: int
    device: torch.device
    recipe: Recipe = RECIPE

    @property
    def workload(self) -> Workload:
        """The task: next-byte prediction."""
        return byte_lm(recipe=self.recipe)


class Run:
    """A model in training on a course."""

    def __init__(self, course: Course, workload: Workload) -> None:
        self.course, self.workload = course, workload
        self.model: nn.Module = workload.make_model(0).to(course.device)
        self.optimizer = workload.make_optimizer(self.model)
        self.taken = 0
        self.changed_at = -REWARM_STEPS

    def train(self, steps: int) -> None:
        """Take the next ``steps`` steps."""
        for _ in range(steps):
            self._set_rate()
            self.step(self.taken)
            self.taken += 1

    def step(self, step: int) -> None:
        """Train the batch of one step."""
        batch = self.workload.batch_at(0, step).to(self.course.device)
        self.workload.loss(self.model, batch).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _set_rate(self) -> None:
        total = self.course.trunk + self.course.recovery
        falls = self.course.recovery / total
        factor = wsd_factor(self.taken, self.taken / total, warmup_steps=40, decay_fraction=falls)
        rewarm = min(1.0, (self.taken - self.changed_at + 1) / REWARM_STEPS)
        for group in self.optimizer.param_groups:
            group["lr"] = self.course.recipe.learning_rate * factor * rewarm

    def change(self, how: Callable[[nn.Module], None]) -> None:
        """Replace matrices; parameters that stay keep their moments."""
        how(self.model)
        old: Optimizer = self.optimizer
        self.optimizer = self.workload.make_optimizer(self.model)
        carry_moments(old, self.optimizer)
        self.changed_at = self.taken

    def loss(self) -> float:
        """On the validation bytes, nats a byte."""
        self.model.eval()
        loss = self.workload.evaluate(self.model)
        self.model.train()
        return loss

    def fork(self) -> Run:
        """A copy that goes its own way."""
        return copy.deepcopy(self)

    def moments(self, patterns: Sequence[str], batches: Sequence[int]) -> Mapping[str, Moments]:
        """Second moments of layer inputs over the batches of these steps."""
        data = [self.workload.batch_at(0, step).to(self.course.device) for step in batches]
        return collect_inputs(
            self.model, patterns, lambda: [self.workload.loss(self.model, each) for each in data]
        )

    def mlps(self) -> tuple[str, ...]:
        """Patterns for the linear layers of all MLPs."""
        return placement_patterns(self.model, "mlp", self.workload.blocks(self.model))


def trained(course: Course) -> Run:
    """The course's trunk: a dense model, trained."""
    run = Run(course, course.workload)
    run.train(course.trunk)
    return run


def recoveries(trunk: Run, cases: Sequence[tuple[Kind, float]], rounds: int) -> list[Row]:
    """What training comes to after all MLPs of the trained model were approximated.

    Each case and the dense model have a row: the loss before, just after, and after training on.
    """
    patterns = trunk.mlps()
    inputs = trunk.moments(patterns, range(8))
    runs = {f"{kind} {share:g}": trunk.fork() for kind, share in cases}
    for (kind, share), run in zip(cases, runs.values(), strict=True):
        run.change(_replacement(kind, patterns, share, inputs))
    return _finished_rows(trunk, {"dense": trunk.fork(), **runs}, rounds)


def _replacement(
    kind: Kind, patterns: Sequence[str], share: float, inputs: Mapping[str, Moments]
) -> Callable[[nn.Module], None]:
    seen = (
        inputs if kind == "data_aware" else None
    )  # as in a search, where no other kind is fitted to data
    return partial(approximate, kind=kind, patterns=patterns, share=share, inputs=seen)


def from_the_start(trunk: Run, cases: Sequence[tuple[Kind, float]], rounds: int) -> list[Row]:
    """All MLPs approximated before the first step, and dense again for the last ones."""
    rows = []
    for kind, share in cases:
        run = Run(trunk.course, trunk.workload)
        patterns = run.mlps()
        inputs = run.moments(patterns, range(8))
        run.change(_replacement(kind, patterns, share, inputs))
        cheap = run.fork()
        run.train(run.course.trunk)
        early = run.loss()
        run.change(to_dense)
        run.train(run.course.recovery)
        row = {"what": f"{kind} {share:g}, dense tail", **_cost(trunk, cheap, rounds)}
        rows.append(row | {"before the tail": early, "at the end": run.loss()})
        _tell(rows[-1])
    return rows


def _finished_rows(trunk: Run, runs: Mapping[str, Run], rounds: int) -> list[Row]:
    rows = []
    before = trunk.loss()
    for name, run in runs.items():
        after, cost = run.loss(), _cost(trunk, run, rounds)
        run.train(run.course.recovery)
        rows.append(
            {
                "what": name,
                **cost,
                "loss before": before,
                "just after": after,
                "at the end": run.loss(),
            }
        )
        _tell(rows[-1])
    return rows


def _cost(dense: Run, run: Run, rounds: int) -> Row:
    """Operations and seconds of a step, as a share of a dense one's.

    They are measured on copies, in turns.
    """
    runs = {"dense": dense.fork(), "run": run.fork()}
    flops = {name: count_flops(partial(each.step, 0)) for name, each in runs.items()}
    taken = alternating(
        {name: partial(each.step, 0) for name, each in runs.items()}, rounds, run.course.device
    )
    return {
        "operations a step": flops["run"] / flops["dense"],
        "seconds a step": ratio_of_medians(taken["run"], taken["dense"]),
        "layers replaced": len(structured(run.model)),
    }


def _tell(row: Row) -> None:
    print(f"{row['what']}: {row['at the end']:.4f}", file=sys.stderr, flush=True)
