"""What a step costs in this checkout beside one in another, at each depth.

Two processes, one in each checkout, take turns of a few steps on the same model, optimizer and
batch, one thread each; only the one whose turn it is computes. Printed are medians of the
processor's seconds, and the quartiles of the ratios turn by turn less one.

    git worktree add ../before REVISION
    python -m benchmarks.cost.versions ../before [--workload W[=NAME THERE] ...] [--rounds N]
        [--json FILE]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from typing import IO

from benchmarks.common import Row, machine, parser, publish

HERE = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("steps_of.py")
STEPS = 10
"""In a turn."""


class Checkout:
    """A process that takes steps in a checkout when it is told to."""

    def __init__(self, folder: Path, workload: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, WORKER, workload],
            cwd=folder,
            env={"PYTHONPATH": str(folder), "PATH": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.blocks = int(_pipe(self._process.stdout).readline() or 0)
        if not self.blocks:
            raise SystemExit(f"{folder} must hold a checkout that has {workload}")

    def steps(self, depth: int, count: int) -> list[float]:
        """Processor seconds of so many steps."""
        asked = _pipe(self._process.stdin)
        asked.write(f"{depth} {count}\n")
        asked.flush()
        return [float(each) for each in _pipe(self._process.stdout).readline().split()]

    def close(self) -> None:
        """End the process."""
        _pipe(self._process.stdin).close()
        self._process.wait()


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None, "the process was given pipes"
    return stream


def measure(other: Path, name: str, theirs: str, rounds: int) -> list[Row]:
    """One row for each depth."""
    sides = {"here": Checkout(HERE, name), "there": Checkout(other, theirs)}
    rows = [at_depth(sides, depth, rounds) for depth in range(1, sides["here"].blocks + 1)]
    for side in sides.values():
        side.close()
    return rows


def at_depth(sides: dict[str, Checkout], depth: int, rounds: int) -> Row:
    """Steps of the top ``depth`` blocks in both, in turn."""
    laps: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(rounds):
        order = list(sides) if turn % 2 else list(reversed(sides))
        for side in order:
            laps[side].append(statistics.median(sides[side].steps(depth, STEPS)))
    low, _, high = statistics.quantiles(
        [a / b - 1 for a, b in zip(laps["here"], laps["there"], strict=True)]
    )
    here, there = (statistics.median(laps[side]) for side in ("here", "there"))
    return {
        "active": f"{depth}/{sides['here'].blocks}",
        "there, ms": 1e3 * there,
        "here, ms": 1e3 * here,
        "extra": f"{here / there - 1:+.1%}",
        "quartiles": f"{low:+.1%} to {high:+.1%}",
        "n": rounds,
    }


def main() -> None:
    """Measure, print, and write JSON where asked."""
    options = parser(__doc__, rounds=30)
    options.add_argument("other", type=Path, metavar="CHECKOUT")
    options.add_argument("--workload", nargs="+", default=["byte_lm"], metavar="W")
    asked = options.parse_args()
    about, tables = machine(), {}
    for each in asked.workload:
        name, _, theirs = each.partition("=")
        tables[name] = measure(asked.other.resolve(), name, theirs or name, asked.rounds)
    publish(tables, asked.json, about)


if __name__ == "__main__":
    main()
