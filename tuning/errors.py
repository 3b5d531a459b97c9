"""What this package raises for its users to see.

Exception
├── BadInput (ValueError)   what was asked for cannot be; names every fault; exit status 2
│   └── NestedSearch        by a workload's file, while that is imported
├── Interrupted             stopped on request, everything kept; exit status 130
└── SearchFailed            the search cannot go on, with the reason; exit status 1
    └── NothingTrained      nor has it begun: what it created is removed
"""

from __future__ import annotations

from collections.abc import Iterable


class BadInput(ValueError):  # noqa: N818 - the word users read, not a programming error
    """Every fault of what was asked for, each with the rule, the value and what to do. It is raised
    before anything is created.
    """

    def __init__(self, faults: str | Iterable[str]) -> None:
        self.faults = [faults] if isinstance(faults, str) else list(faults)
        super().__init__("\n".join(f"- {fault}" for fault in self.faults))


class NestedSearch(BadInput):
    """A workload's file began a search of its own while it was imported."""

    def __init__(self, workload: str) -> None:
        super().__init__(
            f"a workload's file must not search when it is imported, but that of {workload!r} "
            'does: put what it runs under if __name__ == "__main__":'
        )


class Interrupted(Exception):  # noqa: N818 - not an error
    """The search was stopped on request; ``str()`` is the command that goes on with it."""


class SearchFailed(RuntimeError):  # noqa: N818
    """The search cannot go on; the message says why and what to do. Everything finished is kept."""


class NothingTrained(SearchFailed):
    """The search ended before its first trial began. A run directory that it created is of no use
    and is removed.
    """
