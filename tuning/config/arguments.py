"""The command line of ``tuning.search``: argv and a TOML file in, a request out.

Values are read here and judged by ``tuning.config.config``, so that a flag, a line of the file and
an argument from Python keep the same rules, and one message names every fault. Nothing heavy is
imported before it is needed.
"""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from search_spaces.base import SearchSpace
from tuning.config.config import (
    CHANGEABLE,
    FLAGS,
    HELP_SPACE,
    FindWorkload,
    Resume,
    SearchConfig,
    _unchecked,
    default_run,
)
from tuning.config.resources import Machine
from tuning.errors import BadInput

WHOLE = ("trials", "seed", "concurrency")
NUMERIC = (
    "target",
    "replicates",
    "stop_confidence",
    "gpus_per_trial",
    "cpus_per_trial",
    "time_budget",
)
DESCRIPTION = """Search the knobs of a training schedule for the least time at each validation loss.
Exit status: 0 done; 2 bad input; 130 interrupted, everything kept; 1 anything else."""


@dataclass(frozen=True)
class NewSearch:
    """A search to start; its configuration has no fault."""

    config: SearchConfig


@dataclass(frozen=True)
class ShowSpace:
    """The knobs of a space, its ranges as narrowed, for a reader."""

    space: SearchSpace


Request = NewSearch | Resume | ShowSpace


def parse(
    argv: Sequence[str],
    *,
    machine: Machine | None = None,
    find_workload: FindWorkload | None = None,
) -> Request:
    """What ``argv``, without the program's name, asks for.

    Raises:
        BadInput: names every fault of the flags, of the file and of the configuration they make.
        SystemExit: status 0, after ``--help``.
    """
    given, faults = _flags(argv)
    from_file, file_faults = _file(given.pop("config", None))
    faults += file_faults + _stopping(from_file) + _stopping(given)
    options = {**from_file, **given}
    help_space = options.pop("help_space", False)
    if "resume" in options and not help_space:
        return _resume(options, faults)
    if options.pop("retry_failed", False) and not help_space:
        faults.append("--retry-failed must come with --resume DIR, but there is no --resume")
    if help_space:
        return ShowSpace(_space(options, faults))
    return _new(options, faults, machine, find_workload)


def _new(
    options: dict[str, Any],
    faults: list[str],
    machine: Machine | None,
    find_workload: FindWorkload | None,
) -> NewSearch:
    config = SearchConfig(**{"run": "", **options})
    if not config.run:
        run = default_run(datetime.now(UTC), str(config.workload), str(config.space))
        config = SearchConfig(**{**options, "run": run})
    faults += config.faults(machine, find_workload)
    if faults:
        raise BadInput(faults)
    return NewSearch(config)


def _resume(options: dict[str, Any], faults: list[str]) -> Resume:
    run = Path(options.pop("resume"))
    retry_failed = bool(options.pop("retry_failed", False))
    named = Path(options.pop("run", run))  # by the file that the search was started with, too
    if named.resolve() != run.resolve():
        faults.append(f"one of --run and --resume must be given, but got both ({named}, {run})")
    if not (run / "run.json").is_file():
        what = "holds no run.json" if run.is_dir() else "is not a directory"
        faults.append(f"--resume must name the directory of a search, but {run} {what}")
    changes = {name: value for name, value in options.items() if name in CHANGEABLE}
    faults += _change_faults(changes)
    if faults:
        raise BadInput(faults)
    given = {name: value for name, value in options.items() if name not in CHANGEABLE}
    return Resume(run, changes, given, retry_failed)


def _change_faults(changes: Mapping[str, Any]) -> list[str]:
    """Faults of single values.

    Whether the machine has what they ask for is seen when the run is read.
    """
    ample = Machine(cpus=float("inf"), gpus=1 << 30)
    return SearchConfig("", **changes).faults(ample, _unchecked, resuming=True)


def _space(options: Mapping[str, Any], faults: list[str]) -> SearchSpace:
    """The space asked for, with its ranges as narrowed."""
    config = SearchConfig(
        "", **{name: options[name] for name in ("space", "knobs") if name in options}
    )
    faults += config.space_faults()
    if faults:
        raise BadInput(faults)
    return config.search_space()


