"""``python -m tuning.search``: argv -> SearchConfig -> a search, its progress, its front.

Exit status: 0 done; 2 bad input, named in one message; 130 interrupted, everything kept; 1 anything
else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.config.arguments import NewSearch, ShowSpace, parse
from tuning.config.config import Resume
from tuning.errors import BadInput, Interrupted, SearchFailed

if TYPE_CHECKING:
    from tuning.session.conduct import SearchResult

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    run = None
    try:
        request = parse(sys.argv[1:] if argv is None else list(argv))
        if isinstance(request, ShowSpace):
            show(request)
            return 0
        run = Path(request.run if isinstance(request, Resume) else request.config.run)
        carry_out(request)
    except BadInput as fault:
        print(f"python -m tuning.search: cannot do what was asked:\n{fault}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"Interrupted; everything is kept. To go on:\n  {stop}", file=sys.stderr)
        return INTERRUPTED
    except SearchFailed as failure:
        print(f"python -m tuning.search: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Interrupted; finished trials are kept. {_how_to_go_on(run)}", file=sys.stderr)
        return INTERRUPTED
    return 0


def show(request: ShowSpace) -> None:
    """Print the knobs of a space."""
    from tuning.report.space_table import print_space

    print_space(request.space)


def carry_out(request: NewSearch | Resume) -> None:
    """Do what was asked for, and print what came of it."""
    from tuning.session.search import resume_search, run_search

    if isinstance(request, NewSearch):
        result = run_search(request.config)
    else:
        options = {**request.changes, **request.given}
        result = resume_search(request.run, options, retry_failed=request.retry_failed)
    print_result(result)


def print_result(result: SearchResult) -> None:
    """The front, why the search ended early if it did, and where everything is."""
    from rich.console import Console

    from tuning.findings.context import background_of
    from tuning.findings.summary import summary
    from tuning.report.front_table import print_report
    from tuning.report.render import PAGE, PICTURE
    from tuning.session.conduct import resume_command
    from tuning.store.store import Store

    console = Console()
    reading = summary(result.trials, background=background_of(Store.open(result.run)))
    if reading.finished:
        print_report(reading, console)
    else:
        console.print("No trial finished, so there is no front.")
    if result.stop_reason:
        console.print(f"Stopped early: {result.stop_reason}. To go on:", soft_wrap=True)
        console.print(f"  {resume_command(result.run)}", soft_wrap=True, highlight=False)
    for name, what in ((PAGE, "report"), (PICTURE, "picture"), ("trials", "trials (Parquet)")):
        if (result.run / name).exists():
            console.print(f"{what + ':':<18}{result.run / name}", soft_wrap=True, highlight=False)


def _how_to_go_on(run: Path | None) -> str:
    if run is None or not (run / "run.json").exists():
        return "Nothing was created."
    from tuning.session.conduct import resume_command

    return f"To go on:\n  {resume_command(run)}"


if __name__ == "__main__":
    sys.exit(main())
