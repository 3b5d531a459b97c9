"""``python -m tuning.tidy DIR``: what a run's files take; what is of no more use is removed.

Of a finished search the snapshots go, which only spare time where it is extended: what is needed to
show, confirm, export and extend it stays, and an extended one has the same trials. Of a search that
can be gone on with only what killed workers left goes.

Exit status: 0 done; 2 bad input, named in one message; 130 interrupted; 1 anything else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tuning.commands import status_of
from tuning.errors import BadInput
from tuning.layout import program
from tuning.parsing import Parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    options = parser().parse_args(argv)
    return status_of("tidy", lambda: carry_out(options.run, options.dry_run))


def carry_out(folder: Path, dry: bool) -> None:
    """Tidy the run, or each of the folder's, and say what came of it.

    Raises:
        BadInput: there is no run; or, once the others are tidied, which were in use.
    """
    from tuning.session.tidy import runs_in, tidy
    from tuning.store.upkeep import bytes_words, size_words

    faults: list[str] = []
    for run in runs_in(folder):
        try:
            found = tidy(run, dry=dry)
        except BadInput as fault:
            faults += fault.faults
            continue
        freed = sum(found.before.values()) - sum(found.after.values())
        state = "" if found.done else " (can be gone on with: its snapshots stay)"
        what = "" if dry else f"; {bytes_words(max(0, freed))} freed"
        print(f"{run}: {size_words(found.after)}{what}{state}")
    if faults:
        raise BadInput(faults)


def parser() -> argparse.ArgumentParser:
    """The parser of the command's options."""
    made = Parser(
        prog=program("tidy"),
        description="Removes what is of no more use from a run, or from every run in a folder, and "
        "says what the rest takes: of a finished search the snapshots, which only spare time where "
        "it is extended (with the same trials). What is needed to show, confirm, export and extend "
        "it stays.",
        epilog="Exit status: 0 done; 2 bad input; 130 interrupted; 1 anything else.",
    )
    made.add_argument(
        "run", metavar="DIR", type=Path, help="run directory, or a folder of run directories"
    )
    made.add_argument(
        "--dry-run", action="store_true", help="only say what they take (default: remove)"
    )
    return made


if __name__ == "__main__":
    sys.exit(main())
