"""The lever that replaces matrices by cheaper ones for part of a run. Pure: what is replaced when;
no torch.

    matrices: as they are | approximated, recovering | approximated       | as they are
    fraction: 0           approximation_start        + recovery_steps     dense_from         1

Truncating once and for all loses too much quality; what the literature found to work had its
structure from the start of training and a dense tail (Monarch, Dao et al. 2022, arXiv 2204.00595,
section 4.2: reverse sparsification).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from models.levers.lever import Lever
from policies.rules import setting

NONE = "none"
KINDS = ("svd", "data_aware", "low_rank_diagonal", "monarch", "hidden_units", "two_four")
PLACEMENTS = ("mlp", "attention", "all")


@dataclass(frozen=True)
class Approximation(Lever):
    """Which matrices are approximated, how, and from when to when."""

    name: ClassVar[str] = "approximation"
    switches: ClassVar[tuple[str, ...]] = ("approximation",)

    approximation: str = setting(
        NONE, choices=(NONE, *KINDS), meaning="what replaces the chosen matrices"
    )
    approximation_share: float = setting(
        0.25,
        low=0.001,
        high=1.0,
        unit="fraction",
        meaning="of the rank (svd, data_aware, low_rank_diagonal), of the "
        "parameters (monarch) or of the hidden units that is kept",
    )
    placement: str = setting(
        "mlp", choices=PLACEMENTS, meaning="which matrices of the blocks are replaced"
    )
    approximation_start: float = setting(
        0.0,
        low=0.0,
        high=1.0,
        unit="fraction",
        meaning="share of the horizon before the matrices are replaced",
    )
    recovery_steps: int = setting(
        0,
        low=0,
        high=1_000_000,
        unit="steps",
        meaning="after the replacement, steps that train nothing else",
    )
    dense_from: float = setting(
        1.0,
        low=0.0,
        high=1.0,
        unit="fraction",
        meaning="share of the horizon after which they are dense again",
    )

    @property
    def share(self) -> float:
        """What is kept; 2:4 sparsity keeps half, whatever the setting says."""
        return 0.5 if self.approximation == "two_four" else self.approximation_share

    def idle(self) -> frozenset[str]:
        """With 2:4 sparsity what is kept, too."""
        return super().idle() | (
            {"approximation_share"} if self.approximation == "two_four" else set()
        )

    def faults(self) -> list[str]:
        """The rules of the settings, and the order of start and end."""
        found = super().faults()
        if not found and self.on and self.approximation_start >= self.dense_from:
            found.append(
                "approximation_start < dense_from must hold, but got "
                f"(approximation_start={self.approximation_start:g}, "
                f"dense_from={self.dense_from:g})"
            )
        return found

    def applies(self, fraction: float) -> bool:
        """Whether the matrices stand replaced at ``fraction`` of the horizon."""
        return self.on and self.approximation_start <= fraction < self.dense_from
