"""``python -m tuning.search``: argv -> SearchConfig -> a search, its progress, its front.

Exit status: 0 done; 2 bad input, named in one message; 130 interrupted, everything kept; 1 anything
else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from models.late_dynamo import compile_late
from tuning.commands import status_of
from tuning.config.arguments import NewSearch, ShowSpace, build_parser, parse
from tuning.config.resume import Resume
from tuning.layout import PAGE, PICTURE, RUN_JSON, TRIALS, resume_command
from tuning.loading import loading

if TYPE_CHECKING:
    from tuning.session.conduct import SearchResult


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    asked: list[Path] = []
    words = sys.argv[1:] if argv is None else list(argv)
    return status_of("search", lambda: _search(words, asked), lambda: _kept(asked))


def parser() -> argparse.ArgumentParser:
    """The parser of the command's options."""
    return build_parser()


def _search(argv: Sequence[str], asked: list[Path]) -> None:
    """Do what ``argv`` asks for; ``asked`` is given the run directory once that is known."""
    request = parse(argv)
    if isinstance(request, ShowSpace):
        show(request)
        return
    asked.append(Path(request.run if isinstance(request, Resume) else request.config.run))
    carry_out(request)


def show(request: ShowSpace) -> None:
    """Print the knobs of a space."""
    from tuning.report.space_table import print_space

    print_space(request.space)


def carry_out(request: NewSearch | Resume) -> None:
    """Do what was asked for, and print what came of it."""
    with loading():
        compile_late()
        from tuning.session.search import carry_on, run_search

    if isinstance(request, NewSearch):
        result = run_search(request.config, faults=request.faults)
    else:
        result = carry_on(request)
    print_result(result)


def print_result(result: SearchResult) -> None:
    """The front, why the search ended early if it did, and where everything is."""
    from rich.console import Console

    from tuning.findings.context import background_of
    from tuning.findings.summary import summary
    from tuning.report.front_table import print_report
    from tuning.store.store import Store
    from tuning.store.upkeep import size_words, sizes

    console = Console(markup=False, emoji=False)
    reading = summary(result.trials, background=background_of(Store.open(result.run)))
    if reading.finished:
        print_report(reading, console)
    else:
        console.print("No trial finished, so there is no front.")
    if result.stop_reason:
        console.print(f"Stopped early: {result.stop_reason}. To go on:", soft_wrap=True)
        console.print(f"  {resume_command(result.run)}", soft_wrap=True, highlight=False)
    for name, what in ((PAGE, "report"), (PICTURE, "picture"), (TRIALS, "trials (Parquet)")):
        if (result.run / name).exists():
            console.print(f"{what + ':':<18}{result.run / name}", soft_wrap=True, highlight=False)
    console.print(f"{'size:':<18}{size_words(sizes(result.run))}", highlight=False)


def _kept(asked: Sequence[Path]) -> str:
    if not asked or not (asked[0] / RUN_JSON).exists():
        return "nothing was created."
    return f"everything is kept. To go on:\n  {resume_command(asked[0])}"


if __name__ == "__main__":
    sys.exit(main())
