"""The lever of how large an example is: shorter windows or smaller pictures at first. Pure.

No torch. ``Workload.shrink(batch, share)`` makes examples smaller; evaluation sees them whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from models.levers.form import Form
from models.levers.lever import Lever
from policies.rules import setting


@dataclass(frozen=True)
class InputSize(Lever):
    """The size of the examples at the start of a run."""

    name: ClassVar[str] = "input"
    switches: ClassVar[tuple[str, ...]] = ("input_start",)
    needs: ClassVar[str] = "shrink(batch, share)"

    input_start: float = setting(
        1.0,
        low=0.01,
        high=1.0,
        unit="fraction",
        meaning="share of an example's size that a step sees at the start",
    )
    input_whole_from: float = setting(
        0.5,
        likely=0.3,
        unsure=0.2,
        low=0.0,
        high=1.0,
        unit="fraction",
        meaning="share of the horizon from which examples are whole",
    )

    def shaped(self, form: Form, fraction: float = 0.0) -> Form:
        """``form`` with the examples of a step that begins at ``fraction`` of the horizon."""
        share = self.input_start if fraction < self.input_whole_from else 1.0
        return replace(form, input=share)

    def shapes(self, form: Form, num_blocks: int) -> tuple[Form, ...]:
        """``form`` with small examples, and with whole ones."""
        return tuple(replace(form, input=share) for share in {self.input_start, 1.0})
