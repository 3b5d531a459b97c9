"""Whether several runs' steps in one process, batched by ``torch.func``, are cheaper than one by
one.

K models of a workload, each with its batch, take a step of their own: one after the other, and all
at once with stacked parameters (``torch.func.vmap`` over ``grad``), the optimizer's step included.
Ratios of medians of alternating rounds, by device seconds. A search would train several trials so
only if that were at least 1.3 times as cheap.

    python -m benchmarks.cost.several [--rounds N] [--device D] [--math] [--json FILE]
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from benchmarks.common import Row, interleaved, machine, parser, publish, spread
from models.compute.attention import forced
from models.workload import Workload
from models.workloads.byte_lm import Recipe, byte_lm
from models.workloads.byte_lm_narrow import byte_lm_narrow
from models.workloads.optimizers import fused_adamw

COUNTS = (2, 4, 8)
RATE, DECAY = 1e-3, 0.05


class OneByOne:
    """K models and optimizers, stepped in turn."""

    def __init__(self, workload: Workload, count: int, device: torch.device) -> None:
        self.loss = workload.loss
        self.models = [workload.make_model(seed).to(device) for seed in range(count)]
        self.optimizers = [fused_adamw(model, RATE, DECAY) for model in self.models]
        self.batches = [workload.batch_at(seed, 0).to(device) for seed in range(count)]

    def step(self) -> None:
        """One step of each."""
        for model, optimizer, batch in zip(self.models, self.optimizers, self.batches, strict=True):
            self.loss(model, batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        wait()


class AtOnce:
    """The same K models with their parameters stacked, and one optimizer."""

    def __init__(self, workload: Workload, count: int, device: torch.device) -> None:
        models = [workload.make_model(seed).to(device) for seed in range(count)]
        parameters, self.buffers = stack_module_state(models)
        self.parameters = {name: nn.Parameter(each) for name, each in parameters.items()}
        self.batches = torch.stack([workload.batch_at(seed, 0).to(device) for seed in range(count)])
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(), RATE, weight_decay=DECAY, fused=True
        )
        skeleton = workload.make_model(0).to("meta")

        def loss(
            parameters: dict[str, Tensor], buffers: dict[str, Tensor], batch: Tensor
        ) -> Tensor:
            return workload.loss(Called(skeleton, parameters, buffers), batch)

        self.gradients = vmap(grad(loss))

    def step(self) -> None:
        """One step of all."""
        plain = {name: each.detach() for name, each in self.parameters.items()}
        found = self.gradients(plain, self.buffers, self.batches)
        for name, parameter in self.parameters.items():
            parameter.grad = found[name]
        self.optimizer.step()
        wait()


class Called(nn.Module):
    """A model with other parameters, as a loss calls it."""

    def __init__(
        self, model: nn.Module, parameters: dict[str, Tensor], buffers: dict[str, Tensor]
    ) -> None:
        super().__init__()
        self.call: Callable[[Tensor], Tensor] = lambda x: functional_call(
            model, (parameters, buffers), (x,)
        )

    def forward(self, x: Tensor) -> Tensor:
        """What the model gives."""
        return self.call(x)


def wait() -> None:
    """Until what was asked of the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def rows(name: str, workload: Workload, device: torch.device, rounds: int) -> list[Row]:
    """A row for each number of models."""
    found = []
    for count in COUNTS:
        both = {
            "one by one": OneByOne(workload, count, device).step,
            "at once": AtOnce(workload, count, device).step,
        }
        seconds = interleaved(both, rounds)
        one, all_ = (median(seconds[way]) for way in both)
        found.append(
            {
                "workload": name,
                "models": count,
                "one by one, ms": 1e3 * one,
                "at once, ms": 1e3 * all_,
                "times as cheap": one / all_,
                "spread": max(spread(seconds[way]) for way in both),
                "n": rounds,
            }
        )
    return found


def main() -> None:
    """Measure, print, and write JSON where asked."""
    made = parser(__doc__, rounds=30)
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    made.add_argument("--math", action="store_true", help="attention by math, which has a rule")
    options = made.parse_args()
    torch.set_num_threads(1)
    # Flash attention on a CPU has no rule for batches of models; math has one and is slower still.
    warnings.filterwarnings("ignore", "There is a performance drop")
    device, about = torch.device(options.device), machine()
    workloads = {
        "byte_lm": byte_lm(),
        "byte_lm_narrow": byte_lm_narrow(),
        "byte_lm of 2 x 16, batch 4": byte_lm(
            recipe=replace(Recipe(), depth=2, width=16, heads=1, batch=4)
        ),
    }
    with forced("math") if options.math else contextlib.nullcontext():
        table = [
            row
            for name, each in workloads.items()
            for row in rows(name, each, device, options.rounds)
        ]
    publish({"several runs in one process": table}, options.json, about)


if __name__ == "__main__":
    main()
