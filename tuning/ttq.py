"""``ttq``, and ``python -m tuning``: every door under one name, with completion in the shell.

``ttq search --trials 24`` is ``python -m tuning.search --trials 24``: the arguments go to the door
as they are, which alone knows their rules. What completes them is read off its own parser.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from typing import get_args

import click
from click.shell_completion import CompletionItem, ShellComplete, get_completion_class

from tuning.version import VERSION

DOORS = {
    "check": "whether a workload is sound, what it is, what a search of it costs",
    "search": "search the recipe that reaches a loss in the least time",
    "pareto": "show a run again: its front, page, picture, CSV, JSON",
    "confirm": "re-run the best and the controls on fresh seeds: what wins, how sure",
    "apart": "what each lever of the best recipe brings",
    "export": "take a recipe away, or a whole run to other tools",
    "tidy": "what a run's files take; remove what is of no more use",
    "compare": "full, static and dynamic schedules at equal steps and at equal time",
}
"""Modules of this package that are commands, and what each does."""
SHELLS = ("bash", "zsh", "fish")
PATHS = {"DIR": "dir", "RUN": "dir", "FILE": "file", "W": "file", "WHERE": "file"}
"""Word for a value -> what the shell completes it as."""
COMPLETE = "_TTQ_COMPLETE"
"""The variable in which the shell asks for completions."""


class Door(click.Command):
    """A command of this package as a subcommand; its arguments are not parsed here."""

    def __init__(self, name: str, meaning: str) -> None:
        super().__init__(name, short_help=meaning, add_help_option=False)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Leave all arguments, ``--help`` too, to the command."""
        ctx.args = list(args)
        return []

    def invoke(self, ctx: click.Context) -> None:
        """Run the command, and exit with its status."""
        ctx.exit(importlib.import_module(f"tuning.{self.name}").main(ctx.args))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Completions: the command's flags, or the values of the flag before."""
        actions = flags_of(str(self.name))
        given, flag = _last_flag(ctx.args, actions)
        if flag is not None and given < _values_of(flag):
            return _values(flag, given, incomplete)
        if not incomplete.startswith("-"):
            return [CompletionItem(incomplete, type="dir")]
        return [
            CompletionItem(flag, help=action.help)
            for flag, action in actions.items()
            if flag.startswith(incomplete)
        ]


def flags_of(door: str) -> dict[str, argparse.Action]:
    """The flags that a command's parser knows, by the flag."""
    parser: argparse.ArgumentParser = importlib.import_module(f"tuning.{door}").parser()
    return {flag: action for action in parser._actions for flag in action.option_strings}


def _last_flag(
    words: list[str], actions: dict[str, argparse.Action]
) -> tuple[int, argparse.Action | None]:
    """The number of words behind the last flag among ``words``, and that flag."""
    behind = range(len(words))
    return next(
        ((n, actions[words[-1 - n]]) for n in behind if words[-1 - n] in actions), (0, None)
    )


def _values_of(flag: argparse.Action) -> int:
    return flag.nargs if isinstance(flag.nargs, int) else 1


def _values(flag: argparse.Action, given: int, incomplete: str) -> list[CompletionItem]:
    words = flag.metavar if isinstance(flag.metavar, tuple) else (flag.metavar,)
    path = PATHS.get(str(words[given]))
    known = [] if given else [*_known(flag.option_strings[-1])]
    # Paths first: bash drops the words it was offered before it is told to complete a path.
    paths = [CompletionItem(incomplete, type=path or "plain")] if path or not known else []
    return paths + [CompletionItem(word) for word in known if word.startswith(incomplete)]


def _known(flag: str) -> Iterator[str]:
    """The words that a flag's value may be, where they are few."""
    from search_spaces.registry import all_spaces
    from tuning.config.arguments import FLAGS
    from tuning.elsewhere.place import kinds

    if flag == "--space":
        yield from all_spaces()
    elif flag == "--workload":
        from models.registry import workload_names  # with torch, which no other flag waits for

        yield from workload_names()
    elif flag == "--to":
        yield from kinds()
    elif flag == "--log":
        yield from (f"{kind}:" for kind in kinds())
    elif flag == "--time":
        from tuning.findings.verdict import Time

        yield from get_args(Time)
    yield from next((each.choices for each in FLAGS if each.option == flag), ())


class Doors(click.Group):
    """The commands in the order in which they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were added."""
        return list(self.commands)


@click.group(
    cls=Doors,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each has its own --help.",
)
@click.version_option(VERSION, prog_name="ttq")
@click.pass_context
def ttq(ctx: click.Context) -> None:
    """Search for the training recipe that reaches a quality in the least time, and see whether it
    is really better than training for less.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _name, _meaning in DOORS.items():
    ttq.add_command(Door(_name, _meaning))


@ttq.command(short_help="print what makes a shell complete these commands")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes SHELL complete these commands: eval "$(ttq completion bash)" in ~/.bashrc,
    or the like.
    """
    found = get_completion_class(shell)
    assert found is not None, "click knows its own shells"
    made: ShellComplete = found(ttq, {}, "ttq", COMPLETE)
    click.echo(made.source())


def main(argv: list[str] | None = None) -> int:
    """Run the command line ``argv`` (``sys.argv`` if None) and return its exit status."""
    try:
        ttq.main(argv, prog_name="ttq", complete_var=COMPLETE)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
