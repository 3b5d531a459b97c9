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
    """Refuse a recipe that the loop cannot follow, or settings of the loop that fit no recipe.

    Args:
        loop: what the loop is called.
        levers: the recipe's.
        others: further faults, of the loop's settings.

    Raises:
        ValueError: there is a fault; names all of them.
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
    """How many examples a step sees, in batches of the workload; meant for recipes whose batch
    stays the same.
    """
    return levers.of(BatchSize).stages()[0]


def other_batches(levers: Levers, said: float) -> Iterator[str]:
    """A fault where the recipe takes another batch than the caller says the loader has; the caller
    alone can size the loader's batches.
    """
    wanted = batch_factor(levers)
    if wanted != said:
        yield (
            f"the recipe takes {wanted:g} × the workload's batch, but batch_factor={said:g}: give "
            f"the loader that many examples, and say batch_factor={wanted!r}"
        )


def refuse_other_order(loop: str, factor: float, data: Any) -> None:
    """Refuse a data set that has a trial's examples in batches of another size than the recipe's.

    Args:
        loop: what the loop is called.
        factor: how many examples a step of the recipe sees, in batches of the workload.
        data: the loader's data set.

    Raises:
        ValueError: its batches have another size.
    """
    if isinstance(data, TrialOrder) and data.batch_factor != factor:
        raise ValueError(
            f"{loop} cannot follow this recipe: it takes {factor:g} × the workload's batch, but "
            f"its data come in the order of {data.batch_factor:g} ×: give it "
            "TrialOrder(workload, recipe.seed, recipe.batch_factor)"
        )
