"""Whether a workload keeps what the search relies on: what was found, and what follows from it.
Pure data, held by run.json.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Follows = Literal["refused", "unforked", "remark"]
FOLLOWS: tuple[Follows, ...] = get_args(Follows)
CONSEQUENCE: Mapping[Follows, str] = {
    "refused": "nothing is trained",
    "unforked": "trials train alone: each from its first step, without forks, also after a stop",
    "remark": "nothing else follows",
}
"""What follows from a finding, in words."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        rule: which rule it is about, a word.
        text: what the rule says, what was seen, where, and what to do; a sentence or two.
        follows: ``refused``: nothing is trained; ``unforked``: trials share no snapshots, and begin
            anew if they are stopped; ``remark``: nothing.
    """

    rule: str
    text: str
    follows: Follows

    def __post_init__(self) -> None:
        """Refuse a consequence that does not exist."""
        if self.follows not in FOLLOWS:
            raise ValueError(f"follows must be one of {list(FOLLOWS)}, but got {self.follows!r}")

    @property
    def told(self) -> str:
        """The text, and what follows from it."""
        return self.text + (f" ({CONSEQUENCE[self.follows]})" if self.follows != "remark" else "")


def unsaveable(names: str) -> str:
    """The rule on state that a snapshot must hold and cannot, and what to do about it."""
    return (
        f"snapshots must hold whatever a training changes, but cannot hold {names}: keep it in "
        "attributes, as numbers, tensors or random generators"
    )


def unsaved_late(names: Sequence[str]) -> Finding:
    """What a whole training changed and no snapshot holds, unseen in the examination's steps."""
    return Finding("saving", f"{unsaveable(_few(names))}; it came late", "unforked")


def unsteady(names: Sequence[str]) -> Finding:
    """Values by which a run that goes on cannot know the workload that it began with."""
    return Finding(
        "identity",
        "values should be the same in every process, so that an edit of them is noticed when the "
        f"run goes on, but these are not and are not compared: {_few(names)}; keep a time or the "
        "like apart from what matters",
        "remark",
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


@dataclass(frozen=True)
class Soundness:
    """Everything that was found about a workload: nothing where it keeps every rule."""

    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Soundness:
        """The soundness with these findings, the gravest first."""
        order = {follows: place for place, follows in enumerate(FOLLOWS)}
        return cls(tuple(sorted(findings, key=lambda found: order[found.follows])))

    @property
    def refusals(self) -> list[str]:
        """Why nothing is trained; empty where something may be."""
        return [found.text for found in self.findings if found.follows == "refused"]

    @property
    def forks(self) -> bool:
        """Whether a trial may go on from a snapshot, its own or a trunk's."""
        return all(found.follows != "unforked" for found in self.findings)

    @property
    def warnings(self) -> list[str]:
        """What a user is told of a workload that is trained, a line each."""
        return [found.told for found in self.findings if found.follows != "refused"]
