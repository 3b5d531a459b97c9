"""What optimizers of kept libraries would bring in the place of the workload's own.

Each is trained plainly, for the workload's own seconds: the steps are as many fewer as one of its
steps takes longer. That is timed first, by tens of steps in turns with the own one's: some do more
in every tenth. The rate is chosen on one seed, among factors of the own optimizer's; the loss is
the mean of others. Printed for each: what a step takes, in the own one's; the factor; the loss,
less the own optimizer's at its best factor; the deviation of that difference. SOAP is that of
``pytorch_optimizer``, AdamW without a schedule that of ``schedulefree``, evaluated at its average;
the search's Muon stands beside them. Betas and weight decay are the workload's, SOAP's moments its
own besides.

    python -m pip install pytorch_optimizer schedulefree
    python -m benchmarks.quality.optimizers [--workload byte_lm] [--seeds 5]
        [--only NAME ...] [--json FILE]
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from benchmarks.common import Row, interleaved, machine, parser, publish, ratio_of_medians
from benchmarks.quality.byte_lm_narrow_fit import Run, depth_of
from models.application.optimizers import make_optimizer
from models.levers.optimizer import MUON, Optimization
from models.registry import find_workload
from models.workload import Workload

OWN = "own"
FACTORS = (0.5, 1.0, 2.0, 4.0, 8.0)
SEED = 1
"""On which the factor is chosen."""
ROUNDS = 8
PERIOD = 10
"""Steps after which an optimizer has done all that it does: SOAP's are not alike."""


def main() -> None:
    """Time, train, print, and write JSON where asked."""
    made = parser(__doc__)
    made.add_argument("--workload", default="byte_lm", metavar="W")
    made.add_argument("--seeds", type=int, default=5, metavar="K", help="of the loss, from seed 2")
    made.add_argument("--only", nargs="+", choices=list(KINDS), metavar="NAME", default=list(KINDS))
    options = made.parse_args()
    torch.set_num_threads(1)
    workload = find_workload(options.workload)
    seeds = range(SEED + 1, SEED + 1 + options.seeds)
    kinds = {name: make for name, make in KINDS.items() if name in {OWN, *options.only}}
    rows = table(workload, kinds, seeds, FACTORS, ROUNDS)
    publish({f"further optimizers, {options.workload}": rows}, options.json, machine())


def table(
    workload: Workload,
    kinds: Mapping[str, Callable[[Workload, float], Workload]],
    seeds: range,
    factors: tuple[float, ...],
    rounds: int,
) -> list[Row]:
    """A row a kind; the first is what the others are compared with."""
    depth, reference = depth_of(workload), next(iter(kinds))
    runs = {name: Run(make(workload, 1.0), depth, SEED) for name, make in kinds.items()}
    seconds = interleaved(
        {name: partial(_period, run) for name, run in runs.items()}, rounds, time.process_time
    )
    cost = {name: ratio_of_medians(seconds[name], seconds[reference]) for name in runs}
    rows: list[Row] = []
    own: list[float] = []
    for name, make in kinds.items():
        steps = round(workload.steps / cost[name])
        on_one = {f: _trained(make(workload, f), depth, SEED, steps) for f in factors}
        factor = min(on_one, key=lambda f: on_one[f])
        losses = [_trained(make(workload, factor), depth, seed, steps) for seed in seeds]
        own = own or losses
        less = [loss - other for loss, other in zip(losses, own, strict=True)]
        rows.append(
            {
                "optimizer": name,
                "a step": cost[name],
                "steps": steps,
                "factor": factor,
                "loss": statistics.fmean(losses),
                "less own": statistics.fmean(less),
                "deviation": statistics.stdev(less) if len(less) > 1 else None,
                "n": len(less),
            }
        )
    return rows


def _period(run: Run) -> None:
    for step in range(PERIOD):
        run.step(step)


def _trained(workload: Workload, depth: int, seed: int, steps: int) -> float:
    """The loss, or the negative of what is to be maximised."""
    value = Run(workload, depth, seed).train(steps)
    return -value if workload.maximize else value


def _numbers(workload: Workload, model: nn.Module, factor: float) -> dict[str, Any]:
    """Rate, betas and weight decay, of the first group."""
    group = workload.make_optimizer(model).param_groups[0]
    rate = {"lr": factor * group["lr"]}
    return rate | {name: group[name] for name in ("betas", "weight_decay") if name in group}


def own(workload: Workload, factor: float) -> Workload:
    """The workload's, at ``factor`` of its rates."""
    return _turned(workload, Optimization(rate=factor))


def muon(workload: Workload, factor: float) -> Workload:
    """The search's Muon, with its settings' defaults."""
    return _turned(workload, Optimization(optimizer=MUON, rate=factor))


def _turned(workload: Workload, lever: Optimization) -> Workload:
    def made(model: nn.Module) -> Optimizer:
        return make_optimizer(model, workload.blocks(model), workload.make_optimizer(model), lever)

    return replace(workload, make_optimizer=made)


def soap(workload: Workload, factor: float, **more: Any) -> Workload:
    """With the workload's schedule."""

    def made(model: nn.Module) -> Optimizer:
        from pytorch_optimizer import SOAP

        numbers = _numbers(workload, model, factor) | more
        made: Optimizer = SOAP(model.parameters(), **numbers)
        return made

    return replace(workload, make_optimizer=made)


def schedule_free(workload: Workload, factor: float) -> Workload:
    """With a warm-up and no decay."""
    optimizers: dict[int, Any] = {}

    def made(model: nn.Module) -> Optimizer:
        from schedulefree import AdamWScheduleFree

        numbers = _numbers(workload, model, factor)
        optimizer: Any = AdamWScheduleFree(
            model.parameters(), **numbers, warmup_steps=workload.warmup_steps
        )
        optimizer.train()
        optimizers[id(model)] = optimizer
        return optimizer  # type: ignore[no-any-return]

    def evaluate(model: nn.Module) -> Any:
        optimizers[id(model)].eval()
        return workload.evaluate(model)

    return replace(
        workload, make_optimizer=made, evaluate=evaluate, warmup_steps=0, decay_fraction=0.0
    )


KINDS: Mapping[str, Callable[[Workload, float], Workload]] = {
    OWN: own,
    "Muon": muon,
    "SOAP, its own betas": partial(soap, betas=(0.95, 0.95)),
    "SOAP, the workload's": soap,
    "AdamW, schedule-free": schedule_free,
}


if __name__ == "__main__":
    main()
