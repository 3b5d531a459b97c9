"""What a workload gives before any training: its first loss and evaluation, batches of steps spread
over its training, and the loss that a step leads to.

They tell what no source does: a file that is read at every call, held-out data, later batches.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim import Optimizer

from models.batches import Batch, apart
from models.measuring import metric_of, metrics_of
from models.settings import batch_values
from models.workload import Workload

MOST_WEIGHTS = 10_000_000
"""Of a model that is run once on the CPU to tell its first loss."""
LONGEST = 10.0
"""Seconds of work after which an evaluation on the CPU is given up."""
SOME_BATCHES, MOST_BATCHES = 4, 16
"""Batches that are drawn at least, and at most."""
GOLDEN = (5**0.5 - 1) / 2
BATCH_SECONDS = 1.0
"""After which no more of them are."""


class _TooLongError(BaseException):
    """An evaluation is given up; no handler for a workload's own faults may catch it."""


def first_loss(workload: Workload, model: nn.Module, batch: Batch) -> str | None:
    """The loss before any training, roughly; None where it cannot be found out here, or would
    take long.
    """
    if sum(p.numel() for p in model.parameters()) > MOST_WEIGHTS:
        return None
    _seed()
    try:
        with torch.no_grad():
            loss = float(workload.loss(model, apart(batch)))
    except Exception:  # it needs a device, or gradients; a fault is told by the examination
        return None
    return f"{loss:.4g}"


def first_measures(workload: Workload, model: nn.Module) -> dict[str, str]:
    """What ``evaluate`` and the further metrics give before any training, by name.

    Nothing where it cannot be found out here, or takes long. The model is used up: matrices that
    begin at zero are filled, since a head of zeros gives the same whatever the data are.
    """
    _seed()
    _fill(model)
    model.eval()
    try:
        with given_up_after(LONGEST), torch.no_grad():
            found = {"evaluation": metric_of(workload, model), **metrics_of(workload, model)}
    except (Exception, _TooLongError):  # as for the loss
        return {}
    return {name: f"{value:.6g}" for name, value in found.items()}


def stepped_loss(
    workload: Workload, model: nn.Module, optimizer: Optimizer, batch: Batch
) -> str | None:
    """The loss of a batch after one step on it; None where it cannot be found out here, or would
    take long.

    It shows what only a backward or an optimizer's step reads, and loads what they import. The
    model and the optimizer are used up.
    """
    if sum(p.numel() for p in model.parameters()) > MOST_WEIGHTS:
        return None
    model.train()
    try:
        with given_up_after(LONGEST):
            _seed()
            workload.loss(model, apart(batch)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            _seed()
            with torch.no_grad():
                loss = float(workload.loss(model, apart(batch)))
    except (Exception, _TooLongError):  # as for the first
        return None
    return f"{loss:.6g}"


def spread_batches(workload: Workload, seed: int) -> dict[str, str]:
    """Digests of the batches of some steps after the first, all over the training, by step.

    How many steps depends on how long they take; any two calls for the same workload have the first
    few in common. A batch that cannot be made is left out.
    """
    found: dict[str, str] = {}
    end = time.monotonic() + BATCH_SECONDS
    for step in spread_steps(workload.steps):
        if len(found) >= SOME_BATCHES and time.monotonic() > end:
            break
        with contextlib.suppress(Exception):  # a fault is told by the examination, or by a trial
            found[str(step)] = batch_values(workload.batch_at(seed, step))
    return found


def spread_steps(steps: int) -> list[int]:
    """Steps after the first, so ordered that the first few of them are spread over the whole: the
    last, then those at multiples of the golden section.

    >>> spread_steps(60)[:6]
    [59, 37, 14, 51, 28, 5]
    """
    between = [int(steps * (index * GOLDEN % 1)) for index in range(1, MOST_BATCHES)]
    later = [step for step in dict.fromkeys([steps - 1, *between]) if step > 0]
    return later[: min(MOST_BATCHES, max(1, steps // 2))]


@contextlib.contextmanager
def given_up_after(seconds: float) -> Iterator[None]:
    """Inside, no module begins its forward later than this, in seconds of this thread at work: as
    much is done beside others.

    Raises:
        _TooLongError: one would have.
    """
    end = time.thread_time() + seconds

    def look(*_: object) -> None:
        if time.thread_time() > end:
            raise _TooLongError

    hook = register_module_forward_pre_hook(look)
    try:
        yield
    finally:
        hook.remove()


def _fill(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1 and parameter.is_floating_point() and not parameter.any():
                parameter.normal_(0.0, 0.02)


def _seed() -> None:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
