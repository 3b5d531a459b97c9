"""Losses and scores of models whose forward is called with a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.batches import Batch
from models.making import named

Loss = Callable[[nn.Module, Batch], Tensor]
IGNORED = -100
"""A label that is no answer, as in torch's own losses and Hugging Face's."""


def output_of(model: nn.Module, batch: Batch) -> Any:
    """What the model's forward returns: a dict's tensors are its keyword arguments, a tuple's or
    list's parts its arguments.
    """
    if isinstance(batch, Mapping):
        return model(**{name: value for name, value in batch.items() if isinstance(value, Tensor)})
    return model(*batch) if isinstance(batch, (tuple, list)) else model(batch)


def own_loss(model: nn.Module, batch: Batch) -> Tensor:
    """The loss that the model's forward returns: as ``.loss``, as ``["loss"]``, or by itself.

    Raises:
        ValueError: there is none.
    """
    output = output_of(model, batch)
    loss = output if isinstance(output, Tensor) else getattr(output, "loss", None)
    if loss is None and isinstance(output, Mapping):
        loss = output.get("loss")
    if isinstance(loss, Tensor):
        return loss.mean() if loss.dim() else loss
    raise ValueError(
        f"the model's forward must return a loss, but returned {named(output)}: put labels into "
        "the batch, or give loss=(model, batch) -> tensor"
    )


def supervised(criterion: Callable[[Any, Any], Tensor]) -> Loss:
    """``loss`` of batches (inputs, targets): ``criterion(model(inputs), targets)``.

    Raises:
        ValueError: it is the class of one.
    """
    given: Any = criterion
    if isinstance(given, type) and issubclass(given, nn.Module):
        raise ValueError(
            f"supervised(criterion) must be given a criterion, but got {named(given)}: make one, "
            f"supervised({given.__name__}())"
        )

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        inputs, targets = batch
        return criterion(model(inputs), targets)

    loss.__wrapped__ = criterion  # type: ignore[attr-defined]
    return loss


def is_criterion(loss: Any) -> bool:
    """Whether it is one of torch's own losses, by itself or as a class: these know no model."""
    kind = loss if isinstance(loss, type) else type(loss)
    of_torch = kind if issubclass(kind, nn.Module) else loss
    return str(getattr(of_torch, "__module__", "")).startswith(("torch.nn.modules.", "torch.nn.f"))


@dataclass(frozen=True)
class Score:
    """What is measured on held-out examples.

    Attributes:
        name: heads a column.
        of: (model, batch) -> its mean over the batch, or one value an example (rows,).
        maximize: whether higher is better.
    """

    name: str
    of: Callable[[nn.Module, Batch], Any]
    maximize: bool = False


def _right(model: nn.Module, batch: Batch) -> Tensor:
    """Whether each class that has an answer is told right, float32 (answers,).

    Raises:
        ValueError: logits and answers are not those of classes.
    """
    output = output_of(model, batch) if isinstance(batch, Mapping) else model(batch[0])
    answers = batch["labels"] if isinstance(batch, Mapping) else batch[1]
    logits: Tensor = output if isinstance(output, Tensor) else output.logits
    if answers.shape != logits.shape[:-1] or logits.shape[-1] < 2:
        raise ValueError(
            "accuracy must have logits (..., classes) of two classes or more and answers (...), "
            f"but got logits {tuple(logits.shape)} and answers {tuple(answers.shape)}: give "
            f"Score('accuracy', of, maximize=True){_way_to_right(logits, answers)}"
        )
    told = logits.argmax(-1)
    if _is_causal(model):  # whose forward moves the labels by one itself
        told, answers = told[:, :-1], answers[:, 1:]
    right: Tensor = told == answers
    return right[answers != IGNORED].to(torch.float32)


def _way_to_right(logits: Tensor, answers: Tensor) -> str:
    if logits.shape == answers.shape and answers.is_floating_point():
        return ", of one logit an answer (model(x) > 0) == (y > 0.5) say"
    return " with an own function of (model, batch)"


def _is_causal(model: nn.Module) -> bool:
    """Whether it is a language model of Hugging Face that tells the next token."""
    whole = getattr(model, "get_base_model", lambda: model)()
    return type(whole).__name__.endswith(("LMHeadModel", "ForCausalLM"))


accuracy = Score("accuracy", _right, maximize=True)
"""The share told right: of the classes in ``batch["labels"]``, or in the batch's second part.

Of a causal language model of Hugging Face the next tokens; labels of ``IGNORED`` do not count.
"""
