"""The rules about gradients: every block gets some when it is trained, and none breaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from models.frames import told
from models.identity import kind_of
from policies.applying.causes import MovedError
from policies.applying.moments import is_torchs_own, optimizers_in
from policies.applying.wiring import Part
from tuning.training.calibration.bench import StepBench
from tuning.training.calibration.calibrate import measured_depths
from tuning.training.examination.subject import (
    SEED,
    Subject,
    mark_of,
    parts_of,
    refused,
    remark,
    some,
)
from tuning.training.generators import seed_all
from tuning.trial.soundness import Finding

MORE_STEPS = 10
"""The most further full steps until every block has had a gradient: some models skip blocks at
random.
"""

IDLE_STEPS = 100
"""The number of steps without any gradient, which optimizers that are not PyTorch's own are
given.
"""


def depth_rules(subject: Subject) -> Iterator[Finding]:
    """Whether every block gets a gradient when it is trained, and all gradients are finite."""
    seed_all(SEED)
    bench = StepBench(subject.workload, SEED, subject.device)
    parts = parts_of(subject.workload, bench.model, bench.batch)
    count, seen, rates = bench.num_blocks, _Gradients(parts), _rates(bench)
    for depth in (count, *measured_depths(count)[:-1], count + 1):
        try:
            bench.step(depth, seen.read)
        except MovedError as fault:
            yield refused("frozen", f"what is frozen must stay as it is, but {fault}")
            return
        except Exception as fault:
            what = f"the top {depth} of {count}" if depth < count else "all"
            yield refused("depths", f"with {what} blocks trained a step raised {told(fault)}")
            return
    more = MORE_STEPS
    while more and seen.missing:
        more -= 1
        bench.step(count, seen.read)
    yield from _of_gradients(bench, seen)
    yield from _of_idle_steps(bench)
    if _rates(bench) != rates:
        yield remark(
            "learning rates",
            f"{kind_of(bench.optimizer)} changes its learning rates when it steps (a schedule of "
            "its own, a scheduler in a hook): the search sets them before every step, from the "
            "workload's warmup_steps, decay_fraction and decay; leave the other schedule out",
        )


def _of_idle_steps(bench: StepBench) -> Iterator[Finding]:
    """Whether the optimizer moves weights in steps without gradients. Slow weights are taken over
    only every few steps, which may be later than all other steps here.
    """
    optimizer = bench.optimizer
    if all(map(is_torchs_own, optimizers_in(optimizer))):
        return
    named = dict(bench.model.named_parameters())
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    optimizer.zero_grad(set_to_none=True)
    for _ in range(IDLE_STEPS):
        try:
            optimizer.step()
        except Exception:  # it may need a gradient somewhere; then there always is one
            return
    moved = [name for name in named if mark_of(named[name]) != mark_of(before[name])]
    if moved:
        yield refused(
            "frozen",
            f"what is frozen must stay as it is, but {kind_of(optimizer)} moves {some(moved)} in "
            "steps in which they have no gradient (slow or averaged weights that it takes over "
            "every few steps, a decay by hand): let its step leave out parameters whose grad is "
            "None, or use another optimizer",
        )


def _rates(bench: StepBench) -> list[float]:
    return [float(group["lr"]) for group in bench.optimizer.param_groups if "lr" in group]


class _Gradients:
    """Watches the gradients of some steps: which parameters have never had any, and whether all are
    finite.
    """

    def __init__(self, parts: Mapping[int, Part]) -> None:
        self._parts = parts
        self.missing = {id(p) for part in parts.values() for p in part.parameters}
        self.broken, self._first = False, True

    def read(self, moment: str) -> None:
        """Look at the gradients, once the backward is over."""
        if moment != "backward":
            return
        for part in self._parts.values():
            with_grad = [p for p in part.parameters if p.grad is not None]
            self.missing -= {id(p) for p in with_grad}
            # Later steps are at peak rates without a warm-up, and may well diverge.
            self.broken |= self._first and any(not _is_finite(p.grad) for p in with_grad)
        self._first = False

    @property
    def blocks_without(self) -> list[str]:
        """The numbers of the blocks none of whose parameters ever had a gradient."""
        return [
            str(index)
            for index, part in sorted(self._parts.items())
            if 0 <= index < len(self._parts) - 2
            and part.parameters
            and all(id(p) in self.missing for p in part.parameters)
        ]


def _is_finite(gradient: Any) -> bool:
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    return bool(torch.isfinite(values).all())


def _of_gradients(bench: StepBench, seen: _Gradients) -> Iterator[Finding]:
    if without := seen.blocks_without:
        yield refused(
            "depths",
            "every block must get a gradient when it is trained, but these never got any: "
            f"{some(without)} of {bench.num_blocks}; name the blocks that the model runs, in the "
            "order in which it runs them",
        )
    names = [n for n, p in bench.model.named_parameters() if id(p) in seen.missing]
    if names:
        yield remark(
            "gradients",
            f"no loss of the first batches reached {some(names)}: they train once one does",
        )
    if seen.broken:
        yield refused("gradients", "gradients must be finite, but some of the first step are not")
