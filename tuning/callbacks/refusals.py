"""What of a recipe a framework's loop cannot do: named at once, never left out silently."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from models.adapters.order import TrialOrder
from models.levers.approximation import Approximation
from models.levers.batch import BatchSize
from models.levers.cached_prefix import CachedPrefix
from models.levers.input import InputSize
from models.levers.levers import Levers


def refuse(loop: str, levers: Levers, others: Collection[str] = ()) -> None:
    """Say what of the recipe, or of the loop's own settings, does not go together.

    Args:
        loop: what the loop is called.
        levers: the recipe's.
        others: further faults, of the loop's settings.

    Raises:
        ValueError: there is something; all is named.
    """
    faults = [f"{name}: {why}" for name, why in cannot(levers)]
    if faults:
        faults[-1] += "; load_recipe(...).apply in a loop of your own does all of it"
    if faults or others:
        raise ValueError(f"{loop} cannot follow this recipe: {'; '.join([*faults, *others])}")


def cannot(levers: Levers) -> Iterator[tuple[str, str]]:
    """Levers that need more of a loop than its optimizer's steps, each with the reason."""
    if levers.of(Approximation).on:
        yield (
            "approximation",
            "it replaces parameters during the run, which the loop's optimizer would still hold",
        )
    if levers.of(CachedPrefix).on:
        yield "cached_prefix", "the loop does not say which examples a batch holds"
    if levers.of(InputSize).on:
        yield "input", "the loop has no way to make a batch's examples smaller"
    stages = levers.of(BatchSize).stages()
    if len(stages) > 1:
        way = " → ".join(f"{factor:g}" for factor in stages)
        yield "batch", f"it changes during the run ({way} × the workload's), and the loop's cannot"


def batch_factor(levers: Levers) -> float:
    """What a step sees, in batches of the workload, where that stays the same."""
    return levers.of(BatchSize).stages()[0]


def other_batches(levers: Levers, said: float) -> Iterator[str]:
    """A fault where the caller's loader, whose batches the caller alone can size, is not said to
    have those of the recipe.
    """
    wanted = batch_factor(levers)
    if wanted != said:
        yield (
            f"the recipe takes {wanted:g} × the workload's batch, but batch_factor={said:g}: give "
            f"the loader that many examples, and say batch_factor={wanted!r}"
        )


def refuse_other_order(loop: str, factor: float, data: Any) -> None:
    """Say so where the loop's data are a trial's examples, but in batches of another size.

    Args:
        loop: what the loop is called.
        factor: what the recipe takes, in batches of the workload.
        data: the loader's data set.

    Raises:
        ValueError: they are.
    """
    if isinstance(data, TrialOrder) and data.batch_factor != factor:
        raise ValueError(
            f"{loop} cannot follow this recipe: it takes {factor:g} × the workload's batch, but "
            f"its data come in the order of {data.batch_factor:g} ×: give it "
            "TrialOrder(workload, recipe.seed, recipe.batch_factor)"
        )
