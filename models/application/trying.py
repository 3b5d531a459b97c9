"""What a workload can have of the levers that change what a step sees and runs, each tried once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.application.batches import OfSeed, Stream, batch_size, cut
from models.application.direction import direction_fault
from models.application.prefix import Prefix, example_numbers
from models.batches import apart, same_values, to_device, values_of
from models.frames import told
from models.levers.cached_prefix import CachedPrefix
from models.levers.levers import Levers
from models.levers.planning import planned
from models.making import blocks_of, new_model, new_optimizer
from models.measuring import loss_of
from models.workload import Workload
from policies.apply import BlockUpdater, Presence, begin_as, trace_parts
from policies.full_update import FullUpdate

SEED = 0
MOST_STEPS = 10_000
"""Steps over which an example is looked for that comes again."""
CLOSE = 1e-5
"""How far a loss above kept activations may be from the one through the prefix, relatively.

Both are of the same numbers; what is lost beside them moves the loss of a new model only little.
"""
MOST_PAIRS = 16
"""Examples that are looked at again, in the place where each comes next; and batches that are
joined with the next, of which all have to be of one shape."""
HALF = 0.5
NO_SHRINK = (
    "the workload has no shrink(batch, share): give one, or of models.adapters shorter where "
    "batches hold texts, smaller where pictures"
)


def lever_faults(workload: Workload, device: torch.device) -> dict[str, Callable[[], str | None]]:
    """For each lever a function that says in one line why the workload cannot have it, or None.

    The functions run forwards, and take no step.
    """
    tries: dict[str, Callable[[Workload, torch.device], str | None]] = {
        "batch": _batch_fault,
        "depth": _depth_fault,
        "input": _input_fault,
        "cached_prefix": _prefix_fault,
    }
    return {name: partial(_told, try_it, workload, device) for name, try_it in tries.items()}


def _told(
    try_it: Callable[[Workload, torch.device], str | None],
    workload: Workload,
    device: torch.device,
) -> str | None:
    try:
        with torch.no_grad():
            return try_it(workload, device)
    except Exception as fault:  # whatever a user's model says of what it was given
        return told(fault)


def examples_of(workload: Workload) -> int:
    """Examples in a batch; 1 where it cannot be cut, which the lever itself is left out for."""
    try:
        return batch_size(workload.batch_at(SEED, 0))
    except ValueError:
        return 1


def count_of_blocks(workload: Workload) -> int:
    """Blocks that the workload's own model has."""
    return len(blocks_of(workload, new_model(workload, SEED, torch.device("cpu"))))


