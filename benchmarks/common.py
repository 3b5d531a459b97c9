"""What the benchmarks share: taking turns, describing the machine, tables and JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tuning.config.resources import usable_cpus

Row = dict[str, Any]
LIBRARIES = ("torch", "ray", "optuna", "pyarrow", "pandas", "numpy")


def parser(doc: str | None, *, rounds: int | None = None) -> argparse.ArgumentParser:
    """The command line of a benchmark: its docstring, ``--json`` and perhaps ``--rounds``.

    ``rounds`` is the default of ``--rounds``; None leaves the option out.
    """
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--json", type=Path, metavar="FILE", help="write the table there as JSON (default: do not)"
    )
    if rounds is not None:
        made.add_argument(
            "--rounds", type=int, default=rounds, metavar="N", help=f"rounds (default: {rounds})"
        )
    return made


def interleaved(
    actions: Mapping[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each action in each of ``rounds`` rounds in turn, after one to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(rounds + 1):
        for name, action in actions.items():
            start = clock()
            action()
            if turn:
                seconds[name].append(clock() - start)
    return seconds


def ratio_of_medians(seconds: Sequence[float], reference: Sequence[float]) -> float:
    """How many times as long ``seconds`` are as ``reference``."""
    return statistics.median(seconds) / statistics.median(reference)


def spread(values: Sequence[float]) -> float:
    """Half the interquartile range over the median."""
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / 2 / middle


def machine() -> Row:
    """What was measured on, and with what."""
    cpuinfo = Path("/proc/cpuinfo")
    names = [
        line.split(":")[1].strip() for line in _lines(cpuinfo) if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": usable_cpus(),
        "load before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in LIBRARIES},
    }


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []


def publish(tables: Mapping[str, Sequence[Row]], json_file: Path | None, about: Row) -> None:
    """Print each table under its title, then the machine.

    All of it is written to ``json_file`` if there is one.
    """
    console = Console(width=None if Console().is_terminal else 140)
    for title, rows in tables.items():
        table = Table(title=title)
        for column in rows[0]:
            table.add_column(column, justify="right")
        for row in rows:
            table.add_row(*(_cell(row.get(column)) for column in rows[0]))
        console.print(table)
    console.print("  ".join(f"{name} {value}" for name, value in about.items()), highlight=False)
    if json_file is not None:
        json_file.write_text(
            json.dumps({"machine": about, "tables": tables}, indent=1, default=str) + "\n"
        )


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