def _stopping(options: dict[str, Any]) -> list[str]:
    """Make ``no_stopping`` a ``stop_confidence`` of None; the fault of having both."""
    if not options.pop("no_stopping", False):
        return []
    both = "stop_confidence" in options
    options["stop_confidence"] = None
    return (
        ["one of --stop-confidence and --no-stopping must be given, but got both"] if both else []
    )


class _Parser(argparse.ArgumentParser):
    """Hands its own errors back in place of printing usage and exiting."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(message)


def build_parser() -> argparse.ArgumentParser:
    """The parser, which takes any text as any flag's value.

    Rules are kept elsewhere, all together.
    """
    parser = _Parser(
        prog="python -m tuning.search",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    for flag in (*FLAGS, HELP_SPACE):
        if flag.metavar is None:
            parser.add_argument(flag.option, action="store_true", help=flag.help)
        else:
            parser.add_argument(flag.option, metavar=flag.metavar, help=flag.help)
    return parser


def _flags(argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The options given as flags, by their names in Python, and the faults of the flags
    themselves.
    """
    complete, faults = _without_dangling(argv)
    parser = build_parser()
    try:
        namespace, unknown = parser.parse_known_args(complete)
    except BadInput as error:
        return {}, faults + error.faults
    faults += [_unknown(token) for token in unknown]
    return _typed(vars(namespace)), faults


def _without_dangling(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """``argv`` less the flags whose value is missing, which argparse would stop at, and a fault for
    each.
    """
    needy = {flag.option for flag in FLAGS if flag.metavar is not None}
    options = needy | {flag.option for flag in (*FLAGS, HELP_SPACE)}
    kept, faults = [], []
    for token, after in zip(argv, [*argv, None][1:], strict=True):
        if token in needy and (after is None or after in options):
            faults.append(f"{token} must be followed by a value, but got none")
        else:
            kept.append(token)
    return kept, faults


def _unknown(token: str) -> str:
    options = [flag.option for flag in (*FLAGS, HELP_SPACE)]
    close = difflib.get_close_matches(token.partition("=")[0], options, n=1)
    return f"no such flag: {token!r}: " + (f"did you mean {close[0]}?" if close else "see --help")


def _typed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Flags' text as numbers where it is one; text that is not stays, for its rule to name it."""
    typed = dict(options)
    for name in typed.keys() & {*WHOLE, *NUMERIC}:
        typed[name] = _number(typed[name], int if name in WHOLE else float)
    if typed.pop("no_forks", False):
        typed["forks"] = False
    return typed


def _number(value: str, kind: type[int] | type[float]) -> int | float | str:
    try:
        return kind(value)
    except ValueError:
        return value


def _file(path: str | None) -> tuple[dict[str, Any], list[str]]:
    """The options of a TOML file, and its faults."""
    if path is None:
        return {}, []
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return {}, [f"--config must be a readable TOML file, but {path} is not: {error}"]
    known = {
        flag.name for flag in FLAGS if flag.name not in ("config", "resume", "retry_failed")
    } | {"knobs"}
    faults = [
        f"{path}: {name!r} must be a flag (underscores for dashes) or [knobs], but is neither: "
        + _suggestion(name, known)
        for name in data
        if name not in known
    ]
    options = {name: value for name, value in data.items() if name in known}
    return _from_toml(path, options, faults), faults


def _suggestion(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(sorted(known))}"


def _from_toml(path: str, options: dict[str, Any], faults: list[str]) -> dict[str, Any]:
    """Options with the types a configuration holds.

    Wrong types that no rule names go to ``faults``.
    """
    forks = options.pop("no_forks", False)
    if not isinstance(forks, bool):
        faults.append(f"{path}: no_forks must be true or false, but got {forks!r}")
    if not isinstance(options.get("no_stopping", False), bool):
        faults.append(
            f"{path}: no_stopping must be true or false, but got {options.pop('no_stopping')!r}"
        )
    texts = ("run", "corpus", "address", "warm_start", "clock")
    wrong = {name for name in texts if not isinstance(options.get(name, ""), str)}
    faults += [
        f"{path}: {name} must be text, but got {options.pop(name)!r}" for name in sorted(wrong)
    ]
    return {**options, **({"forks": False} if forks is True else {})}
