"""``python -m tuning.check``: whether a workload is sound, what it is, what a search of it costs.

Exit status: 0 sound, with or without remarks; 2 refused, or bad input; 130 interrupted; 1 anything
else.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.errors import BadInput

if TYPE_CHECKING:
    from tuning.session.check import Checked

DEFAULT_WORKLOAD = "byte_lm"
INTERRUPTED = 130
NAME = "python -m tuning.check"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    options = _parser().parse_args(argv)
    try:
        return carry_out(options.workload, options.corpus, options.json)
    except BadInput as fault:
        print(f"{NAME}: cannot do what was asked:\n{fault}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; nothing was written.", file=sys.stderr)
        return INTERRUPTED


def carry_out(workload: str, corpus: Path | None, to: Path | None) -> int:
    """Check, print what was found, and write it where that was asked for; the exit status.

    Raises:
        BadInput: there is no such workload, or the file cannot be written.
    """
    from tuning.session.check import check

    if to is not None and not to.absolute().parent.is_dir():
        raise BadInput(f"--json must lie in a directory that exists, but {to.parent} does not")
    checked = check(workload, corpus)
    show(checked)
    if to is not None:
        _write(to, checked)
    return 2 if checked.soundness.refusals else 0


def show(checked: Checked) -> None:
    """Print what was found."""
    from tuning.report.soundness_table import anatomy_lines, search_line, soundness_lines
    from tuning.session.check import TRIALS

    lines = list(soundness_lines(checked.workload, checked.soundness))
    if checked.anatomy is not None:
        lines += ["", *anatomy_lines(checked.anatomy)]
    if checked.anatomy is not None and checked.search_seconds is not None:
        lines += [search_line(checked.anatomy, TRIALS, checked.at_once, checked.search_seconds)]
    print("\n".join(lines))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=NAME,
        description="Tries whether a workload keeps what a search relies on: the same model, "
        "batches and losses each time, gradients at every depth, and a training that goes on in a "
        "new process, to the bit, from where it was saved. Says what follows from what does not "
        "hold, what the workload is, what of it can be searched, and about how long a search "
        "takes. A search makes the same check before it begins.",
        epilog="Exit status: 0 sound, with or without remarks; 2 refused, or bad input; 130 "
        "interrupted; 1 anything else.",
    )
    parser.add_argument(
        "--workload",
        metavar="W",
        default=DEFAULT_WORKLOAD,
        help="what is checked: a built-in's name or package.module:factory (default: "
        f"{DEFAULT_WORKLOAD})",
    )
    parser.add_argument(
        "--corpus",
        metavar="DIR",
        type=Path,
        help="directory of text to train on (default: the workload's own)",
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        type=Path,
        help="write everything to FILE, for machines (default: do not)",
    )
    return parser


def _write(path: Path, checked: Checked) -> None:
    text = json.dumps(checked.document(), indent=1, allow_nan=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(
            f"--json must be a writable file, but {path} is not: {error.strerror}"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
