"""``python -m tuning.export``: a trial as TOML, from which ``tuning.load_recipe`` repeats it in any
loop.

``policies.settings.load_policy`` and ``models.levers.levers.load_levers`` read the policy and the
levers alone from the same file. ``best`` is the trial that the report names; where nothing beat
training for less, the control.

Exit status: 0 done; 2 bad input, named in one message; 1 anything else.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tuning.commands import status_of
from tuning.errors import BadInput
from tuning.layout import program
from tuning.parsing import Parser
from tuning.trial.clock import CostTable
from tuning.trial.course import Timetable
from tuning.trial.metric import LOSS, Metric
from tuning.trial.recipe_file import RecipeFile, baseline_of
from tuning.trial.variants import known_variant, table_for

if TYPE_CHECKING:
    import pandas as pd

    from policies.rules import Scalar
    from tuning.findings.context import Background
    from tuning.findings.rows import Row
    from tuning.store.info import RunInfo
    from tuning.store.store import Store

FACTS = (
    "number",
    "workload",
    "seed",
    "horizon",
    "steps",
    "train_seconds",
    "val_loss",
    "target_loss",
    "metric",
    "val_metric",
    "target_metric",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    options = parser().parse_args(argv)
    return status_of("export", lambda: carry_out(options))


def carry_out(options: argparse.Namespace) -> None:
    """Write a trial's recipe, tell every trial elsewhere, or both.

    Raises:
        BadInput: neither was asked for; and as ``export`` and ``tell`` do.
    """
    if options.trial is None and options.to is None:
        raise BadInput(
            "one of --trial N|best, a recipe, and --to KIND WHERE, the whole run for another tool, "
            "must be given, but got neither"
        )
    if options.trial is not None:
        export(options.run, options.trial, options.output)
    if options.to is not None:
        tell(options.run, *options.to)


def tell(run: Path, kind: str, where: str) -> None:
    """Tell every trial of the run to a destination of ``tuning.elsewhere``.

    Raises:
        BadInput: not a run, no such destination, or one that refuses.
    """
    from tuning.elsewhere.place import Place, kinds
    from tuning.session.telling import source_of

    place, store = Place(kind, where), _open(run)
    if faults := place.faults("--to"):
        raise BadInput(faults)
    records = store.records()
    try:
        destination = place.open(source_of(store))
        for record in records:
            destination.tell(record)
        destination.close()
    except Exception as error:
        raise BadInput(
            f"--to {kind} is followed by {kinds()[kind].meaning}, and must be able to write "
            f"{where!r}, but got {type(error).__name__}: {error}"
        ) from error
    print(f"told {kind} {where} of {len(records)} trials", file=sys.stderr)


def export(run: Path, trial: str, output: Path | None) -> None:
    """Write trial ``trial`` (a number, or ``best``) to ``output``, or print it.

    Raises:
        BadInput: not a run, no such finished trial, settings of a policy not known here, an
            unwritable file.
    """
    from tuning.findings.context import background_of
    from tuning.trial.recipe import recipe_of

    number, store = _number(trial), _open(run)
    known = background_of(store) if number is None else None
    row = chosen(_load(store), number, known)
    text = settings_text(row, store.info.metric, store.info)
    _warn_of_another_workload(run)
    if output is None:
        sys.stdout.write(text)
        return
    _write(output, text)
    print(
        f"wrote the settings of trial {row['number']} ({recipe_of(row).name}) to {output}",
        file=sys.stderr,
    )


def chosen(frame: pd.DataFrame, number: int | None, background: Background | None = None) -> Row:
    """The trial of that number, which must have finished; with None the best one (see ``best``).

    Raises:
        BadInput: there is no such trial, or it did not finish.
    """
    from tuning.findings.rows import rows_of

    if number is None:
        return rows_of(best(frame, background).to_frame().T)[0]
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


def best(frame: pd.DataFrame, background: Background | None = None) -> pd.Series:
    """The row that ``tuning.findings.best.best`` picks; what is to be said about it is printed.

    Raises:
        BadInput: no trial has finished.
    """
    from tuning.findings.best import best as best_of

    if (found := best_of(frame, background)) is None:
        raise BadInput(
            f"--trial best needs a finished trial, but there is none; {_recorded(frame)}"
        )
    row, remark = found
    if remark:
        print(remark, file=sys.stderr)
    return row


def settings_text(row: Row, metric: Metric = LOSS, info: RunInfo | None = None) -> str:
    """The policy's settings, every one of them, those of the levers that are pulled, the workload's
    own knobs that are turned, where they come from, and with the run's ``info`` what repeats the
    trial, unless own knobs are turned.

    Raises:
        BadInput: the policy or one of the settings is not known here.
    """
    from models.levers.levers import divide_knobs, make_levers
    from models.levers.own import own_values, without_own
    from policies.registry import make_policy
    from tuning.findings.rows import knobs_of

    try:
        knobs = knobs_of(row)
        _refuse_strangers(own_values(knobs), info)
        policys, others = divide_knobs(without_own(knobs))
        policy, levers = make_policy(str(row["policy"]), policys), make_levers(others)
    except ValueError as error:
        raise BadInput(
            f"trial {row['number']} must have settings this version knows, but {error}"
        ) from None
    values = {**row, **_own_values(row, metric)}
    facts = {name: values[name] for name in FACTS if values.get(name) is not None}
    own = own_values(knobs)
    repeating = _repeating(info, row, own) if info else (None, None, {})
    baseline = _baseline(info, own) if info else {}
    return RecipeFile(policy, levers, facts, *repeating, own, baseline).to_toml()


def _refuse_strangers(own: Mapping[str, Scalar], info: RunInfo | None) -> None:
    """Refuse knobs that are neither known here nor the own ones of the run's workload."""
    if strangers := sorted(own.keys() - set(info.own_knobs if info else ())):
        raise ValueError(
            f"settings must be known to this version, or be the workload's own, but {strangers} "
            "are neither"
        )


