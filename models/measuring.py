"""What a workload's loss and evaluate return, looked at in one place.

So that the same mistake is told in the same words wherever it shows: in a check, in a search, in a
trial.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.batches import Batch
from models.frames import written_at
from models.making import named
from models.workload import Workload


def loss_of(workload: Workload, model: nn.Module, batch: Batch) -> Tensor:
    """The training loss: a tensor of one element that has a gradient where gradients are made.

    Raises:
        ValueError: it is something else; says what to do, and where the function is.
    """
    found: Any = workload.loss(model, batch)
    if isinstance(found, Tensor) and _is_one_real(found) and _has_gradient(found):
        return found
    must = "loss(model, batch) must return a scalar tensor to minimise"
    raise ValueError(f"{must}, {_against(found)}{written_at(workload.loss, 'loss')}")


def _is_one_real(loss: Tensor) -> bool:
    return loss.numel() == 1 and not loss.is_complex()


def _has_gradient(loss: Tensor) -> bool:
    return loss.requires_grad or not torch.is_grad_enabled()


def _against(loss: Any) -> str:
    if not isinstance(loss, Tensor):
        return f"but got {named(loss)}{_way_to_loss(loss)}"
    if loss.numel() != 1:
        return f"but got {named(loss)}: take its mean"
    if loss.is_complex():
        return f"but got a complex number ({loss.dtype}): return .abs() or .real of it"
    return (
        "but what it returned has no gradient: leave out detach(), item(), no_grad() and "
        "torch.tensor(...) on the way to it"
    )


def _way_to_loss(loss: Any) -> str:
    if isinstance(getattr(loss, "loss", None), Tensor):
        return ": return its .loss"
    if isinstance(loss, Mapping):
        return ': return its ["loss"]' if "loss" in loss else ": return one of its values"
    if isinstance(loss, (int, float)):
        return ": a number has no gradient, return the tensor before .item()"
    return ": return its first value" if isinstance(loss, tuple) else ""


def metric_of(workload: Workload, model: nn.Module) -> float:
    """What ``evaluate`` measures, in its own sign; it need not be finite.

    Raises:
        ValueError: it is no number; says what to do, and where the function is.
    """
    value: Any = workload.evaluate(model)
    number = number_of(value)
    if number is None:
        way = way_to_number(value, workload.metric)
        raise ValueError(
            f"{must_evaluate(workload)}, but got {named(value)}{way}"
            f"{written_at(workload.evaluate, 'evaluate')}"
        )
    return number


def metrics_of(workload: Workload, model: nn.Module) -> dict[str, float]:
    """The further metrics that ``workload.metrics`` measures, by name; they need not be finite.

    Raises:
        ValueError: one is no number; says what to do, and where the function is.
    """
    return {name: _further(name, measure, model) for name, measure in workload.metrics.items()}


def _further(name: str, measure: Callable[[nn.Module], Any], model: nn.Module) -> float:
    value = measure(model)
    number = number_of(value)
    if number is None:
        raise ValueError(
            f"metrics[{name!r}](model) must return one number, but got {named(value)}"
            f"{way_to_number(value, name)}{written_at(measure, f'metrics[{name!r}]')}"
        )
    return number


def must_evaluate(workload: Workload) -> str:
    """The rule for ``evaluate``."""
    better = "higher" if workload.maximize else "lower"
    return f"evaluate(model) must return one number, {better} is better"


def number_of(value: Any) -> float | None:
    """The number that a value is; None where it is none."""
    if isinstance(value, (Tensor, np.ndarray)):
        value = value.item() if math.prod(value.shape) == 1 else None
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__float__"):
        return None
    try:
        return float(value)
    except OverflowError:  # of whole numbers, which have no largest
        return math.inf if value > 0 else -math.inf


def way_to_number(value: Any, name: str) -> str:
    """What to return in place of ``value``, which is no number; empty where nobody can tell."""
    if value is None:
        return ": is a return missing?"
    if isinstance(value, Mapping) and name in value:
        return f": return its [{name!r}]"
    if isinstance(value, str):
        return ": return the number, not its text"
    return ": return one of its values" if isinstance(value, (Mapping, tuple, list)) else ""
