"""What follows from an option's one declaration: its flag, its words, the page of the documents."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tuning.config.arguments import FLAGS, NOT_IN_FILES
from tuning.config.config import SearchConfig
from tuning.config.option import options

PAGE = Path(__file__).parents[3] / "docs" / "options.md"
HEAD = """# Options of a search

Every flag of `python -m tuning.search`. In a `--config` file and from Python the names have
underscores. A resumed search may change what is marked so; what belongs to a run's identity must
stay as it was.

"""


def page() -> str:
    """The page that the declarations make."""
    said = options(SearchConfig)
    lines = []
    for flag in FLAGS:
        own = said.get(flag.name)
        marks = [
            *(["a resume may change it"] if own and own.changes else []),
            *(["part of a run's identity"] if own and own.identity else []),
            *(["command line alone"] if flag.name in NOT_IN_FILES else []),
        ]
        lines += _wrapped(f"- `{' '.join(filter(None, (flag.option, flag.metavar)))}`: {flag.help}")
        if marks:
            lines += _wrapped(f"  *{'; '.join(marks)}*")
    return HEAD + "\n".join(lines) + "\n"


def _wrapped(text: str) -> list[str]:
    lines = [text]
    while len(lines[-1]) > 100:
        cut = lines[-1].rfind(" ", 0, 101)
        lines[-1:] = [lines[-1][:cut], "  " + lines[-1][cut + 1 :]]
    return lines


def test_the_page_says_what_is_declared() -> None:
    """Compares the page with one made anew."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_option_is_declared() -> None:
    """No field is without a declaration."""
    assert [field.name for field in dataclasses.fields(SearchConfig)] == list(options(SearchConfig))


def test_no_option_may_change_and_be_the_runs_identity() -> None:
    """The two contradict each other."""
    assert not [n for n, said in options(SearchConfig).items() if said.changes and said.identity]
