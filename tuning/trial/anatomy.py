"""What a workload is, as far as a search cares: its parts, what its steps cost, and what it can do.
Pure data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MEAN_HORIZON = 0.75
"""The mean horizon of a search's trials, about."""
BESIDE_SECONDS = 60.0
"""Seconds of a search that are no training, about, on two cores: for libraries, the check, Ray, the
clock and a dozen forms of a small model.
"""


@dataclass(frozen=True)
class PartFacts:
    """One part of a model.

    Attributes:
        name: ``stem``, ``blocks`` or ``head``.
        modules: what it consists of: names for stem and head, counts by kind for the blocks, with
            the names of what runs between them.
        parameters: the number that can be trained.
    """

    name: str
    modules: str
    parameters: int


@dataclass(frozen=True)
class Ability:
    """A value of a knob that may be searched.

    Attributes:
        name: a knob and its value.
        fault: why the model or the device cannot do it; None where they can.
    """

    name: str
    fault: str | None


@dataclass(frozen=True)
class Anatomy:
    """What was found out about a workload that can be trained.

    Attributes:
        parts: stem, blocks and head.
        frozen: the number of parameters that can never be trained.
        optimizer: its kind and what it holds.
        batch: shapes of the first batch.
        device: where it was tried.
        step_seconds: a step's seconds by depth, quickly timed.
        data_seconds: seconds of making one batch.
        evaluation_seconds: seconds of one evaluation.
        abilities: values of knobs that a device or a model may lack.
        baseline_seconds: seconds of one training of the workload's own recipe, without evaluations.
        evaluations: the number of evaluations of such a training.
    """

    parts: tuple[PartFacts, ...]
    frozen: int
    optimizer: str
    batch: str
    device: str
    step_seconds: Mapping[int, float]
    data_seconds: float
    evaluation_seconds: float
    abilities: tuple[Ability, ...]
    baseline_seconds: float
    evaluations: float

    def search_seconds(self, trials: int, references: int, at_once: int) -> float:
        """About how many seconds a search of ``trials`` trials and ``references`` reference runs
        takes, ``at_once`` at a time and without forks; starting it and setting its clock are
        included.
        """
        trained = references + MEAN_HORIZON * trials
        one = self.baseline_seconds + self.evaluations * self.evaluation_seconds
        return BESIDE_SECONDS + trained * one / max(1, min(at_once, trials))
