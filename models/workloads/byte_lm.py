"""Workload ``byte_lm``: next bytes of real text by a small transformer, fitted to one core.

How depth, width, batch and steps were chosen is measured by ``benchmarks/quality/byte_lm_fit.py``;
the optimizer's numbers were found by a search of the space ``tune``. Both are told in
``docs/byte_lm.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from models.workload import Workload
from models.workloads.corpus import Corpus, load_corpus, require_bytes
from models.workloads.optimizers import fused_adamw
from models.workloads.transformer import Shape, Transformer, make_transformer

VOCABULARY = 256
VALIDATION_BYTES = 16_384
"""Predicted in one evaluation."""


@dataclass(frozen=True)
class Recipe:
    """The numbers that the fit chose.

    Attributes:
        batch: windows a step.
        learning_rate, betas: AdamW's, the rate at its peak.
        warmup_steps, decay_fraction: as in ``Workload``.
    """

    depth: int = 4
    width: int = 32
    heads: int = 2
    window: int = 32
    batch: int = 16
    steps: int = 720
    learning_rate: float = 7.5e-3
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.8, 0.975)
    warmup_steps: int = 80
    decay_fraction: float = 0.3

    @property
    def shape(self) -> Shape:
        """The shape of the model."""
        return Shape(VOCABULARY, self.depth, self.width, self.heads, self.window)


def byte_lm(corpus_dir: Path | None = None, recipe: Recipe = Recipe()) -> Workload:
    """Next bytes of the text below ``corpus_dir``, or of the Python standard library's sources.

    A batch is int64 (batch, window + 1); the loss is in nats a byte, at first about ln 256 = 5.55.

    Raises:
        ValueError: the corpus does not exist, cannot be read, or is too small for a window or an
            evaluation.
    """
    corpus = load_corpus(corpus_dir)
    require_bytes(corpus, train=recipe.window + 1, validation=VALIDATION_BYTES)
    return Workload(
        name="byte_lm",
        make_model=partial(make_transformer, recipe.shape),
        blocks=blocks,
        batch_at=batches(corpus, recipe),
        loss=loss,
        evaluate=evaluation(corpus, recipe.window),
        make_optimizer=partial(make_optimizer, recipe=recipe),
        steps=recipe.steps,
        eval_every=max(1, recipe.steps // 10),
        warmup_steps=recipe.warmup_steps,
        decay_fraction=recipe.decay_fraction,
        fingerprint=corpus.fingerprint,
        shrink=shrink,
    )


def blocks(model: nn.Module) -> Sequence[nn.Module]:
    """List the transformer's blocks in forward order."""
    assert isinstance(model, Transformer)
    return list(model.blocks)


def loss(model: nn.Module, batch: Tensor) -> Tensor:
    """Mean cross-entropy in nats of each byte of ``batch``, (B, T + 1), after the first."""
    logits: Tensor = model(batch[:, :-1])
    return functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


def shrink(batch: Tensor, share: float) -> Tensor:
    """The beginning of every window of ``batch``, (B, T + 1): ``share`` of its T predicted bytes,
    rounded, and at least one.
    """
    return batch[:, : 1 + max(1, round(share * (batch.shape[1] - 1)))]


def batches(corpus: Corpus, recipe: Recipe) -> Callable[[int, int], Tensor]:
    """Make ``batch_at``: windows at places drawn from (seed, step) alone, (batch, window + 1)."""

    def batch_at(seed: int, step: int) -> Tensor:
        places = len(corpus.train) - recipe.window
        starts = np.random.default_rng((seed, step)).integers(0, places, size=recipe.batch)
        return _windows(corpus.train, starts, recipe.window)

    return batch_at


def evaluation(corpus: Corpus, window: int) -> Callable[[nn.Module], float]:
    """Make ``evaluate``: mean loss over windows spread evenly over the validation bytes."""
    count = VALIDATION_BYTES // window
    starts = np.linspace(0, len(corpus.validation) - window - 1, count).astype(np.int64)
    windows = _windows(corpus.validation, starts, window)

    @torch.no_grad()
    def evaluate(model: nn.Module) -> float:
        device = next(model.parameters()).device
        # In parts: the logits of all windows at once would take half the memory of a training run.
        parts = torch.split(windows, 64)
        return sum(loss(model, part.to(device)).item() * len(part) for part in parts) / count

    return evaluate


def _windows(data: Tensor, starts: np.ndarray, window: int) -> Tensor:
    """Cut ``window`` + 1 bytes at each of ``starts``: int64 (len(starts), window + 1)."""
    return data[torch.from_numpy(starts)[:, None] + torch.arange(window + 1)].long()


def make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The optimizer of the recipe."""
    return fused_adamw(model, recipe.learning_rate, recipe.weight_decay, recipe.betas)


WORKLOADS = {"byte_lm": byte_lm}
