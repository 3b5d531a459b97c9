"""The rules about what a workload is made of: its model, its batches, its losses."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from models.batches import values_of
from models.device import synchronize
from models.frames import told, written_at
from models.levers.shaping import resting
from models.making import blocks_of, named, new_optimizer, parameter_faults, parts_at_rest
from models.measuring import loss_of, metric_of, metrics_of, must_evaluate
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

BETTER_HIGHER = ("accuracy", "f1", "auc", "precision", "recall", "bleu", "rouge")
"""Parts of names of metrics that are maximised."""
FEW = 400
"""The number of held-out examples below which an accuracy varies by more than 2.5 % by chance."""
BROADCAST = "different to the input size"
"""Part of torch's warning about a loss whose targets have another size than the predictions."""
FAR = 10
"""By which factor a run may have more steps than the baseline: a light schedule takes more of them
in the same time.
"""


def model_rules(subject: Subject) -> Iterator[Finding]:
    """Whether the workload makes a model in training mode, the same for a seed, with blocks and an
    optimizer for it.
    """
    workload = subject.workload
    seed_all(SEED)
    raw = workload.make_model(SEED)
    if isinstance(raw, nn.Module):
        yield from _at_rest(raw)
    model = subject.model()
    yield from _same_weights(workload.make_model, raw, model)
    blocks = blocks_of(workload, model)
    checked_blocks(model, blocks, None)
    optimizer = new_optimizer(workload, model)
    yield from (refused("parameters", fault) for fault in parameter_faults(model))
    yield from _optimizer_rules(model, blocks, optimizer)
    if not workload.fingerprint:
        yield remark(
            "fingerprint",
            "Workload.fingerprint is empty: a run that goes on compares only some batches and the "
            "first evaluation with those it began with; give it a hash of the data",
        )


def _at_rest(model: nn.Module) -> Iterator[Finding]:
    if names := list(parts_at_rest(model)):
        what = "the model" if names == [""] else some(names)
        yield remark(
            "training mode",
            f"make_model returned {what} in evaluation mode, as pretrained models come: it is put "
            "into training mode; a part that is to rest has an own train() that keeps it so",
        )


