"""``python -m tuning.apart DIR``: what each lever of the best recipe of a run brings (an ablation).

The recipe is trained with each of its levers off in turn, and with each alone, at its own horizon
and on its own seed. Runs are rows of the run directory, on no front; what is recorded is not
trained again, so one that was killed goes on where it was. What was found is written to
DIR/apart.json (see ``tuning.findings.apart``) and onto the report's page.

Exit status: 0 done; 2 bad input, named in one message; 130 interrupted, everything kept, with the
command that goes on; 1 anything else.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.commands import not_whole, status_of
from tuning.errors import BadInput
from tuning.layout import APART, program
from tuning.parsing import Parser

if TYPE_CHECKING:
    from tuning.session.apart import Request

DEFAULT_SEEDS = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    options = parser().parse_args(argv)
    return status_of("apart", lambda: carry_out(options), lambda: _kept(options))


def carry_out(options: argparse.Namespace) -> None:
    """Take the recipe apart and print what each piece brings."""
    request = request_of(options)
    from rich.console import Console

    from tuning.report.apart import print_apart
    from tuning.session.apart import take_apart

    print_apart(take_apart(request), Console(markup=False, emoji=False))
    print(f"wrote {options.run / APART}")


def parser() -> argparse.ArgumentParser:
    """The parser of the command's options."""
    made = Parser(
        prog=program("apart"),
        description="Takes a recipe apart: trains it with each of its levers off in turn, and with "
        "each alone, one at a time with nothing beside them, and says what each brings. May be "
        "stopped and repeated: what is recorded is not trained again.",
        epilog="Exit status: 0 done; 2 bad input; 130 interrupted, everything kept; 1 anything "
        "else.",
    )
    made.add_argument("run", metavar="DIR", type=Path, help="run directory")
    made.add_argument(
        "--trial",
        metavar="N",
        help="number of the trial whose recipe it is (default: the one that the report's headline "
        "is about)",
    )
    made.add_argument(
        "--seeds",
        metavar="K",
        default=str(DEFAULT_SEEDS),
        help="seeds that each run is trained on: the trial's own, then fresh ones (default: "
        f"{DEFAULT_SEEDS})",
    )
    return made


def request_of(options: argparse.Namespace) -> Request:
    """The request that the options make.

    Raises:
        BadInput: naming every option that is wrong by itself.
    """
    from tuning.session.apart import Request

    faults = [*not_whole("--trial", options.trial, 0), *not_whole("--seeds", options.seeds, 1)]
    if faults:
        raise BadInput(faults)
    trial = None if options.trial is None else int(options.trial)
    return Request(options.run, trial, int(options.seeds))


def _kept(options: argparse.Namespace) -> str:
    return f"everything is kept. To go on:\n  {command(options)}"


def command(options: argparse.Namespace) -> str:
    """What to type to go on."""
    words = [str(options.run)]
    for flag in ("trial", "seeds"):
        if (value := getattr(options, flag)) is not None:
            words += [f"--{flag}", str(value)]
    return f"{program('apart')} {shlex.join(words)}"


if __name__ == "__main__":
    sys.exit(main())
