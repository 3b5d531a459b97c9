"""What ``bring`` is given, looked at before anything is made of it: every fault in one message."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from torch import nn

from models.adapters.losses import Score, is_criterion
from models.making import named
from models.workload import Workload, is_count

FUNCTION = "give lambda model: AdamW(model.parameters(), lr=...), as every trial makes its own"
INSTEAD = {
    "evaluate": "score=accuracy, or score=Score(name, of) with a function (model, batch)",
    "make_model": "model=",
    "batch_at": "data=",
    "make_optimizer": "optimizer=",
    "epochs": "steps=, epochs times the batches of one",
    "lr": "optimizer=, a rate or a function model -> optimizer",
    "learning_rate": "optimizer=, a rate or a function model -> optimizer",
    "batch_size": "Examples(..., batch_size=)",
    "collate": "Examples(..., collate=)",
    "collate_fn": "Examples(..., collate=)",
    "seed": "nothing: a search seeds each of its trials",
}
"""What to give in place of fields that are made here, and of what others call an argument."""


# Each is what ``bring`` was given.
def refuse_other_parts(
    model: Any,
    data: Any,
    optimizer: Any,
    loss: Any,
    steps: Any,
    scores: Sequence[Any],
    others: Collection[str],
) -> None:
    """Refuse what is not of the kind that is asked for.

    Raises:
        ValueError: names every such part, what it is, and what to do.
    """
    faults = [
        *_model_and_data(model, data),
        *_optimizer(optimizer),
        *_loss(loss),
        *([] if is_count(steps) else [f"steps must be a whole number, but got {steps!r}"]),
        *(
            f"{what} must be a Score, but got {named(score)}: accuracy, or Score(name, of) with a "
            "function (model, batch) -> its mean"
            for what, score in scores
            if not isinstance(score, Score)
        ),
        *_unknown(others),
    ]
    if faults:
        raise ValueError("; ".join(faults))


def _unknown(names: Collection[str]) -> Iterator[str]:
    fields = [field.name for field in dataclasses.fields(Workload)]
    for name in sorted(names):
        if name in INSTEAD:
            yield f"bring takes no {name}: give {INSTEAD[name]}"
        elif name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            more = f"; did you mean {close[0]}?" if close else ", and Workload has no such field"
            yield f"bring takes no {name}{more}"


def _model_and_data(model: Any, data: Any) -> Iterator[str]:
    if not callable(model):
        yield f"model must be a model or a function that makes one, but got {named(model)}"
    if not hasattr(data, "held_out") or not hasattr(data, "batch_at"):
        yield (
            "data must be Examples(train, held_out), from_loader(train, held_out) or "
            f"Cursor(make_stream, held_out), but got {named(data)}: put it into one"
        )


def _optimizer(optimizer: Any) -> Iterator[str]:
    rule = "optimizer must be AdamW's peak rate or a function model -> optimizer, but got "
    if isinstance(optimizer, (int, float)):
        if isinstance(optimizer, bool) or not 0 < optimizer < math.inf:
            yield f"{rule}{optimizer!r}: a rate is a finite number above 0"
    elif not callable(optimizer) or isinstance(optimizer, type):
        yield f"{rule}{named(optimizer)}: {FUNCTION}"


def _loss(loss: Any) -> Iterator[str]:
    rule = f"loss must be a function (model, batch) -> tensor, but got {named(loss)}"
    if is_criterion(loss):
        yield f"{rule}, a criterion of outputs and targets: give supervised(it)"
    elif not callable(loss) or (isinstance(loss, type) and issubclass(loss, nn.Module)):
        yield f"{rule}: give one, or leave it out where the model's forward returns its loss"
