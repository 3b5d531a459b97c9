"""What early stopping saves and what it costs, on searches of which every ending is known.

Each search is gone through as if the rule had been on: a trial is given its limits by those that
were over before, and one that is stopped is not seen again. Counted are

- stopped, and the share of all solo seconds that this saves;
- wrong: stopped, or let run on to check, and below the front of its time at its end; as a share of
  all trials that could be stopped and of those that reach the front, both of which the rule says
  are at most 1 − P;
- front hit: the share of the members of the final front that are stopped or let run on to check;
- how many are let run on to check, and how many of those are wrong: what a search itself can see of
  this.

    python -m benchmarks.truth.stopping [RUN ...] [--searches N] [--trials N] [--json FILE]

RUN: directories of searches that were recorded with --no-stopping (stopped trials in them are left
out). The synthetic families are in ``benchmarks.truth.stopping_curves``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.common import Row, machine, parser, publish
from benchmarks.truth.stopping_curves import BASELINE_SECONDS, FAMILIES, search
from tuning.findings.front import nondominated
from tuning.store.store import Store
from tuning.study.stopping import STOPPABLE, Staircase, Stopping
from tuning.trial.trial import AGAIN, TrialRecord, TrialSpec

CONFIDENCES = (0.5, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class Hindsight:
    """What the rule would have done to a search; numbers of trials, and seconds.

    Attributes:
        judged: trials that could be stopped.
        reaching: those of them that were below the front of their time at their end.
        stopped, run_on: those that crossed a limit, by what becomes of them.
        front: those of ``judged`` on the front when all is over.
        saved, seconds: solo seconds that stopping saves, of all.
    """

    judged: set[int]
    reaching: set[int]
    stopped: set[int]
    run_on: set[int]
    front: set[int]
    saved: float
    seconds: float

    @property
    def wrong(self) -> set[int]:
        """Those that crossed a limit and would have reached the front."""
        return (self.stopped | self.run_on) & self.reaching


def hindsight(
    records: Sequence[TrialRecord], confidence: float, seed: int, baseline_seconds: float
) -> Hindsight:
    """Go through a search, by number, with the rule on."""
    rule, seen = Stopping(confidence, seed=seed, baseline_seconds=baseline_seconds), Staircase()
    judged, reaching, stopped, run_on = (set[int]() for _ in range(4))
    saved = 0.0
    for record in records:
        end = seconds_and_loss(record)
        if record.origin in STOPPABLE:
            judged.add(record.number)
            if end[1] < seen.least(end[0]):
                reaching.add(record.number)
        limits = rule.limits(spec_of(record))
        step = None if limits is None else limits.crossed(record.curve)
        if limits is not None and step is not None:
            if not limits.runs_on:
                stopped.add(record.number)
                saved += end[0] - next(
                    point.train_seconds for point in record.curve if point.step == step
                )
                continue
            run_on.add(record.number)
        seen.add(*end)
        rule.tell(dataclasses.replace(record, would_stop_at_step=step))
    ends = np.array([seconds_and_loss(record) for record in records])
    front = {
        record.number for record, kept in zip(records, nondominated(*ends.T), strict=True) if kept
    }
    return Hindsight(
        judged, reaching, stopped, run_on, front & judged, saved, float(ends[:, 0].sum())
    )


def spec_of(record: TrialRecord) -> TrialSpec:
    """What the trial was to do."""
    return TrialSpec(
        **{field.name: getattr(record, field.name) for field in dataclasses.fields(TrialSpec)}
    )


def seconds_and_loss(record: TrialRecord) -> tuple[float, float]:
    """Where a finished trial ended."""
    assert record.train_seconds is not None, "the trial has finished"
    assert record.val_loss is not None, "the trial has finished"
    return record.train_seconds, record.val_loss


def row(name: str, confidence: float, searches: Iterable[Hindsight]) -> Row:
    """Sums over searches as shares of what they are part of; None of nothing."""
    found = list(searches)

    def total(name: str) -> int:
        return sum(len(getattr(each, name)) for each in found)

    def share(part: float, whole: float) -> float | None:
        return part / whole if whole else None

    hit = sum(len((each.stopped | each.run_on) & each.front) for each in found)
    checked = sum(len(each.run_on & each.reaching) for each in found)
    return {
        "search": name,
        "confidence": confidence,
        "judged": total("judged"),
        "stopped": share(total("stopped"), total("judged")),
        "seconds saved": share(
            sum(each.saved for each in found), sum(each.seconds for each in found)
        ),
        "wrong, of all": share(total("wrong"), total("judged")),
        "1 - P": 1 - confidence,
        "wrong, of those reaching": share(total("wrong"), total("reaching")),
        "front hit": share(hit, total("front")),
        "run on": total("run_on"),
        "of them wrong": checked,
    }


def recorded(run: Path) -> tuple[list[TrialRecord], int, float]:
    """The finished trials of a run, its search's seed, and its baseline's seconds."""
    store = Store.open(run)
    records = [
        record
        for record in store.records()
        if record.state == "finished" and record.origin not in AGAIN
    ]
    baseline = next(record for record in records if record.origin == "baseline")
    return records, int(store.info.config["seed"]), seconds_and_loss(baseline)[0]


def of_runs(runs: Sequence[Path]) -> list[Row]:
    """A row for each run and confidence."""
    searches = {run.name: recorded(run) for run in runs}
    return [
        row(name, p, [hindsight(found[0], p, *found[1:])])
        for name, found in searches.items()
        for p in CONFIDENCES
    ]


def of_families(searches: int, trials: int) -> list[Row]:
    """A row for each family and confidence, over so many searches of so many trials."""
    rows = []
    for name, family in FAMILIES.items():
        made = [
            search(family, trials, np.random.default_rng((seed, trials)))
            for seed in range(searches)
        ]
        rows += [
            row(
                name,
                p,
                [hindsight(each, p, seed, BASELINE_SECONDS) for seed, each in enumerate(made)],
            )
            for p in CONFIDENCES
        ]
    return rows


def main() -> None:
    """Run the benchmark."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN", help="directories of recorded searches"
    )
    arguments.add_argument(
        "--searches", type=int, default=100, metavar="N", help="of each family (default: 100)"
    )
    arguments.add_argument(
        "--trials", type=int, default=100, metavar="N", help="of each of them (default: 100)"
    )
    options = arguments.parse_args()
    about = machine()
    tables = {"synthetic searches": of_families(options.searches, options.trials)}
    if options.runs:
        tables = {"recorded searches": of_runs(options.runs), **tables}
    publish(tables, options.json, about)


if __name__ == "__main__":
    main()
