"""What it costs to freeze exactly: a step under an updater against one of a model whose lower
blocks have ``requires_grad=False``, at each depth.

Two models with the same weights, batch and optimizer take steps in turn, each depth by itself as in
a run, where depths change seldom. Printed are medians, and the quartiles of the ratios by turn less
one; once of wall seconds and once of the processor's, which what else runs beside disturbs less.
One thread.

    python -m benchmarks.cost.exactness [--rounds N] [--workload W ...] [--json FILE]
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.common import Row, machine, parser, publish
from models.making import new_model, new_optimizer
from models.measuring import loss_of
from models.registry import find_workload
from models.workload import Workload
from tuning.training.calibration.bench import StepBench

WARM_UP = 3
GOAL = 0.02
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


class Plain:
    """A twin of a bench's model, frozen where that is frozen now."""

    def __init__(self, bench: StepBench) -> None:
        torch.manual_seed(bench.seed)
        self._workload, self._batch = bench.workload, bench.batch
        self._model = new_model(bench.workload, bench.seed, bench.device)
        self._optimizer = new_optimizer(bench.workload, self._model)
        pairs = zip(bench.model.parameters(), self._model.parameters(), strict=True)
        for theirs, mine in pairs:
            mine.requires_grad_(theirs.requires_grad)

    def step(self) -> None:
        """Train one step."""
        loss: Tensor = loss_of(self._workload, self._model, self._batch)
        loss.item()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)


def measure(workload: Workload, rounds: int) -> list[Row]:
    """One row for each depth."""
    count = StepBench(workload, 0, torch.device("cpu")).num_blocks
    return [at_depth(workload, depth, count, rounds) for depth in range(1, count + 1)]


def at_depth(workload: Workload, depth: int, count: int, rounds: int) -> Row:
    """Steps of the top ``depth`` blocks, ours and plain in turn."""
    bench = StepBench(workload, 0, torch.device("cpu"))
    bench.step(depth)
    plain = Plain(bench)
    sides: dict[str, Callable[[], None]] = {"ours": lambda: bench.step(depth), "plain": plain.step}
    laps: dict[tuple[str, str], list[float]] = {}
    for turn in range(rounds + WARM_UP):
        order = sides if turn % 2 else dict(reversed(sides.items()))
        for side, work in order.items():
            before = {name: clock() for name, clock in CLOCKS.items()}
            work()
            for name, clock in CLOCKS.items():
                if turn >= WARM_UP:
                    laps.setdefault((side, name), []).append(clock() - before[name])
    row: Row = {"active": f"{depth}/{count}"}
    for name in CLOCKS:
        ours, base = laps["ours", name], laps["plain", name]
        low, _, high = statistics.quantiles([a / b - 1 for a, b in zip(ours, base, strict=True)])
        row[f"plain, ms {name}"] = 1e3 * statistics.median(base)
        row[f"extra, {name}"] = f"{statistics.median(ours) / statistics.median(base) - 1:+.1%}"
        row[f"quartiles, {name}"] = f"{low:+.1%} to {high:+.1%}"
    return {**row, "goal": f"{GOAL:.0%}", "n": rounds}


def main() -> None:
    """Measure, print, and write JSON where asked."""
    options = parser(__doc__, rounds=100)
    options.add_argument(
        "--workload", nargs="+", default=["byte_lm", "byte_lm_narrow"], metavar="W"
    )
    asked = options.parse_args()
    torch.set_num_threads(1)
    about = machine()
    tables = {name: measure(find_workload(name), asked.rounds) for name in asked.workload}
    publish(tables, asked.json, about)


if __name__ == "__main__":
    main()
