"""What a lever is: one thing about a run, beside its policy, that may be changed. Pure; no torch.

A lever is a frozen dataclass of settings in a module of this package, by which it is found
(``levers.kinds``); a new one is one more file. With its settings at their defaults it is *neutral*:
it changes no bit of a run.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self, cast

from models.levers.form import Form
from policies.rules import Scalar, Settings


@dataclass(frozen=True)
class Lever(Settings):
    """Base of every lever.

    Attributes:
        name: what it is called in tables and messages.
        term: of time to quality, the one it acts on: ``required_flops``,
            ``effective_flops_per_second`` or ``pipeline_overhead``.
        needs: what a workload must have for it, in words; ``nothing`` for most.
        switches: settings that turn it on wherever one is not at its default; the others count
            only then.
    """

    term: ClassVar[str] = "required_flops"
    needs: ClassVar[str] = "nothing"
    switches: ClassVar[tuple[str, ...]] = ()

    @property
    def on(self) -> bool:
        """Whether a run with it differs from one without."""
        return any(getattr(self, name) != off for name, off in self.off().items())

    @classmethod
    def off(cls) -> dict[str, Scalar]:
        """The switches and their values in a run without the lever."""
        return {f.name: cast(Scalar, f.default) for f in fields(cls) if f.name in cls.switches}

    def idle(self) -> frozenset[str]:
        """Settings that change nothing in a run, as the others are: where the lever is off all but
        its switches. A lever names more of its own.
        """
        names = (field.name for field in fields(self))
        return frozenset() if self.on else frozenset(names) - set(self.switches)

    def settled(self, num_blocks: int = 0) -> Self:
        """The lever with what changes nothing at its default, so that two that train a model alike
        are told to be the same.

        Args:
            num_blocks: of the model; 0 where that is not known.
        """
        idle = self.idle()
        return replace(self, **{f.name: f.default for f in fields(self) if f.name in idle})

    def shaped(self, form: Form, fraction: float = 0.0) -> Form:
        """``form`` with what this lever makes of a step that begins at ``fraction`` of the horizon.

        It leaves out what depends on the policy's plan: present blocks and cached blocks.
        """
        return form

    def shapes(self, form: Form, num_blocks: int) -> tuple[Form, ...]:
        """Every form that it can make of ``form`` in a run; of a model with ``num_blocks``."""
        return (self.shaped(form),)

    def events(self, num_blocks: int) -> tuple[str, ...]:
        """Names of what it does beside steps that is charged each time; see ``form``."""
        return ()
