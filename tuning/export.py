"""``python -m tuning.export``: a trial's settings as TOML that a ``BlockUpdater``'s policy is
loaded from.

Where the trial pulled levers, ``models.levers.levers.load_levers`` reads them from the same file.

Exit status: 0 done; 2 bad input, named in one message; 1 anything else.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.errors import BadInput, SearchFailed

if TYPE_CHECKING:
    import pandas as pd

    from tuning.findings.rows import Row

FACTS = ("number", "workload", "seed", "horizon", "train_seconds", "val_loss", "target_loss")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    options = _parser().parse_args(argv)
    try:
        export(options.run, options.trial, options.output)
    except BadInput as fault:
        print(f"python -m tuning.export: cannot do what was asked:\n{fault}", file=sys.stderr)
        return 2
    except SearchFailed as failure:
        print(f"python -m tuning.export: {failure}", file=sys.stderr)
        return 1
    return 0


def export(run: Path, trial: str, output: Path | None) -> None:
    """Write trial ``trial`` (a number, or ``best``) to ``output``, or print it.

    Raises:
        BadInput: not a run, no such finished trial, settings of a policy not known here, an
            unwritable file.
    """
    from tuning.trial.recipe import recipe_of

    number = _number(trial)
    row = chosen(_load(run), number)
    text = settings_text(row)
    if output is None:
        sys.stdout.write(text)
        return
    _write(output, text)
    print(
        f"wrote the settings of trial {row['number']} ({recipe_of(row).name}) to {output}",
        file=sys.stderr,
    )


def chosen(frame: pd.DataFrame, number: int | None) -> Row:
    """The trial of that number, which must have finished; with None the best one (see ``best``).

    Raises:
        BadInput: there is no such trial, or it did not finish.
    """
    from tuning.findings.rows import rows_of

    if number is None:
        return rows_of(best(frame).to_frame().T)[0]
    found = frame[frame["number"] == number]
    if found.empty:
        raise BadInput(
            f"--trial must be a recorded trial's number or best, but got {number}; "
            f"{_recorded(frame)}"
        )
    row = rows_of(found)[0]
    if row["state"] != "finished":
        ending = "was stopped" if row["state"] == "stopped" else "failed"
        raise BadInput(
            f"--trial must be a finished trial, but trial {number} {ending}; choose another"
        )
    return row


def best(frame: pd.DataFrame) -> pd.Series:
    """The front's member with the least seconds at or below the target; if none reached it, the
    lowest loss.

    Raises:
        BadInput: no trial has finished.
    """
    from tuning.findings.front import front
    from tuning.findings.summary import fastest_at, recorded_target

    members, target = front(frame), recorded_target(frame)
    if members.empty:
        raise BadInput(
            f"--trial best needs a finished trial, but there is none; {_recorded(frame)}"
        )
    found = None if target is None else fastest_at(members, target)
    if found is not None:
        return found
    lowest = members.iloc[-1]
    why = (
        "no target was set"
        if target is None
        else f"no finished trial reached the target {target:.6g}"
    )
    print(
        f"{why}: taking the lowest loss, {lowest['val_loss']:.6g} of trial {lowest['number']}",
        file=sys.stderr,
    )
    return lowest


def settings_text(row: Row) -> str:
    """The policy's settings, every one of them, those of the levers if any is pulled, and where
    they come from.

    Raises:
        BadInput: the policy or one of the settings is not known here.
    """
    from models.levers.levers import divide_knobs, make_levers
    from policies.registry import make_policy
    from policies.settings import dump_policy
    from tuning.findings.rows import knobs_of

    try:
        own, others = divide_knobs(knobs_of(row))
        policy, levers = make_policy(str(row["policy"]), own), make_levers(others)
    except ValueError as error:
        raise BadInput(
            f"trial {row['number']} must have settings this version knows, but {error}"
        ) from None
    facts = [f"{name} = {_toml(row[name])}" for name in FACTS if row.get(name) is not None]
    pulled = (
        ["[levers]", *(f"{name} = {_toml(value)}" for name, value in others.items()), ""]
        if levers.used
        else []
    )
    return "\n".join([dump_policy(policy), *pulled, "[trial]", *facts]) + "\n"


def _toml(value: object) -> str:
    """A string, number or boolean as TOML.

    JSON writes all of these in a way that TOML reads alike.
    """
    return json.dumps(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tuning.export",
        description="Writes the settings of a trial as TOML, from which "
        "policies.settings.load_policy makes "
        "the policy again.",
        epilog="Exit status: 0 done; 2 bad input; 1 anything else.",
    )
    parser.add_argument("run", metavar="DIR", type=Path, help="run directory")
    parser.add_argument(
        "--trial",
        metavar="N|best",
        required=True,
        help="number of a finished trial; or best: the front's member with the least seconds at or "
        "below the "
        "run's target, or with the lowest loss where none reached it",
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="file to write (default: standard output)"
    )
    return parser


def _number(text: str) -> int | None:
    if text == "best":
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadInput(
            f"--trial must be a trial's number, a whole number >= 0, or best, but got {text!r}"
        )
    return int(text)


def _load(run: Path) -> pd.DataFrame:
    from tuning.store.store import Store, load_frame

    return load_frame(Store.open(run), curves=False)


def _recorded(frame: pd.DataFrame) -> str:
    if frame.empty:
        return "the run has no recorded trials yet"
    return (
        f"recorded are {len(frame)} trials, numbers {frame['number'].min()} to "
        f"{frame['number'].max()}"
    )


def _write(path: Path, text: str) -> None:
    from tuning.report.render import write

    try:
        write(path, text.encode())
    except OSError as error:
        raise BadInput(f"-o must be a writable file, but {path} is not: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
