"""Times single steps of the project that lies in the working directory, as it is asked to.

Run by ``benchmarks.cost.versions`` as a file, in checkouts of which some are older than itself: it
knows the places that the timed object has had. Each line of its input is a depth and a number of
steps; it answers with the processor seconds of each.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import time
from typing import Any

import torch

PLACES = (
    "tuning.training.calibration.bench",
    "tuning.training.bench",
    "tuning.calibrate_bench",
)
WARM_UP = 3


def main() -> None:
    """Answer until the input ends; first with the number of blocks."""
    torch.set_num_threads(1)
    bench = _bench(sys.argv[1])
    print(bench.num_blocks, flush=True)
    for line in sys.stdin:
        depth, count = map(int, line.split())
        for _ in range(WARM_UP):
            bench.step(depth)
        print(*(_seconds(bench, depth) for _ in range(count)), flush=True)


def _bench(workload: str) -> Any:
    found = importlib.import_module("models.registry").find_workload(workload)
    for place in PLACES:
        with contextlib.suppress(ModuleNotFoundError):
            return importlib.import_module(place).StepBench(found, 0, torch.device("cpu"))
    raise SystemExit(f"a checkout must have one of {PLACES}, but this has none")


def _seconds(bench: Any, depth: int) -> float:
    start = time.process_time()
    bench.step(depth)
    return time.process_time() - start


if __name__ == "__main__":
    main()
