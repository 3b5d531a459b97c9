"""Values of knobs that a workload or a machine is too small for, left out of a space. Pure."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from models.levers.batch import whole_examples
from policies.rules import Scalar
from search_spaces.base import SearchSpace
from search_spaces.knobs import Choice
from tuning.config.fitting import Fitted

FACTORS = ("batch_start", "batch_end")
GROWTH, MEMORY = "growth_steps", "prefix_memory"


def has_limited(space: SearchSpace, *names: str) -> bool:
    """Whether the space has one of the knobs ``names``, by default of any that may be limited."""
    looked = names or (*FACTORS, GROWTH, MEMORY)
    return any(k.name in looked for k in space.knobs)


def fit_batches(space: SearchSpace, examples: int) -> Fitted:
    """Leave out batch factors so small that not one whole example is left of a batch of so many
    ``examples``.
    """
    return _without(
        space,
        FACTORS,
        lambda factor: not whole_examples(Fraction(factor), examples),
        "leaves no whole example",
        f"of batches of {examples} a step needs a factor of at least {1 / examples:.3g}",
    )


def fit_growth(space: SearchSpace, blocks: int) -> Fitted:
    """Leave out growth in more steps than a model of so many ``blocks`` can have: one block is
    there from the start, and each step adds at least one.
    """
    return _without(
        space,
        (GROWTH,),
        lambda steps: steps > max(1, blocks - 1),
        "has steps that add nothing",
        f"a model of {blocks} blocks grows in at most {max(1, blocks - 1)}",
    )


def fit_memory(space: SearchSpace, gib: float) -> Fitted:
    """Leave out values that let the kept prefix grow beyond the machine's ``gib`` GiB of memory."""
    return _without(
        space,
        (MEMORY,),
        lambda bound: bound > gib,
        "is more than there is",
        f"the machine has {gib:.3g} GiB of memory",
    )


def _without(
    space: SearchSpace,
    names: tuple[str, ...],
    impossible: Callable[[float], bool],
    what: str,
    rule: str,
) -> Fitted:
    """Leave out the values of the knobs ``names`` that are ``impossible``. It is a fault where a
    range contains some, or where no value would be left; it says ``what`` such a value does, and
    the ``rule``.
    """
    choices: dict[str, tuple[Scalar, ...]] = {}
    remarks: list[str] = []
    faults: list[str] = []
    for k in (k for k in space.knobs if k.name in names):
        bad = [value for value in k.values() if impossible(float(value))]
        left = tuple(value for value in k.values() if value not in bad)
        if bad and left and isinstance(k, Choice):
            choices[k.name] = left
            remarks.append(f"{_listed(k.name, bad)} left out of the space: {rule}")
        elif bad:
            faults.append(f"{k.name} {what}: {rule}, but got {bad[0]}")
    return Fitted(choices, tuple(remarks), tuple(faults))


def _listed(name: str, values: list[Scalar]) -> str:
    found = [f"{name} {value}" for value in values]
    return f"{', '.join(found)} {'is' if len(found) == 1 else 'are'}"
