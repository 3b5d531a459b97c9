"""The command line of ``tuning.search``: argv and a TOML file in, a request out.

Values are read here and judged by ``tuning.config.faults``, so that a flag, a line of the file and
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
from tuning.config import option
from tuning.config.config import SearchConfig, default_run
from tuning.config.faults import faults_of_space
from tuning.config.option import Flag, NumbersParser, no_such_flag
from tuning.config.own import undeclared_faults
from tuning.config.resume import Resume
from tuning.errors import BadInput
from tuning.layout import program

SWITCHES = (
    Flag(
        "resume",
        "DIR",
        "go on with the search in DIR; more --trials extend it (default: a new search)",
    ),
    Flag(
        "retry_failed",
        None,
        "with --resume: run the failed trials again (default: leave them as they are)",
    ),
    Flag(
        "no_stopping",
        None,
        "train every trial to its horizon (default: stop as --stop-confidence says)",
    ),
    Flag(
        "no_forks",
        None,
        "train every trial from its first step, sharing nothing with others (default: fork)",
    ),
    Flag(
        "config",
        "FILE",
        "TOML file with any of these flags (underscores for dashes) and [knobs], which narrows, "
        "fixes or widens the space; flags given here win (default: none)",
    ),
    Flag(
        "help_space",
        None,
        "print the knobs of --space with range, scale, unit and meaning, and exit "
        "(default: search)",
    ),
)
"""Flags of the command line that are no option of the search's configuration."""
FLAGS = (*option.flags(SearchConfig).values(), *SWITCHES)
NOT_IN_FILES = ("config", "resume", "retry_failed", "help_space")
DESCRIPTION = """Search the knobs of a training schedule for the least time at each validation loss.
Exit status: 0 done; 2 bad input; 130 interrupted, everything kept; 1 anything else."""


@dataclass(frozen=True)
class NewSearch:
    """A search to start.

    Attributes:
        config: what is wanted of it; nobody has judged it yet.
        faults: what was wrong with the words in which it was asked for.
    """

    config: SearchConfig
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class ShowSpace:
    """A request to show the knobs of a space, with its ranges as they were narrowed."""

    space: SearchSpace


Request = NewSearch | Resume | ShowSpace


def parse(argv: Sequence[str]) -> Request:
    """The request that ``argv``, without the program's name, makes.

    It is judged by whoever carries it out, together with the faults of its words, so that one
    message names every fault.

    Raises:
        BadInput: a space that is to be shown has faults.
        SystemExit: status 0, after ``--help``.
    """
    given, faults = _flags(argv)
    from_file, file_faults = _file(given.pop("config", None))
    faults += file_faults + _stopping(from_file) + _stopping(given)
    options = {**from_file, **given}
    if options.pop("help_space", False):
        return ShowSpace(_space(options, faults))
    if "resume" in options:
        return _resume(options, faults)
    if options.pop("retry_failed", False):
        faults.append("--retry-failed must come with --resume DIR, but there is no --resume")
    return _new(options, faults)


def _new(options: dict[str, Any], faults: list[str]) -> NewSearch:
    config = SearchConfig(**{"run": "", **options})
    if not config.run:
        run = default_run(datetime.now(UTC), str(config.workload), str(config.space))
        config = SearchConfig(**{**options, "run": run})
    return NewSearch(config, tuple(faults))


def _resume(options: dict[str, Any], faults: list[str]) -> Resume:
    run = Path(options.pop("resume"))
    retry_failed = bool(options.pop("retry_failed", False))
    named = Path(options.pop("run", run))  # by the file that the search was started with, too
    if named.resolve() != run.resolve():
        faults.append(f"one of --run and --resume must be given, but got both ({named}, {run})")
    return Resume.of(run, options, retry_failed=retry_failed, faults=tuple(faults))


def _space(options: Mapping[str, Any], faults: list[str]) -> SearchSpace:
    """The space asked for, with its ranges as narrowed and the workload's own knobs."""
    asked = {name: options[name] for name in ("workload", "space", "knobs") if name in options}
    config = SearchConfig("", **asked)
    if isinstance(config.workload, str) and "workload" in asked:
        faults += undeclared_faults(config.workload)
    faults += faults_of_space(config)
    if faults:
        raise BadInput(faults)
    return config.search_space()


def _stopping(options: dict[str, Any]) -> list[str]:
    """Turn ``no_stopping`` into a ``stop_confidence`` of None; returns the fault of having both."""
    if not options.pop("no_stopping", False):
        return []
    both = "stop_confidence" in options
    options["stop_confidence"] = None
    return (
        ["one of --stop-confidence and --no-stopping must be given, but got both"] if both else []
    )


class _Parser(NumbersParser):
    """Raises its errors as ``BadInput`` in place of printing usage and exiting."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(message)


def build_parser() -> argparse.ArgumentParser:
    """The parser. It takes any text as the value of any flag: the rules of all values are kept
    together, elsewhere.
    """
    parser = _Parser(
        prog=program("search"),
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    for flag in FLAGS:
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
    faults += [no_such_flag(word, [flag.option for flag in FLAGS]) for word in unknown]
    return _typed(vars(namespace)), faults


def _without_dangling(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """``argv`` less the flags whose value is missing, which argparse would stop at, and a fault for
    each.
    """
    needy = {flag.option for flag in FLAGS if flag.metavar is not None}
    options = needy | {flag.option for flag in FLAGS}
    kept, faults = [], []
    for token, after in zip(argv, [*argv, None][1:], strict=True):
        if token in needy and (after is None or after in options):
            faults.append(f"{token} must be followed by a value, but got none")
        else:
            kept.append(token)
    return kept, faults


def _typed(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with text that is a number read as one; other text stays, so that its rule names
    it.
    """
    kinds = {flag.name: flag.kind for flag in FLAGS}
    typed = {
        name: _number(value, kinds[name]) if isinstance(value, str) else value
        for name, value in options.items()
    }
    if typed.pop("no_forks", False):
        typed["forks"] = False
    return typed


def _number(text: str, kind: option.Kind) -> int | float | str:
    try:
        return kind(text)
    except ValueError:
        return text


def _file(path: str | None) -> tuple[dict[str, Any], list[str]]:
    """The options of a TOML file, and its faults."""
    if path is None:
        return {}, []
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        return {}, [
            f"--config must be a TOML file in UTF-8, but {path} is in another encoding: save it as "
            "UTF-8"
        ]
    except (OSError, tomllib.TOMLDecodeError) as error:
        return {}, [f"--config must be a readable TOML file, but {path} is not: {error}"]
    known = {flag.name for flag in FLAGS if flag.name not in NOT_IN_FILES} | {"knobs"}
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
    """The options of a TOML file with the types that a configuration holds. Wrong types that no
    rule would name are appended to ``faults``.
    """
    forks = options.pop("no_forks", False)
    if not isinstance(forks, bool):
        faults.append(f"{path}: no_forks must be true or false, but got {forks!r}")
    if not isinstance(options.get("no_stopping", False), bool):
        faults.append(
            f"{path}: no_stopping must be true or false, but got {options.pop('no_stopping')!r}"
        )
    return {**options, **({"forks": False} if forks is True else {})}
