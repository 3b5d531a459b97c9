"""The rules about what a workload is made of: its model, its batches, its losses."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from models.device import synchronize
from models.frames import told
from models.levers.shaping import resting
from models.making import blocks_of, named, new_optimizer, parameter_faults
from policies.applying.faults import checked_blocks
from tuning.training.examination.subject import (
    SEED,
    Subject,
    differing,
    marks_of,
    refused,
    remark,
    some,
    state_of,
)
from tuning.training.generators import EVALUATION_SEED, generators_kept, seed_all
from tuning.trial.soundness import Finding

FAR = 10
"""Times the baseline's steps: a light schedule takes more of them in the same time."""


def model_rules(subject: Subject) -> Iterator[Finding]:
    """A model in training mode, the same for a seed; blocks of it; an optimizer for it."""
    workload = subject.workload
    seed_all(SEED)
    raw = workload.make_model(SEED)
    if isinstance(raw, nn.Module) and not raw.training:
        yield remark(
            "training mode",
            "make_model returned the model in evaluation mode, as pretrained ones come: it is "
            "trained in training mode",
        )
    model = subject.model()
    yield from _same_weights(raw, model)
    blocks = blocks_of(workload, model)
    checked_blocks(model, blocks, None)
    optimizer = new_optimizer(workload, model)
    yield from (refused("parameters", fault) for fault in parameter_faults(model))
    yield from _optimizer_rules(model, blocks, optimizer)
    if not workload.fingerprint:
        yield remark(
            "fingerprint",
            "Workload.fingerprint is empty: a run that goes on will not see that its data changed; "
            "give it a hash of the data",
        )


def _same_weights(one: Any, other: nn.Module) -> Iterator[Finding]:
    if names := differing(state_of(one), state_of(other)):
        yield refused(
            "weights",
            f"make_model({SEED}) must give the same weights each time, but two models made from it "
            f"differ in {some(names)}: draw them from a generator that is seeded with the seed",
        )


def _optimizer_rules(
    model: nn.Module, blocks: list[nn.Module], optimizer: Optimizer
) -> Iterator[Finding]:
    own = {id(parameter): name for name, parameter in model.named_parameters()}
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    trained = [id(p) for p in model.parameters() if p.requires_grad]
    if not trained:
        yield refused(
            "parameters", "a model must have something to train, but no parameter requires a grad"
        )
    elif not set(held) & set(trained):
        yield refused(
            "optimizer",
            "make_optimizer(model) must hold parameters of the model it is given, but holds none: "
            "it was made for another model",
        )
    elif left := [own[key] for key in trained if key not in set(held)]:
        yield remark("optimizer", f"the optimizer does not hold {some(left)}: they never move")
    if strangers := sum(key not in own for key in held):
        yield remark(
            "optimizer",
            f"the optimizer holds {strangers} parameters that are not the model's: they move in "
            "every step, whatever a schedule freezes",
        )
    resting = [i for i, b in enumerate(blocks) if not any(p.requires_grad for p in b.parameters())]
    if resting:
        which = some([str(index) for index in resting])
        yield remark("blocks", f"blocks with nothing to train: {which}; schedules count them too")


def batch_rules(subject: Subject) -> Iterator[Finding]:
    """Batches by index: the same for a step, others for other steps, as many as are asked for."""
    at = subject.workload.batch_at
    first = at(SEED, 0)
    if hasattr(first, "__next__") or isinstance(first, torch.utils.data.DataLoader):
        yield refused(
            "batches",
            f"batch_at(seed, step) must return the batch of that step, but got {named(first)}: "
            "index the data by the step, an iterator cannot be resumed",
        )
        return
    if marks_of(first) != marks_of(at(SEED, 0)):
        yield refused(
            "batches",
            f"batch_at(seed, step) must give the same batch each time, but batch_at({SEED}, 0) "
            "gave two: index the data by the step, and draw from a generator that is seeded with "
            "(seed, step)",
        )
    elif marks_of(first) == marks_of(at(SEED, 1)) == marks_of(at(SEED, 2)):
        yield remark("batches", "batch_at gives the same batch for every step")
    step = FAR * subject.workload.steps
    try:
        at(SEED, step)
    except Exception as fault:
        yield refused(
            "batches",
            f"batch_at(seed, step) must give a batch for every step, but at step {step} raised "
            f"{told(fault)}: light schedules take more steps than the workload's own "
            f"{subject.workload.steps}; begin the data again when it ends",
        )


