"""``python -m tuning.compare``: the research note's table at equal steps and at equal time, the
control beside it.

full_update, static_suffix and dynamic_suffix with the presets ``early``, ``tuned`` and
``tuned_v2``. The note gives the results of its runs and not their settings; the presets
(``policies.presets``) are reconstructed to have the character it describes.

Exit status: 0 done; 2 bad input, named in one message; 130 interrupted, nothing written; 1 anything
else.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.commands import not_whole, not_writable, status_of
from tuning.errors import BadInput, SearchFailed
from tuning.layout import program
from tuning.parsing import Parser

if TYPE_CHECKING:
    from tuning.session.compare import Plan
    from tuning.session.listed import Subject

DEFAULT_WORKLOAD = "teacher_student"
DEFAULT_SEEDS = 3


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be compared; every option in it is valid."""

    subject: Subject
    seeds: tuple[int, ...]
    json: Path | None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    options = parser().parse_args(argv)
    return status_of("compare", lambda: carry_out(request_of(options)))


def carry_out(request: Request) -> None:
    """Calibrate, train, print the table, write what was asked for."""
    from rich.console import Console

    from tuning.findings.comparison import against_control, rows_of, summary_of
    from tuning.report.comparison_table import Comparison, print_comparison
    from tuning.session.compare import Plan, compared, measured_costs

    _say(f"calibrating the clock of {request.subject.workload.name}")
    try:
        costs = measured_costs(request.subject.workload)
    except ValueError as fault:
        raise BadInput(str(fault)) from None
    except Exception as fault:
        raise SearchFailed(
            f"the workload must train, but it raised {type(fault).__name__}: {fault}"
        ) from fault
    for disturbance in costs.disturbances:
        _say(f"warning: the clock was disturbed: {disturbance}")
    plan = Plan(request.subject, costs, request.seeds)
    _say(f"{plan.runs} runs of at most {plan.baseline:.3g} s")
    rows = rows_of(compared(plan, _say), plan.metric)
    found = Comparison(summary_of(rows), against_control(rows), plan.metric)
    print_comparison(found, Console(markup=False, emoji=False), costs.disturbances)
    if request.json is not None:
        _write(request.json, document(plan, rows))


def document(plan: Plan, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The JSON document that ``--json`` writes: the rows, their means, what the control says, and
    what all of it was measured on.
    """
    from tuning.findings.comparison import against_control, summary_of, verdict
    from tuning.session.compare import settings

    comparisons = against_control(rows)
    return {
        "workload": plan.subject.workload.name,
        "fingerprint": plan.subject.workload.fingerprint,
        "metric": dataclasses.asdict(plan.metric),
        "device": plan.costs.device,
        "num_blocks": plan.costs.num_blocks,
        "baseline_steps": plan.subject.workload.steps,
        "baseline_seconds": plan.baseline,
        "seeds": list(plan.seeds),
        "settings": settings(),
        "calibration": dataclasses.asdict(plan.costs),
        "rows": list(rows),
        "summary": summary_of(rows),
        "against_control": [dataclasses.asdict(comparison) for comparison in comparisons],
        "verdict": verdict(comparisons, plan.metric),
    }


def parser() -> argparse.ArgumentParser:
    """The parser of the command's options."""
    made = Parser(
        prog=program("compare"),
        description="Trains full_update, static_suffix and dynamic_suffix (presets early, tuned "
        "and tuned_v2) one at "
        "a time with nothing beside them, at equal steps and at equal time, and full_update for as "
        "long as each "
        "schedule took: the control. Prints one table over the seeds. Settings of the presets are "
        "reconstructed from "
        "the results that the research note gives.",
        epilog="Exit status: 0 done; 2 bad input; 130 interrupted, nothing written; 1 anything "
        "else.",
    )
    made.add_argument(
        "--workload",
        metavar="W",
        default=DEFAULT_WORKLOAD,
        help=f"what is trained: a built-in's name or package.module:factory (default: "
        f"{DEFAULT_WORKLOAD})",
    )
    made.add_argument(
        "--seeds",
        metavar="N",
        default=str(DEFAULT_SEEDS),
        help="seeds that each schedule is trained on, counted up from --seed; a count, 2 or more "
        "to tell a "
        f"difference from chance (default: {DEFAULT_SEEDS})",
    )
    made.add_argument(
        "--seed", metavar="K", default="0", help="the first seed; a whole number >= 0 (default: 0)"
    )
    made.add_argument(
        "--corpus",
        metavar="DIR",
        type=Path,
        help="directory of text to train on (default: the workload's own)",
    )
    made.add_argument(
        "--json",
        metavar="FILE",
        type=Path,
        help="write every run and the means to FILE, for machines (default: do not)",
    )
    return made


def request_of(options: argparse.Namespace) -> Request:
    """What the options ask for.

    Raises:
        BadInput: naming every option that is wrong.
    """
    faults = [
        *not_whole("--seeds", options.seeds, 1),
        *not_whole("--seed", options.seed, 0),
        *not_writable("--json", options.json),
    ]
    subject = _subject(options.workload, options.corpus, faults)
    if faults or subject is None:
        raise BadInput(faults)
    first = int(options.seed)
    return Request(subject, tuple(range(first, first + int(options.seeds))), options.json)


def _subject(name: str, corpus: Path | None, faults: list[str]) -> Subject | None:
    from tuning.session.listed import Subject

    try:
        return Subject.find(name, corpus)
    except ValueError as fault:
        faults.append(str(fault))
        return None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _write(path: Path, content: dict[str, Any]) -> None:
    from tuning.store.files import FILES

    try:
        FILES.write_atomic(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    except OSError as error:
        raise BadInput(
            f"--json must be a writable file, but {path} is not: {error.strerror}"
        ) from None
    _say(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
