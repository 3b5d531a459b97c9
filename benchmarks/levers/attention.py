"""What each attention backend costs, and how far it is from exact.

Every backend that the device has is forced in turn, A/B/A/B, and set against math in float32 at the
same shape, in the same run. Errors are against math in float64 on the same rounded inputs, as a
fraction of the largest exact value. Which kernels ran is read off the dispatched operations. What
the device lacks is listed with its reason.

    python -m benchmarks.levers.attention [--device D] [--rounds N] [--quick] [--json FILE]
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.common import Row, interleaved, machine, parser, publish, ratio_of_medians, spread
from models.compute.attention import forced
from models.compute.compiling import compile_fault, compiled
from models.compute.precision import dtype_fault, precision
from models.compute.probe import backend_fault, kernels_used
from models.levers.computing import BACKENDS, DTYPES
from models.workloads.byte_lm import Recipe, byte_lm
from models.workloads.byte_lm_narrow import NARROW

Shape = tuple[int, int, int, int]
SHAPES: Mapping[str, Sequence[Shape]] = {
    "cpu": [(32, 1, 32, 16), (8, 4, 64, 32), (2, 4, 256, 64)],
    "cuda": [(32, 12, 512, 64), (8, 12, 2048, 64), (8, 8, 1024, 128)],
}
"""Batch, heads, tokens and head size; on a CPU the first is byte_lm_narrow's."""
BASELINE = ("math", "float32")
WARM_STEPS = 3
"""Before timing: what is compiled has all its graphs by then."""


@dataclass
class Call:
    """Causal attention in one dtype on one backend, forward and backward by themselves."""

    backend: str
    dtype: str
    shape: Shape
    device: torch.device

    def __post_init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        kind = getattr(torch, self.dtype)
        tensors = [
            torch.randn(self.shape, generator=generator).to(self.device, kind) for _ in range(4)
        ]
        self.inputs, self.gradient = [each.requires_grad_() for each in tensors[:3]], tensors[3]
        self.out: Tensor | None = None

    def forward(self) -> None:
        """Keep the result for one backward."""
        with forced(self.backend):
            q, k, v = self.inputs
            self.out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        wait(self.device)

    def backward(self) -> list[Tensor]:
        """Gradients of query, key and value."""
        assert self.out is not None
        with forced(self.backend):
            gradients = torch.autograd.grad(self.out, self.inputs, self.gradient)
        wait(self.device)
        return list(gradients)

    def results(self) -> list[Tensor]:
        """The result and the three gradients."""
        self.forward()
        assert self.out is not None
        return [self.out.detach(), *self.backward()]

    def exact(self) -> list[Tensor]:
        """The results of math in float64 on the same inputs."""
        double = Call("math", "float64", self.shape, self.device)
        double.inputs = [each.detach().double().requires_grad_() for each in self.inputs]
        double.gradient = self.gradient.double()
        return double.results()


