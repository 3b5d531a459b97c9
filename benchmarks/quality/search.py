"""How good a front a search finds in few trials, on problems whose true front is known.

Hypervolume as a fraction of the true front's after 60 and 100 trials on ZDT1, ZDT2, DTLZ2 (9
variables) and BraninCurrin (2): this project's samplers against Optuna's TPE, GP, NSGA-II and
random and Syne Tune's MOASHA, one trial at a time, over seeds. Needs the extra ``bench``. About an
hour on one core, nearly all of it for the two Gaussian processes; ``--log`` keeps what is done, so
that it can be taken in parts.

    python -m benchmarks.quality.search [--problems P …] [--sides S …] [--seeds N] [--log FILE]
    [--json FILE]
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.common import Row, machine, parser, publish
from benchmarks.quality.problems import PROBLEMS
from benchmarks.quality.sides import SIDES

AFTER = (60, 100)
LIBRARIES = ("pymoo", "botorch", "syne-tune")


def run(problem: str, side: str, seed: int, after: Sequence[int]) -> Row:
    """One search: its fractions of the true hypervolume and its CPU seconds a trial."""
    made = PROBLEMS[problem]()
    start = time.process_time()
    values = SIDES[side](made, max(after), seed)
    seconds = (time.process_time() - start) / max(after)
    fractions = {
        str(n): value for n, value in zip(after, made.fractions(values, after), strict=True)
    }
    return {
        "problem": problem,
        "side": side,
        "seed": seed,
        "fractions": fractions,
        "ask seconds": seconds,
    }


def table(rows: Sequence[Row], problem: str, after: Sequence[int]) -> list[Row]:
    """One row a side: median over seeds (least to largest) after each number of trials, best
    first.
    """
    found: list[tuple[float, Row]] = []
    for side in SIDES:
        own = [row for row in rows if (row["problem"], row["side"]) == (problem, side)]
        if own:
            fractions = {n: [row["fractions"][str(n)] for row in own] for n in after}
            cells = {f"{n} trials": _spread(values) for n, values in fractions.items()}
            asks = statistics.mean(row["ask seconds"] for row in own)
            row = {"side": side, "seeds": len(own), **cells, "CPU seconds an ask": round(asks, 3)}
            found.append((-statistics.median(fractions[max(after)]), row))
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the log does not hold yet, print a table a problem, write."""
    options = _parser().parse_args(argv)
    done = _logged(options.log)
    wanted = [
        (p, s, seed)
        for seed in range(options.seeds)
        for p in options.problems
        for s in options.sides
    ]
    for problem, side, seed in wanted:
        if (problem, side, seed) not in done:
            done[problem, side, seed] = row = run(problem, side, seed, options.trials)
            _log(options.log, row)
    rows = [done[key] for key in wanted]
    tables = {problem: table(rows, problem, options.trials) for problem in options.problems}
    versions = {name: metadata.version(name) for name in LIBRARIES}
    publish(tables, options.json, machine() | versions)
    return 0


def _parser() -> Any:
    made = parser(__doc__)
    made.add_argument(
        "--problems", nargs="+", choices=PROBLEMS, default=list(PROBLEMS), help="(default: all)"
    )
    made.add_argument(
        "--sides", nargs="+", choices=SIDES, default=list(SIDES), help="(default: all)"
    )
    made.add_argument(
        "--seeds", type=int, default=5, metavar="N", help="seeds of each (default: 5)"
    )
    made.add_argument(
        "--trials", type=int, nargs="+", default=AFTER, metavar="N", help="(default: 60 100)"
    )
    made.add_argument(
        "--log", type=Path, metavar="FILE", help="JSON lines; runs found there are not repeated"
    )
    return made


def _logged(log: Path | None) -> dict[tuple[str, str, int], Row]:
    if log is None or not log.exists():
        return {}
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return {(row["problem"], row["side"], row["seed"]): row for row in rows}


def _log(log: Path | None, row: Row) -> None:
    if log is not None:
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