def _repeating(
    info: RunInfo, row: Row, own: Mapping[str, Scalar]
) -> tuple[Timetable | None, CostTable | None, Mapping[str, str]]:
    """The timetable, cost table and versions that a trial is repeated by, as far as run.json has
    them; runs of older versions lack the schedule.
    """
    said = info.identity or {}
    fields = dataclasses.fields(Timetable)
    known = all(each.name in said for each in fields if each.default is dataclasses.MISSING)
    named = {each.name: said[each.name] for each in fields if each.name in said}
    schedule = Timetable(**named) if known else None
    clock = info.clock_of(str(row["origin"]), int(row["seed"]))
    costs = clock and table_for(clock, known_variant(clock, own))
    return schedule, costs, {"ttq": info.version, **info.versions}


def _baseline(info: RunInfo, own: Mapping[str, Scalar]) -> dict[str, object]:
    """The workload's optimizer and batch; unknown where own knobs, which may change them, turn."""
    said = info.identity or {}
    if own or not {"optimizer", "groups", "batch"} <= said.keys():
        return {}
    return {**baseline_of(said["optimizer"], said["groups"]), "batch": said["batch"]}


def _own_values(row: Row, metric: Metric) -> dict[str, object]:
    """The trial's losses as values of a metric that has a name of its own."""
    if metric.is_default:
        return {}
    target = row.get("target_loss")
    return {
        "metric": metric.name,
        "val_metric": metric.of(row["val_loss"]),
        "target_metric": None if target is None else metric.of(target),
    }


def parser() -> argparse.ArgumentParser:
    """The parser of the command's options."""
    made = Parser(
        prog=program("export"),
        description="Writes a trial as TOML, from which tuning.load_recipe repeats it in any loop; "
        "or tells every trial of the run to another tool.",
        epilog="Exit status: 0 done; 2 bad input; 1 anything else.",
    )
    made.add_argument("run", metavar="DIR", type=Path, help="run directory")
    made.add_argument(
        "--trial",
        metavar="N|best",
        help="number of a finished trial; or best: the one that the report names, the confirmed "
        "winner or the search's leader; where none gains anything, the own control that reaches "
        "the target",
    )
    made.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="file to write (default: standard output)"
    )
    made.add_argument(
        "--to",
        nargs=2,
        metavar=("KIND", "WHERE"),
        help="tell every trial to another tool: optuna sqlite:///FILE (for optuna-dashboard), "
        "tensorboard DIR, mlflow sqlite:///FILE, wandb PROJECT, csv FILE; repeated, it adds what "
        "is new (default: do not)",
    )
    return made


def _number(text: str) -> int | None:
    if text == "best":
        return None
    if not (text.isascii() and text.isdigit()):
        raise BadInput(
            f"--trial must be a trial's number, a whole number >= 0, or best, but got {text!r}"
        )
    return int(text)


def _open(run: Path) -> Store:
    from tuning.store.store import Store

    return Store.open(run)


def _load(store: Store) -> pd.DataFrame:
    from tuning.store.store import load_frame

    return load_frame(store, curves=False)


def _recorded(frame: pd.DataFrame) -> str:
    if frame.empty:
        return "the run has no recorded trials yet"
    return (
        f"recorded are {len(frame)} trials, numbers {frame['number'].min()} to "
        f"{frame['number'].max()}"
    )


def _warn_of_another_workload(run: Path) -> None:
    """Say so where the run's workload has changed since: the recipe was found for what it was."""
    from tuning.session.identity import remarks_on
    from tuning.store.directory import read_info

    for remark in remarks_on(read_info(run), of=run):
        print(f"warning: {remark}", file=sys.stderr)


def _write(path: Path, text: str) -> None:
    from tuning.store.files import FILES

    try:
        FILES.write_atomic(path, text.encode())
    except OSError as error:
        raise BadInput(f"-o must be a writable file, but {path} is not: {error.strerror}") from None


if __name__ == "__main__":
    sys.exit(main())
