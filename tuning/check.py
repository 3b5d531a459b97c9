"""``python -m tuning.check``: whether a workload is sound, what it is, what a search of it costs.

Exit status: 0 sound, with or without remarks; 2 refused, or bad input; 130 interrupted; 1 anything
else.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.commands import not_writable, status_of
from tuning.errors import BadInput
from tuning.layout import program
from tuning.parsing import Parser

if TYPE_CHECKING:
    from tuning.session.check import Checked

DEFAULT_WORKLOAD = "byte_lm"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    options = parser().parse_args(argv)
    refused: list[str] = []
    work = partial(carry_out, options.workload, options.corpus, options.json, refused)
    return status_of("check", work) or (2 if refused else 0)


def carry_out(workload: str, corpus: Path | None, to: Path | None, refused: list[str]) -> None:
    """Check, print what was found, and write it where that was asked for.

    Args:
        workload: its name.
        corpus: directory of text for one that takes it.
        to: the file to write, or None.
        refused: takes why nothing can be trained.

    Raises:
        BadInput: there is no such workload, or the file cannot be written.
    """
    from tuning.session.check import check

    if faults := not_writable("--json", to):
        raise BadInput(faults)
    checked = check(workload, corpus)
    refused += checked.soundness.refusals
    show(checked)
    if to is not None:
        _write(to, checked)


def show(checked: Checked) -> None:
    """Print what was found."""
    from models.registry import own_knobs_of
    from tuning.report.soundness_table import anatomy_lines, row, search_line, soundness_lines
    from tuning.session.check import TRIALS

    lines = list(soundness_lines(checked.workload, checked.soundness))
    if checked.anatomy is not None:
        lines += ["", *anatomy_lines(checked.anatomy)]
        own = own_knobs_of(checked.workload).items()
        told = [f"{name}, {each.range.span()}, else {each.default}" for name, each in own]
        lines += [row("own knobs", "; ".join(told))] if told else []
    if checked.anatomy is not None and checked.search_seconds is not None:
        lines += [search_line(checked.anatomy, TRIALS, checked.at_once, checked.search_seconds)]
    print("\n".join(lines))


def parser() -> argparse.ArgumentParser:
    """The parser of the command's options."""
    made = Parser(
        prog=program("check"),
        description="Tries whether a workload keeps what a search relies on: the same model, "
        "batches and losses each time, gradients at every depth, and a training that goes on in a "
        "new process, to the bit, from where it was saved. Says what follows from what does not "
        "hold, what the workload is, what of it can be searched, and about how long a search "
        "takes. A search makes the same check before it begins.",
        epilog="Exit status: 0 sound, with or without remarks; 2 refused, or bad input; 130 "
        "interrupted; 1 anything else.",
    )
    made.add_argument(
        "--workload",
        metavar="W",
        default=DEFAULT_WORKLOAD,
        help="what is checked: a built-in's name or package.module:factory (default: "
        f"{DEFAULT_WORKLOAD})",
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
        help="write everything to FILE, for machines (default: do not)",
    )
    return made


def _write(path: Path, checked: Checked) -> None:
    from tuning.store.files import FILES

    text = json.dumps(checked.document(), indent=1, allow_nan=False) + "\n"
    try:
        FILES.write_atomic(path, text.encode())
    except OSError as error:
        raise BadInput(
            f"--json must be a writable file, but {path} is not: {error.strerror}"
        ) from None


if __name__ == "__main__":
    status = main()
    gc.freeze()  # looking through torch for garbage would take the end of the process a second
    sys.exit(status)