def _batch_fault(workload: Workload, device: torch.device) -> str | None:
    if fault := direction_fault(workload, device):
        return fault
    stream = Stream(OfSeed(workload.batch_at, SEED))
    model = new_model(workload, SEED, device)
    for factor in (HALF, 2.0):
        found = float(workload.loss(model, to_device(stream.take(Fraction(0), factor), device)))
        if not math.isfinite(found):
            return f"of {factor:g} batches the loss is {found}"
    whole = batch_size(workload.batch_at(SEED, 0))
    parts = [batch_size(stream.take(Fraction(0), factor)) for factor in (HALF, 2.0)]
    if parts != [whole // 2, 2 * whole]:
        return f"batches of {whole} examples, cut and joined, came to {parts}"
    # Texts that are padded by the batch may be alike in the first two.
    for step in range(1, MOST_PAIRS):
        stream.take(Fraction(2 * step), 2.0)
    return None


def _depth_fault(workload: Workload, device: torch.device) -> str | None:
    model = new_model(workload, SEED, device)
    blocks = blocks_of(workload, model)
    if len(blocks) < 2:
        return "there is one block, and one has to be present"
    for block in blocks[1:]:
        begin_as(block, blocks[0])
    Presence(blocks, 1)
    workload.loss(model, to_device(workload.batch_at(SEED, 0), device))
    return None


def _input_fault(workload: Workload, device: torch.device) -> str | None:
    if workload.shrink is None:
        return NO_SHRINK
    model = new_model(workload, SEED, device)
    small = workload.shrink(workload.batch_at(SEED, 0), HALF)
    workload.loss(model, to_device(small, device))
    return None


def _prefix_fault(workload: Workload, device: torch.device) -> str | None:
    if workload.examples_at is None:
        return "the workload has no examples_at(seed, step), so nobody knows what comes again"
    again = list(itertools.islice(_that_come_again(workload), MOST_PAIRS))
    if not again:
        return "no example comes again within the workload's steps"
    for (step, place), (later, there) in again:
        if not same_values(_example(workload, step, place), _example(workload, later, there)):
            return f"the same example is another at steps {step} and {later}"
    return _made_otherwise(workload, device, *again[0]) or _served_otherwise(workload, device)


def _ids(workload: Workload, step: int) -> Tensor:
    assert workload.examples_at is not None
    return example_numbers(workload.examples_at(SEED, step))


def _that_come_again(workload: Workload) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """(step, place in its batch) of examples and of where each comes next."""
    seen: dict[int, tuple[int, int]] = {}
    for step in range(min(workload.steps, MOST_STEPS)):
        for place, number in enumerate(_ids(workload, step).tolist()):
            if number in seen and seen[number][0] != step:
                yield seen[number], (step, place)
            seen[number] = step, place


def _example(workload: Workload, step: int, place: int) -> list[Any]:
    """What a batch holds of the example in one place; numbers beside it are of the step."""
    batch = workload.batch_at(SEED, step)
    values = values_of(cut(batch, place, place + 1, batch_size(batch)))
    return [value for value in values if isinstance(value, (Tensor, np.ndarray))]


def _made_otherwise(
    workload: Workload, device: torch.device, first: tuple[int, int], again: tuple[int, int]
) -> str | None:
    """Why the frozen prefix does not give one example the same activations again, or beside the
    examples of another batch; None if it does.

    ``first`` and ``again`` are (step, place in the batch) of the same example. The prefix is tried
    in training mode, since in evaluation mode nothing is drawn, and under an updater, since without
    one nobody knows what is trained.
    """
    model, lever = new_model(workload, SEED, device), CachedPrefix(1.0, prefix_until=1.0)
    blocks = blocks_of(workload, model)
    if len(blocks) < 2:
        return "there is one block, and one has to be trained"
    steps = first[0], first[0], again[0]
    batches = [to_device(workload.batch_at(SEED, step), device) for step in steps]
    policy = planned(FullUpdate(), Levers(lever), len(blocks), SEED)
    with torch.enable_grad():
        places = trace_parts(model, blocks, lambda: workload.loss(model, apart(batches[0])))
        optimizer = new_optimizer(workload, model)
        updater = BlockUpdater(model, blocks, policy, optimizer, stem=places)
        kept = []
        for number, batch in zip(steps, batches, strict=True):
            prefix = Prefix(blocks, lever, settled=lambda: True)
            with updater.step(fraction=0.0) as step, prefix.around(_ids(workload, number)):
                loss = loss_of(workload, model, apart(batch))
                loss.backward()  # type: ignore[no-untyped-call]
                step.observe(loss)
            kept.append(prefix.state_dict())
            optimizer.zero_grad(set_to_none=True)
    one, other, later = kept
    if not _close(one["values"], other["values"]):
        return (
            "frozen blocks are given other activations of the same example each time: something "
            "outside of them draws, as functional.dropout in the model's forward does"
        )
    number = int(_ids(workload, first[0])[first[1]])
    if number in one["ids"] and number in later["ids"]:  # there may not be room for all
        rows = [state["values"][state["ids"].index(number)] for state in (one, later)]
        if rows[0].shape == rows[1].shape and not _close(*rows):
            return (
                "frozen blocks are given other activations of the same example beside other ones: "
                "something outside of them joins the examples of a batch, as taking away their "
                "mean in the model's forward does"
            )
    return None


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=CLOSE, atol=CLOSE * float(one.abs().max()))


def _served_otherwise(workload: Workload, device: torch.device) -> str | None:
    model = new_model(workload, SEED, device).eval()
    blocks = blocks_of(workload, model)
    batch = to_device(workload.batch_at(SEED, 0), device)
    prefix, ids = Prefix(blocks, CachedPrefix(HALF)), _ids(workload, 0)
    losses = []
    for _ in range(2):
        with prefix.around(ids):
            losses.append(float(workload.loss(model, apart(batch))))
    if abs(losses[1] - losses[0]) > CLOSE * abs(losses[0]):
        return (
            f"above kept activations the loss is {losses[1]:.8g}, through the prefix it is "
            f"{losses[0]:.8g}: the blocks' input is not all that reaches them from below"
        )
    return None
