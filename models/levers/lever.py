"""What a lever is: one thing about a run, beside its policy, that may be changed. Pure; no torch.

A lever is a frozen dataclass of settings in a module of this package, by which it is found
(``levers.kinds``); a new one is one more file. With its settings at their defaults it is *neutral*:
it changes no bit of a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from policies.rules import Settings


@dataclass(frozen=True)
class Lever(Settings):
    """Base of every lever.

    Attributes:
        name: what it is called in tables and messages.
        term: of time to quality, the one it acts on: ``required_flops``,
            ``effective_flops_per_second`` or ``pipeline_overhead``.
        needs: what a workload must have for it, in words; ``nothing`` for most.
    """

    term: ClassVar[str] = "required_flops"
    needs: ClassVar[str] = "nothing"

    @property
    def on(self) -> bool:
        """Whether a run with it differs from one without."""
        return self != type(self)()
