"""``python -m tuning.confirm DIR``: re-run the best schedules and the control alone, and say which
wins.

Every run is a ``replicate`` record of the run directory; what is there already is not trained
again, so a confirmation that was killed goes on where it was, and more seeds or schedules add to
those there are. The verdict is written to DIR/verdict.json (see ``tuning.findings.verdict``) and
onto the report's page.

Exit status: 0 done, whatever the verdict; 2 bad input, named in one message; 130 interrupted,
everything kept, with the command that goes on; 1 anything else.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from tuning.commands import not_finite, not_whole, not_writable, status_of
from tuning.errors import BadInput
from tuning.layout import VERDICT, program
from tuning.parsing import Parser

if TYPE_CHECKING:
    from tuning.session.confirm import Request

DEFAULT_SEEDS = 5


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    options = parser().parse_args(argv)
    return status_of("confirm", lambda: carry_out(options), lambda: _kept(options))


def carry_out(options: argparse.Namespace) -> None:
    """Confirm, print the tables, write what was asked for."""
    request = _request(options)
    from rich.console import Console

    from tuning.report.verdict_table import print_verdict
    from tuning.session.confirm import confirm
    from tuning.store.files import FILES

    verdict, remark = confirm(request)
    print_verdict(verdict, Console(markup=False, emoji=False), remark)
    if options.json is not None:
        try:
            FILES.write_atomic(options.json, verdict.to_json().encode())
        except OSError as error:
            raise BadInput(
                f"--json must be a writable file, but {options.json} is not: {error.strerror}"
            ) from None
    print(f"wrote {options.json or options.run / VERDICT}")


def parser() -> argparse.ArgumentParser:
    """The parser of the command's options."""
    made = Parser(
        prog=program("confirm"),
        description="Trains the best recipes of a run and its controls again (your own recipe for "
        "less or more time, and, where the search has them, tuned and with fewer blocks) on "
        "fresh seeds that are the same for all, one at a time with nothing beside them unless "
        "--time solo is given, and says which recipe beats each control, by how much and how sure. "
        "May be stopped and repeated: what is recorded is not trained again.",
        epilog="Exit status: 0 done; 2 bad input; 130 interrupted, everything kept; 1 anything "
        "else.",
    )
    made.add_argument("run", metavar="DIR", type=Path, help="run directory")
    made.add_argument(
        "--top",
        metavar="K",
        help="recipes of the front to confirm (default: 3, or as many as there are)",
    )
    made.add_argument(
        "--seeds",
        metavar="N",
        default=str(DEFAULT_SEEDS),
        help=f"fresh seeds for each of them, 2 or more (default: {DEFAULT_SEEDS})",
    )
    made.add_argument(
        "--target",
        metavar="VALUE",
        help="value of the workload's metric, a validation loss say, whose time is told (default: "
        "the run's own target)",
    )
    made.add_argument(
        "--time",
        metavar="KIND",
        default="measured",
        help="the seconds by which to judge: measured, alone on the device; or solo, the run's "
        "clock, for a machine on which other things run (default: measured)",
    )
    made.add_argument(
        "--concurrency",
        metavar="N",
        help="runs at once, where solo seconds decide (default: 1, as measured seconds need; with "
        "--time solo on a CPU as many as the search had)",
    )
    made.add_argument(
        "--json", metavar="FILE", type=Path, help="write the verdict to FILE as well, for machines"
    )
    return made


def _request(options: argparse.Namespace) -> Request:
    """The request that the options make.

    Raises:
        BadInput: naming every option that is wrong by itself.

    """
    from tuning.findings.verdict import Time
    from tuning.session.confirm import Request

    faults = [
        *not_whole("--top", options.top, 1, "how many recipes to confirm"),
        *not_whole(
            "--seeds", options.seeds, 2, "since one seed alone shows no spread; 5 is the default"
        ),
        *not_whole("--concurrency", options.concurrency, 1, "how many runs at once"),
        *not_finite("--target", options.target),
        *not_writable("--json", options.json),
    ]
    if options.time not in get_args(Time):
        faults.append(f"--time must be one of {', '.join(get_args(Time))}, but got {options.time}")
    if faults:
        raise BadInput(faults)
    return Request(
        options.run,
        None if options.top is None else int(options.top),
        int(options.seeds),
        None if options.target is None else float(options.target),
        options.time,
        None if options.concurrency is None else int(options.concurrency),
    )


def _kept(options: argparse.Namespace) -> str:
    return f"everything is kept. To go on:\n  {command(options)}"


def command(options: argparse.Namespace) -> str:
    """What to type to go on."""
    words = [str(options.run)]
    for flag in ("top", "seeds", "target", "time", "concurrency", "json"):
        if (value := getattr(options, flag)) is not None:
            words += [f"--{flag}", str(value)]
    return f"{program('confirm')} {shlex.join(words)}"


if __name__ == "__main__":
    sys.exit(main())
