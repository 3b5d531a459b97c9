"""A small GPT-2 of Hugging Face's at a user's guess of the rate: nobody tuned it.

    pip install --constraint constraints.txt --editable ".[hf]"
    python -m tuning.search --workload benchmarks/quality/models/gpt2.py:make

Bytes of the Python standard library's sources, as ``byte_lm``; AdamW at 3e-4 with torch's other
defaults, which is what many begin with.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from models.workload import Workload
from models.workloads.byte_lm import Recipe, batches, evaluation, loss, shrink
from models.workloads.corpus import load_corpus

GUESS = Recipe(
    depth=4,
    width=64,
    heads=4,
    window=64,
    batch=8,
    steps=400,
    learning_rate=3e-4,
    weight_decay=0.01,
    betas=(0.9, 0.999),
    warmup_steps=20,
    decay_fraction=0.2,
)


def make() -> Workload:
    """400 steps of 8 windows of 64 bytes."""
    corpus = load_corpus(None)
    evaluate = evaluation(corpus, GUESS.window)
    return Workload(
        name="gpt2",
        make_model=make_model,
        blocks=blocks,
        batch_at=batches(corpus, GUESS),
        loss=lambda model, batch: loss(Logits(model), batch),
        evaluate=lambda model: evaluate(Logits(model)),
        make_optimizer=make_optimizer,
        steps=GUESS.steps,
        eval_every=GUESS.steps // 8,
        warmup_steps=GUESS.warmup_steps,
        decay_fraction=GUESS.decay_fraction,
        fingerprint=corpus.fingerprint,
        shrink=shrink,
    )


class Logits(nn.Module):
    """A language model of Hugging Face's as one whose output is its logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        """Int64 (rows, tokens) -> (rows, tokens, 256)."""
        return self.model(input_ids=ids).logits  # type: ignore[no-any-return]


def make_model(seed: int) -> nn.Module:
    """Random weights by the seed; no dropout, as in runs of less than an epoch."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=256,
        n_positions=GUESS.window,
        n_embd=GUESS.width,
        n_layer=GUESS.depth,
        n_head=GUESS.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: nn.Module = GPT2LMHeadModel(config)
    return model.train()


def blocks(model: nn.Module) -> Sequence[nn.Module]:
    """The transformer's layers, bottom first."""
    return list(model.transformer.h)  # type: ignore[union-attr, arg-type]


def make_optimizer(model: nn.Module) -> Optimizer:
    """AdamW as it comes, at the guess."""
    return AdamW(model.parameters(), lr=GUESS.learning_rate)
