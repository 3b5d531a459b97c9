"""What rungs tell, and what they save, read off recorded tables without training anything.

A recipe's *log gain* at a horizon is the logarithm of the own control's seconds at its loss over
its own seconds there, each decayed to its end. The first table is Kendall's τ between the log gain
at a rung and at horizon 1, and where the best recipes of horizon 1 stand at the rung. The second
replays a search that draws the recorded recipes in random order: each is trained at the rung, goes
on if it is among the best share of those seen there, or by lot (the check), and is paid for in
solo seconds. Given is the median over many orders of the seconds until one of the best twentieth
has been trained to its end.

    python -m benchmarks.rungs.tell TABLE.parquet ... [--orders N] [--json FILE]
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from benchmarks.common import Row, machine, parser, publish
from tuning.study.samplers.control_line import ControlLine
from tuning.trial.dominance import Floats
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import State

KEEPS = (1 / 2, 1 / 3, 1 / 4, 1 / 6)
CHECKS = (0.0, 0.2)
TOP = 0.05
WHOLE = 1.0


@dataclass(frozen=True)
class Looks:
    """What a table tells of its recipes, each trained at every horizon.

    Attributes:
        gains: log gain of each recipe by horizon, those that failed at −infinity.
        seconds: solo seconds, likewise; of those that failed 0.
    """

    gains: Mapping[float, Floats]
    seconds: Mapping[float, Floats]

    @classmethod
    def of(cls, table: pd.DataFrame) -> Looks:
        """From a table of ``benchmarks.rungs.record``."""
        own, rest = table[table["recipe"] == -1], table[table["recipe"] >= 0]
        line = ControlLine.through([_outcome(row) for row in own.to_dict("records")])
        assert line is not None, "the control is recorded at several horizons"
        runs = {(row["recipe"], row["horizon"]): row for row in rest.to_dict("records")}
        horizons = sorted({horizon for _, horizon in runs})
        whole = [n for n in sorted({n for n, _ in runs}) if all((n, h) in runs for h in horizons)]
        by_horizon = {h: [runs[recipe, h] for recipe in whole] for h in horizons}
        return cls(
            {h: np.array([_gain(line, row) for row in rows]) for h, rows in by_horizon.items()},
            {h: np.array([_seconds(row) for row in rows]) for h, rows in by_horizon.items()},
        )

    @property
    def rungs(self) -> list[float]:
        """The horizons below the whole one."""
        return [horizon for horizon in self.gains if horizon < WHOLE]


def _gain(line: ControlLine, row: Mapping[Hashable, Any]) -> float:
    over = row["state"] == "finished"
    return line.log_gain(row["train_seconds"], row["val_loss"]) if over else -math.inf


def _seconds(row: Mapping[Hashable, Any]) -> float:
    return float(np.nan_to_num(row["train_seconds"]))


@dataclass(frozen=True)
class Rule:
    """How a search uses a rung.

    Attributes:
        rung: its horizon.
        keep: the share of those seen there that goes on.
        check: the share of the rest that goes on by lot.
    """

    rung: float
    keep: float
    check: float


def main() -> None:
    """Print both tables for each workload."""
    made = parser(__doc__)
    made.add_argument("tables", type=Path, nargs="+", metavar="TABLE")
    made.add_argument("--orders", type=int, default=1000, metavar="N")
    options = made.parse_args()
    tables: dict[str, list[Row]] = {}
    for path in options.tables:
        looks = Looks.of(pd.read_parquet(path))
        tables[f"{path.stem}: what a rung tells"] = told(looks)
        tables[f"{path.stem}: what it saves"] = saved(looks, options.orders)
    publish(tables, options.json, machine())


def told(looks: Looks) -> list[Row]:
    """One row a rung."""
    end = looks.gains[WHOLE]
    best = np.argsort(-end)
    return [
        {
            "rung": rung,
            "recipes": len(end),
            "tau": float(kendalltau(looks.gains[rung], end).statistic),
            "place of the best": _place(looks.gains[rung], best[0]),
            "of the best five, in its best third": sum(
                _place(looks.gains[rung], each) <= len(end) / 3 for each in best[:5]
            ),
            "gain of its first": math.exp(end[np.argmax(looks.gains[rung])]),
            "best gain": math.exp(end.max()),
        }
        for rung in looks.rungs
    ]


def saved(looks: Looks, orders: int) -> list[Row]:
    """One row a rule, and without rungs first."""
    plain = statistics.median(_costs(looks, None, orders))
    rules = [Rule(*each) for each in itertools.product(looks.rungs, KEEPS, CHECKS)]
    found = [(rule, statistics.median(_costs(looks, rule, orders))) for rule in rules]
    return [
        {"rung": None, "keep": 1.0, "check": 0.0, "seconds": plain, "times less": 1.0},
        *(
            {
                "rung": rule.rung,
                "keep": rule.keep,
                "check": rule.check,
                "seconds": seconds,
                "times less": plain / seconds,
            }
            for rule, seconds in found
        ),
    ]


def _costs(looks: Looks, rule: Rule | None, orders: int) -> list[float]:
    generator = np.random.default_rng(0)
    count = len(looks.gains[WHOLE])
    return [
        seconds_to_best(looks, rule, generator.permutation(count).tolist(), generator)
        for _ in range(orders)
    ]


def seconds_to_best(
    looks: Looks, rule: Rule | None, order: Sequence[int], generator: np.random.Generator
) -> float:
    """Solo seconds until one of the best ``TOP`` (a fraction) of trials has been trained whole.

    The trials start in ``order``; infinite where none of the best goes on.
    """
    end, whole = looks.gains[WHOLE].tolist(), looks.seconds[WHOLE].tolist()
    wanted = sorted(end)[-max(1, round(TOP * len(end)))]
    spent, seen, done = 0.0, list[int](), set[int]()
    for place in order:
        seen.append(place)
        if rule is None:
            going = {place}
        else:
            spent += float(looks.seconds[rule.rung][place])
            lots = {place} if generator.random() < rule.check else set[int]()
            going = {*_kept(looks.gains[rule.rung], seen, rule.keep), *lots}
        for each in sorted(going - done):
            done.add(each)
            spent += whole[each]
            if end[each] >= wanted:
                return float(spent)
    return math.inf


def _kept(gains: Floats, seen: Sequence[int], keep: float) -> list[int]:
    """Those among the best share of all that were seen at the rung."""
    return sorted(seen, key=lambda place: -float(gains[place]))[: int(keep * len(seen))]


def _place(gains: Floats, recipe: int) -> int:
    return int((gains > gains[recipe]).sum()) + 1


def _outcome(row: Mapping[Hashable, Any]) -> Outcome:
    state: State = "finished" if row["state"] == "finished" else "failed"
    recipe = Recipe("full_update", row["horizon"])
    return Outcome(0, "control", state, recipe, row["train_seconds"], row["val_loss"])


if __name__ == "__main__":
    main()
