"""A workload made of a model, data and a few numbers."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from models.adapters.drawing import drawing_from
from models.adapters.examples import Data
from models.adapters.finding import Blocks, blocks_named, find_blocks
from models.adapters.losses import Loss, Score, own_loss
from models.adapters.parts import refuse_other_parts
from models.adapters.shrinking import Shrink, shrink_for
from models.application.batches import batch_size
from models.batches import Batch, tensors_of, to_device
from models.frames import written_at
from models.making import named
from models.measuring import number_of, way_to_number
from models.workload import Workload

EVALUATIONS = 10
"""Of a run, where nothing else is said."""
WARM_UP = 0.05
"""Share of the steps, likewise."""


# Each is a field of Workload, or what one is made of, under its own name.
def bring(
    name: str,
    model: nn.Module | Callable[..., nn.Module],
    data: Data,
    *,
    steps: int,
    optimizer: float | Callable[[nn.Module], Any],
    loss: Loss = own_loss,
    score: Score | None = None,
    metrics: Sequence[Score] = (),
    blocks: str | Blocks = find_blocks,
    shrink: Shrink | None = None,
    **others: Any,
) -> Workload:
    """The workload of a model and its data.

    Args:
        name: heads the results.
        model: () -> model, or seed -> model, called with the process's generators seeded; or one
            model that every run begins with a copy of.
        data: ``Examples``, ``from_loader`` or ``Cursor``.
        steps: of plain training.
        optimizer: model -> optimizer with its peak rates, or AdamW's peak rate.
        loss: (model, batch) -> scalar tensor; by default what the model's forward returns.
        score: what is measured on the held-out batches; by default the loss.
        metrics: what else is measured on them where a trial ends, and recorded.
        blocks: model -> its blocks in forward order, or their list's path; by default they are
            found.
        shrink: by default made for what batches hold: texts or pictures.
        others: further fields of ``models.workload.Workload``. By default there are ten
            evaluations, and the warm-up is a twentieth of the steps.

    Raises:
        ValueError: a part is of another kind, a value out of range, two metrics have one name, or
            there is nothing to evaluate on.
    """
    measured = [] if score is None else [("score", score)]
    measured += [("each of metrics", each) for each in metrics]
    refuse_other_parts(model, data, optimizer, loss, steps, measured, others)
    held_out = data.held_out
    if not held_out:
        raise ValueError("held_out must hold at least one batch to evaluate on, but got none")
    if not tensors_of(held_out[0]):
        raise ValueError(
            f"batches must hold tensors, but this one is {named(held_out[0])}: give Examples a "
            "collate that makes some of it, by a tokenizer for texts say"
        )
    score = score or Score("validation loss", loss)
    evaluate = Evaluation(held_out, score)
    given = {
        "held_out": evaluate.examples,
        "eval_every": max(1, steps // EVALUATIONS),
        "warmup_steps": round(WARM_UP * steps),
        "metric": score.name,
        "maximize": score.maximize,
        "fingerprint": data.fingerprint,
        "examples_at": data.examples_at,
        "shrink": shrink or shrink_for(held_out[0]),
    }
    return Workload(
        name=name,
        make_model=Seeded(model),
        blocks=blocks_named(blocks) if isinstance(blocks, str) else blocks,
        batch_at=data.batch_at,
        loss=loss,
        evaluate=evaluate,
        metrics=_further(metrics, held_out),
        make_optimizer=partial(adamw, rate=float(optimizer))
        if isinstance(optimizer, (int, float))
        else optimizer,
        steps=steps,
        **{**given, **others},
    )


def _further(metrics: Sequence[Score], held_out: Sequence[Batch]) -> dict[str, Evaluation]:
    names = [each.name for each in metrics]
    if len(set(names)) < len(names):
        raise ValueError(f"metrics must have names that differ, but got {names}")
    return {each.name: Evaluation(held_out, each) for each in metrics}


def adamw(model: nn.Module, rate: float) -> Optimizer:
    """AdamW with torch's other defaults, over what is to be trained, in one kernel a step."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return AdamW(trained, lr=rate, fused=True)


class Seeded:
    """``make_model`` from the user's way of making a model: all that it draws comes from the seed.

    The model is put into training mode, as pretrained models come in evaluation mode.
    """

    def __init__(self, model: nn.Module | Callable[..., nn.Module]) -> None:
        self._model = model
        self.__wrapped__ = type(model) if isinstance(model, nn.Module) else model

    def __call__(self, seed: int) -> nn.Module:
        """The model of a seed, on the CPU."""
        if isinstance(self._model, nn.Module):
            return copy.deepcopy(self._model)
        with drawing_from(seed):
            return self._model(seed) if _takes_seed(self._model) else self._model()


def _takes_seed(make: Callable[..., Any]) -> bool:
    parameters = inspect.signature(make).parameters.values()
    return any(p.name == "seed" or (p.default is p.empty and p.kind < 2) for p in parameters)


def _examples(batch: Batch) -> int:
    labels = batch.get("labels") if isinstance(batch, Mapping) else None
    return labels.numel() if isinstance(labels, torch.Tensor) else batch_size(batch)


class Evaluation:
    """``evaluate``: the mean of a score over the held-out examples.

    Attributes:
        examples: over how many; of texts their tokens with labels.
    """

    def __init__(self, batches: Sequence[Batch], score: Score) -> None:
        self._batches, self._score = batches, score
        self.__wrapped__ = score.of
        self.examples = sum(map(_examples, batches))

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> float:
        """Batches that give one number count as many times as they have examples."""
        device = next(model.parameters()).device
        total, count = 0.0, 0
        for batch in self._batches:
            found, size = self._score.of(model, to_device(batch, device)), batch_size(batch)
            total += _mean(found, self._score) * size
            count += size
        return total / count


def _mean(found: Any, score: Score) -> float:
    """The mean score of a batch.

    Raises:
        ValueError: it is neither a number nor one value an example; says where the score is.
    """
    if isinstance(found, Tensor) and 0 < found.numel() == max(found.shape, default=1):
        # Whether an example is told right, say, is no float yet.
        return float((found if found.is_floating_point() else found.float()).mean())
    number = number_of(found)
    if number is None:
        raise ValueError(
            f"score {score.name!r} must be the mean over a batch or one value an example, but got "
            f"{named(found)}{way_to_number(found, score.name)}{written_at(score.of, 'of')}"
        )
    return number