def loss_rules(subject: Subject) -> Iterator[Finding]:
    """A scalar with a gradient."""
    loss: Any = subject.workload.loss(subject.model(), subject.batch())
    must = "loss(model, batch) must return a scalar tensor to minimise"
    if not isinstance(loss, Tensor):
        yield refused("loss", f"{must}, but got {named(loss)}{_way_to_loss(loss)}")
    elif loss.numel() != 1:
        yield refused("loss", f"{must}, but got {named(loss)}: take its mean")
    elif not loss.requires_grad:
        yield refused(
            "loss",
            f"{must}, but what it returned has no gradient: leave out detach(), item(), no_grad() "
            "and torch.tensor(...) on the way to it",
        )
    elif not math.isfinite(first := loss.item()):
        yield refused("loss", f"the first training loss must be finite, but got {first}")


def _way_to_loss(loss: Any) -> str:
    if isinstance(getattr(loss, "loss", None), Tensor):
        return ": return its .loss"
    if isinstance(loss, Mapping):
        return ": return one of its values"
    if isinstance(loss, (int, float)):
        return ": a number has no gradient, return the tensor before .item()"
    return ": return its first value" if isinstance(loss, tuple) else ""


def evaluation_rules(subject: Subject) -> Iterator[Finding]:
    """One finite number, the same each time, with the model left as it was."""
    model = subject.model()
    value = _evaluated(subject, model, EVALUATION_SEED)
    must = "evaluate(model) must return one number, lower is better"
    number = _number(value)
    if number is None:
        yield refused("evaluation", f"{must}, but got {named(value)}{_way_to_number(value)}")
        return
    if not math.isfinite(number):
        yield refused("evaluation", f"{must}, but got {number} before any training")
    before = state_of(model)
    again = _number(_evaluated(subject, model, EVALUATION_SEED + 1))
    if names := differing(before, state_of(model)):
        yield refused(
            "evaluation",
            f"evaluate(model) must leave the model as it is, but changed {some(names)}: leave out "
            "model.train() and optimizer steps, or work on a copy",
        )
    elif number != again:
        yield _drawn(number, _number(_evaluated(subject, model, EVALUATION_SEED)))


def _drawn(number: float, again: float | None) -> Finding:
    """Why two evaluations with the generators elsewhere differ, given one with them alike."""
    if number != again:
        return refused(
            "evaluation",
            f"evaluate(model) must give the same number each time, but gave {number!r} and "
            f"{again!r}: always use the same validation data, seeded if it is drawn",
        )
    return remark(
        "evaluation",
        "evaluate(model) draws from the process's random generators; they are seeded alike "
        "before each evaluation, so that trials can be compared",
    )


def _evaluated(subject: Subject, model: nn.Module, seed: int) -> Any:
    begun = time.perf_counter()
    with generators_kept(), resting(model):
        seed_all(seed)
        found = subject.workload.evaluate(model)
    synchronize()
    subject.evaluation_seconds = time.perf_counter() - begun
    return found


def _number(value: Any) -> float | None:
    """The number that a value is; None where it is none."""
    if isinstance(value, (int, float, np.number)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, (Tensor, np.ndarray)) and math.prod(value.shape) == 1:
        return float(value.item())
    return None


def _way_to_number(value: Any) -> str:
    if value is None:
        return ": is a return missing?"
    return ": return one of its values" if isinstance(value, (Mapping, tuple, list)) else ""