def wait(device: torch.device) -> None:
    """Until what was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def errors(call: Call) -> list[float]:
    """Errors of the result and of the worst gradient.

    Each is the largest difference from the exact values over the largest exact value.
    """
    pairs = zip(call.results(), call.exact(), strict=True)
    out, *gradients = (
        float((one.double() - other).abs().max() / other.abs().max()) for one, other in pairs
    )
    return [out, max(gradients)]


def faults(device: torch.device) -> dict[tuple[str, str], str | None]:
    """For each backend and dtype why the device cannot train with it."""
    return {
        (backend, dtype): dtype_fault(dtype, device)
        or backend_fault(backend, device, getattr(torch, dtype))
        for dtype in DTYPES
        for backend in BACKENDS
    }


def kernels(
    shape: Shape, pairs: Sequence[tuple[str, str]], device: torch.device, rounds: int
) -> list[Row]:
    """One row for each backend and dtype at one shape."""
    calls = {pair: Call(*pair, shape, device) for pair in pairs}
    actions: dict[str, Callable[[], object]] = {}
    for pair, call in calls.items():
        actions |= {f"{pair} forward": call.forward, f"{pair} backward": call.backward}
    ran = {pair: kernels_used(call.results) for pair, call in calls.items()}
    wrong = {pair: errors(call) for pair, call in calls.items()}
    seconds = interleaved(actions, rounds)
    return [
        {"backend": pair[0], "dtype": pair[1], "kernels": ", ".join(sorted(ran[pair]))}
        | {"error": wrong[pair][0], "gradients' error": wrong[pair][1]}
        | _timing(seconds, pair, "forward")
        | _timing(seconds, pair, "backward")
        | {"n": rounds}
        for pair in pairs
    ]


def _timing(seconds: Mapping[str, Sequence[float]], pair: tuple[str, str], part: str) -> Row:
    mine, baseline = seconds[f"{pair} {part}"], seconds[f"{BASELINE} {part}"]
    return {
        f"{part}, ms": 1e3 * median(mine),
        f"{part} / math": ratio_of_medians(mine, baseline),
        f"{part} spread": spread(mine),
    }


class Step:
    """A training step of byte_lm computed in some way."""

    def __init__(
        self, backend: str, dtype: str, compile_it: bool, device: torch.device, recipe: Recipe
    ) -> None:
        workload = byte_lm(recipe=recipe)
        self.loss, self.device = workload.loss, device
        self.model = workload.make_model(0).to(device)
        self.optimizer = workload.make_optimizer(self.model)
        self.batch = workload.batch_at(0, 0).to(device)
        self.how: list[Callable[[], contextlib.AbstractContextManager[object]]]
        self.how = [partial(forced, backend), partial(precision, dtype, device)]
        if compile_it:
            compiled(self.model, workload.blocks(self.model))
        for _ in range(WARM_STEPS):
            self.step()

    def step(self) -> None:
        """Forward and backward as they are to be computed, then the optimizer's step."""
        with contextlib.ExitStack() as stack:
            for how in self.how:
                stack.enter_context(how())
            self.loss(self.model, self.batch).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        wait(self.device)


def steps(
    pairs: Sequence[tuple[str, str]],
    may_compile: bool,
    device: torch.device,
    rounds: int,
    recipe: Recipe,
) -> list[Row]:
    """One row for each way to compute a step: backend, dtype, compiled or not."""
    ways = [
        (*pair, compile_it)
        for compile_it in ((False, True) if may_compile else (False,))
        for pair in pairs
    ]
    seconds = interleaved({str(way): Step(*way, device, recipe).step for way in ways}, rounds)
    baseline = seconds[str((*BASELINE, False))]
    return [
        {"backend": way[0], "dtype": way[1], "compiled": "yes" if way[2] else "no"}
        | {
            "ms a step": 1e3 * median(seconds[str(way)]),
            "/ math": ratio_of_medians(seconds[str(way)], baseline),
        }
        | {"spread": spread(seconds[str(way)]), "n": rounds}
        for way in ways
    ]


def measure(device: torch.device, rounds: int, quick: bool) -> dict[str, list[Row]]:
    """All tables by title: kernels at each shape, steps of two models, and what the device
    lacks.
    """
    found = faults(device)
    pairs = [pair for pair, fault in found.items() if fault is None]
    uncompiled = "left out by --quick" if quick else compile_fault(device)
    shapes = SHAPES["cuda" if device.type == "cuda" else "cpu"][: 1 if quick else None]
    recipes = {
        "byte_lm_narrow": NARROW,
        "width 128, window 256": replace(NARROW, width=128, heads=4, window=256, batch=4),
    }
    if quick:
        recipes = {"a small byte_lm": replace(NARROW, depth=2, batch=4)}
    tables = {
        f"causal attention, {shape}": kernels(shape, pairs, device, rounds) for shape in shapes
    }
    for name, recipe in recipes.items():
        tables[f"a step of {name}"] = steps(pairs, uncompiled is None, device, rounds, recipe)
    lacks = [{"left out": " ".join(pair), "why": fault} for pair, fault in found.items() if fault]
    lacks += [{"left out": "compiled", "why": uncompiled}] if uncompiled else []
    return tables | ({f"left out on {device}": lacks} if lacks else {})


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON where asked."""
    arguments = parser(__doc__, rounds=40)
    arguments.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu", help="as torch names it"
    )
    arguments.add_argument(
        "--quick", action="store_true", help="one shape, a small model, nothing compiled"
    )
    options = arguments.parse_args(argv)
    if options.rounds < 2:
        arguments.error(f"rounds >= 2 must hold, but got {options.rounds}")
    torch.set_num_threads(1)
    device = torch.device(options.device)
    about = machine()
    if device.type == "cuda":
        about["device"] = torch.cuda.get_device_name(device)
    publish(measure(device, options.rounds, options.quick), options.json, about)


if __name__ == "__main__":
    main()