def _same_weights(make: Any, one: Any, other: nn.Module) -> Iterator[Finding]:
    if names := differing(state_of(one), state_of(other)):
        yield refused(
            "weights",
            f"make_model({SEED}) must give the same weights each time, but two models made from it "
            f"differ in {some(names)}: draw them from a generator that is seeded with the seed"
            f"{written_at(make, 'make_model')}",
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
    """Whether batches go by index: the same for a step, others for other steps, and as many as are
    asked for.
    """
    at = subject.workload.batch_at
    first = at(SEED, 0)
    whole = _runs_out(first) or isinstance(first, torch.utils.data.DataLoader)
    parts = [] if whole else list(filter(_runs_out, values_of(first, 1)))
    if whole or parts:
        what = named(first) if whole else f"{named(first)} with {named(parts[0])} in it"
        yield refused(
            "batches",
            f"batch_at(seed, step) must return the batch of that step, but got {what}: "
            "index the data by the step, an iterator cannot be resumed"
            + ("" if whole else " and is empty when it is read again; make a list of it"),
        )
        return
    if marks_of(first) != marks_of(at(SEED, 0)):
        yield refused(
            "batches",
            f"batch_at(seed, step) must give the same batch each time, but batch_at({SEED}, 0) "
            "gave two: index the data by the step, and draw from a generator that is seeded with "
            f"(seed, step){written_at(at, 'batch_at')}",
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


def _runs_out(value: Any) -> bool:
    """Whether ``value`` is an iterator. Its class is asked, because a table may answer for any
    attribute.
    """
    return hasattr(type(value), "__next__")


def loss_rules(subject: Subject) -> Iterator[Finding]:
    """Whether the loss is a scalar with a gradient, for which blocks run in the order in which they
    are listed.
    """
    model, ran = subject.model(), list[int]()
    drawn = marks_of(subject.workload.batch_at(SEED, 0))
    blocks = blocks_of(subject.workload, model)
    for index, block in enumerate(blocks):
        block.register_forward_pre_hook(lambda *_, index=index: ran.append(index))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        first = loss_of(subject.workload, model, subject.batch()).item()
    yield from _warnings(heard, subject.workload.loss)
    if not math.isfinite(first):
        yield refused("loss", f"the first training loss must be finite, but got {first}")
    if marks_of(subject.workload.batch_at(SEED, 0)) != drawn:
        yield refused(
            "batches",
            "loss(model, batch) must leave the data as they are, but after it batch_at"
            f"({SEED}, 0) gave another batch: it changes the batch in place, which others share; "
            "make a new tensor (x = x + noise, not x += noise), or copy in batch_at",
        )
    order = list(dict.fromkeys(ran))
    if order != sorted(order):
        yield remark(
            "blocks",
            f"blocks must be listed in forward order, but those listed as {sorted(order)} first "
            f"ran as {order}: schedules freeze the first of the list, which saves least where they "
            "run last",
        )


def _warnings(heard: list[warnings.WarningMessage], loss: Any) -> Iterator[Finding]:
    """A finding for each warning that a loss broadcasts targets against predictions; other warnings
    are passed on.
    """
    for each in heard:
        if BROADCAST in str(each.message):
            yield remark(
                "loss",
                "predictions and targets of unlike size are broadcast, so that each prediction is "
                f"compared with every target{written_at(loss, 'loss')}: "
                f"{str(each.message).split('. ')[0]}; squeeze or unsqueeze one of them",
            )
        else:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def evaluation_rules(subject: Subject) -> Iterator[Finding]:
    """Whether an evaluation gives one finite number, the same each time, and leaves the model as it
    was.
    """
    model = subject.model()
    number = subject.untrained = evaluated(subject, model)
    if not math.isfinite(number):
        must = must_evaluate(subject.workload)
        yield refused("evaluation", f"{must}, but got {number} before any training")
    yield from _of_metric(subject)
    before = state_of(model)
    yield from _further(subject, model)
    again = evaluated(subject, model, EVALUATION_SEED + 1)
    if names := differing(before, state_of(model)):
        yield refused(
            "evaluation",
            f"evaluate(model){_and_metrics(subject)} must leave the model as it is, but changed "
            f"{some(names)}: leave out model.train() and optimizer steps, or work on a copy",
        )
    elif number != again:
        yield _drawn(number, evaluated(subject, model))


def _further(subject: Subject, model: nn.Module) -> Iterator[Finding]:
    """Whether further metrics are finite numbers. That they leave the model as it is is seen with
    the evaluation.
    """
    with generators_kept(), resting(model):
        seed_all(EVALUATION_SEED)
        found = metrics_of(subject.workload, model)
    for name, value in found.items():
        if not math.isfinite(value):
            yield remark(
                "metrics",
                f"metrics[{name!r}](model) gave {value} before any training; a trial that ends "
                "with such a value has none recorded",
            )


def _of_metric(subject: Subject) -> Iterator[Finding]:
    """Remarks on the metric: whether its name fits its direction, and whether it is measured on
    enough examples.
    """
    workload = subject.workload
    sounds = any(word in workload.metric.lower() for word in BETTER_HIGHER)
    if sounds and not workload.maximize:
        yield remark(
            "metric",
            f"{workload.metric!r} sounds as if higher were better, but maximize is False, so the "
            "least is looked for: give maximize=True, unless it is an error or a negative",
        )
    count = workload.held_out
    if 0 < count < FEW:
        yield remark(
            "validation examples",
            f"evaluate measures {count} held-out answers: by chance a share told right of so few "
            f"strays by about {0.5 / math.sqrt(count):.1%}, and a loss likewise by more than "
            f"recipes differ; hold out {FEW} or more",
        )


def _and_metrics(subject: Subject) -> str:
    return " and metrics" if subject.workload.metrics else ""


def _drawn(number: float, again: float) -> Finding:
    """Why two evaluations differ that began with the generators in different states. ``number`` and
    ``again`` are two that began with them alike.
    """
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


def evaluated(subject: Subject, model: nn.Module, seed: int = EVALUATION_SEED) -> float:
    """What ``evaluate`` gives for ``model``, with the generators seeded; it is timed."""
    begun = time.perf_counter()
    with generators_kept(), resting(model):
        seed_all(seed)
        found = metric_of(subject.workload, model)
    synchronize()
    subject.evaluation_seconds = time.perf_counter() - begun
    return found
