"""``python -m tuning.pareto``: the front of a run against its control, in the terminal and as
files.

Exit status: 0 done; 2 bad input, named in one message; 1 anything else.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuning.commands import not_finite, not_writable, status_of
from tuning.errors import BadInput
from tuning.layout import PAGE, PICTURE, program
from tuning.parsing import Parser

if TYPE_CHECKING:
    import pandas as pd

    from tuning.findings.summary import FrontSummary
    from tuning.store.store import Store


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    options = parser().parse_args(argv)
    return status_of("pareto", lambda: report(options))


def report(options: argparse.Namespace) -> None:
    """Print the front of the run and write the files asked for, or else the run's own page and
    picture.

    Raises:
        BadInput: not a run, no finished trial, a target that is no loss anything reached, an
            unwritable file.
    """
    from tuning.findings.context import background_of
    from tuning.findings.summary import read_front
    from tuning.store.store import load_frame

    target, outputs, store = _read_all(
        lambda: _target(options.target), lambda: _outputs(options), lambda: _open(options.run)
    )
    frame = load_frame(store, curves="html" in outputs)
    loss = None if target is None else store.info.metric.loss(target)
    reading = read_front(options.run, frame, loss, background_of(store))
    _print(reading)
    info = store.info.facts()
    for kind, path in outputs.items():
        _write(kind, path, reading, frame, info)


def _read_all(*readers: Callable[[], Any]) -> list[Any]:
    """What the readers return; BadInput with the faults of all of them where any refuses."""
    values, faults = [], []
    for reader in readers:
        try:
            values.append(reader())
        except BadInput as fault:
            faults += fault.faults
    if faults:
        raise BadInput(faults)
    return values


def parser() -> argparse.ArgumentParser:
    """The parser of the command's options."""
    made = Parser(
        prog=program("pareto"),
        description="Prints the front of a run: training seconds against validation loss, or the "
        "workload's own metric, beside full_update trained for less. Without an output flag it "
        "also renews report.html and front.png in DIR.",
        epilog="Exit status: 0 done; 2 bad input; 1 anything else.",
    )
    made.add_argument("run", metavar="DIR", type=Path, help="run directory")
    made.add_argument(
        "--target",
        metavar="VALUE",
        help="value of the workload's metric, a validation loss say, at which the front is read "
        "(default: the run's own target)",
    )
    for kind, what in (
        ("html", "interactive page that works offline"),
        ("png", "picture"),
        ("csv", "front and control, one row a trial"),
        ("json", "front, control and gain, for machines"),
    ):
        text = (
            f"write the {what} to FILE (default: "
            f"{'RUN' if kind in ('html', 'png') else 'not written'})"
        )
        made.add_argument(
            f"--{kind}", metavar="FILE", type=Path, help=text.replace("RUN", _own(kind))
        )
    return made


def _own(kind: str) -> str:
    return "DIR/report.html" if kind == "html" else "DIR/front.png"


def _target(text: str | None) -> float | None:
    if faults := not_finite("--target", text):
        raise BadInput(faults)
    return None if text is None else float(text)


def _outputs(options: argparse.Namespace) -> dict[str, Path]:
    """The files to write, by kind.

    Raises:
        BadInput: files that cannot be, all named at once.
    """
    from tuning.report.render import FORMATS

    asked = {kind: path for kind in FORMATS if (path := getattr(options, kind)) is not None}
    faults = [fault for kind, path in asked.items() for fault in not_writable(f"--{kind}", path)]
    if len({path.absolute() for path in asked.values()}) < len(asked):
        faults.append(
            f"each output must have its own file, but got {[str(path) for path in asked.values()]}"
        )
    if faults:
        raise BadInput(faults)
    return asked or {"html": options.run / PAGE, "png": options.run / PICTURE}


def _open(run: Path) -> Store:
    from tuning.store.store import Store

    return Store.open(run)


def _print(reading: FrontSummary) -> None:
    from rich.console import Console

    from tuning.report.front_table import print_report

    print_report(reading, Console(markup=False, emoji=False))


def _write(
    kind: str, path: Path, reading: FrontSummary, frame: pd.DataFrame, info: Mapping[str, Any]
) -> None:
    from tuning.report.render import render
    from tuning.store.files import FILES

    try:
        FILES.write_atomic(path, render(kind, reading, frame, info))
    except OSError as error:
        raise BadInput(
            f"{path} must be writable, but is not: {error.strerror}; choose another file"
        ) from None
    print(f"wrote {path}")


if __name__ == "__main__":
    sys.exit(main())
