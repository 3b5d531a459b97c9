"""Workload ``byte_lm_finetune``: a transformer pretrained on programs is adapted to prose.

The model is ``byte_lm``'s, wider. It is pretrained once on the Python standard library's sources
and kept in the cache directory (``models.workloads.pretrained``); every run starts from those
weights. By default it is adapted to the language reference that ``pydoc`` shows, which no
pretraining file holds. The training windows are few and fixed: each epoch takes all of them, in an
order of its own. How it was fitted, and what it is fit for, is told in
``docs/byte_lm_finetune.md``.
"""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.workload import Workload
from models.workloads import byte_lm
from models.workloads.corpus import Corpus, load_corpus, require_bytes, split_texts
from models.workloads.pretrained import Weights, cache_directory, fingerprint_of, load_or_make
from models.workloads.transformer import Transformer, make_transformer

PROSE = "pydoc_data.topics"
PROSE_HELD_OUT_ONE_IN = 5
"""The topics are few and of every length: one in ten might be too little to evaluate on."""
PRETRAINING_SEED = 0
WINDOWS_SEED = 7


@dataclass(frozen=True)
class Recipe:
    """The numbers that the fit chose.

    Attributes:
        pretraining: the model, and how it is pretrained.
        batch: windows a step.
        epoch_steps: steps in which every training window comes once; ``batch`` times as many
            windows there are.
        steps: of the adaptation; a multiple of ``epoch_steps`` gives whole epochs.
        learning_rate, betas: AdamW's in the adaptation, the rate at its peak.
        warmup_steps, decay_fraction: as in ``Workload``, of the adaptation.
    """

    pretraining: byte_lm.Recipe = field(
        default_factory=lambda: byte_lm.Recipe(
            depth=8,
            width=32,
            heads=2,
            window=32,
            batch=16,
            steps=1200,
            learning_rate=6e-3,
            weight_decay=0.1,
            betas=(0.9, 0.95),
            warmup_steps=40,
            decay_fraction=0.3,
        )
    )
    batch: int = 16
    epoch_steps: int = 128
    steps: int = 512
    learning_rate: float = 6e-3
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.8, 0.9875)
    warmup_steps: int = 40
    decay_fraction: float = 0.3

    @property
    def windows(self) -> int:
        """Training windows in all."""
        return self.batch * self.epoch_steps


def byte_lm_finetune(corpus_dir: Path | None = None, recipe: Recipe | None = None) -> Workload:
    """Next bytes of the text below ``corpus_dir``, or of Python's language reference.

    The pretraining happens when the first model is made, unless its weights are in the cache; it
    takes about half a minute. The seed of a run orders the windows; the initial weights are the
    same for every seed. A batch is int64 (batch, window + 1); the loss is in nats a byte.

    Raises:
        ValueError: a corpus does not exist, cannot be read or is too small, or the cache directory
            cannot be written.
    """
    recipe = recipe or Recipe()
    before, corpus = load_corpus(), _prose() if corpus_dir is None else load_corpus(corpus_dir)
    window = recipe.pretraining.window
    require_bytes(corpus, train=window + recipe.windows, validation=byte_lm.VALIDATION_BYTES)
    origin = Origin(recipe.pretraining, before.fingerprint, cache_directory())
    return Workload(
        name="byte_lm_finetune",
        make_model=partial(make_pretrained, origin),
        blocks=byte_lm.blocks,
        batch_at=batches(corpus, recipe),
        loss=byte_lm.loss,
        evaluate=byte_lm.evaluation(corpus, window),
        make_optimizer=partial(byte_lm.make_optimizer, recipe=_adapting(recipe)),
        steps=recipe.steps,
        eval_every=max(1, recipe.steps // 8),
        warmup_steps=recipe.warmup_steps,
        decay_fraction=recipe.decay_fraction,
        fingerprint=fingerprint_of(
            {"from": origin.fingerprint, "to": corpus.fingerprint, "windows": recipe.windows}
        ),
        examples_at=partial(examples_at, recipe),
        shrink=byte_lm.shrink,
    )


@dataclass(frozen=True)
class Origin:
    """Where initial weights come from: how they are trained, on which corpus, and their cache."""

    recipe: byte_lm.Recipe
    corpus: str
    cache: Path

    @property
    def fingerprint(self) -> str:
        """A digest of everything that the weights depend on.

        That is the recipe, the corpus, torch and the processor's arithmetic.
        """
        return fingerprint_of(
            {
                "recipe": asdict(self.recipe),
                "corpus": self.corpus,
                "torch": torch.__version__,
                "machine": platform.machine(),
                "vectors": torch.backends.cpu.get_cpu_capability(),
            }
        )

    @property
    def file(self) -> Path:
        """Where the weights are kept."""
        return self.cache / f"byte_lm-{self.fingerprint}.pt"


def make_pretrained(origin: Origin, seed: int) -> Transformer:
    """Build the pretrained model; ``seed`` changes nothing."""
    model = make_transformer(origin.recipe.shape, seed)
    model.load_state_dict(_weights(origin))
    return model


@lru_cache(maxsize=2)
def _weights(origin: Origin) -> Weights:
    return load_or_make(origin.file, partial(pretrain, origin.recipe))


def pretrain(recipe: byte_lm.Recipe) -> Weights:
    """Train on the standard library, on one thread of the CPU: always the same weights."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.enable_grad():
            return _pretrain(byte_lm.byte_lm(recipe=recipe))
    finally:
        torch.set_num_threads(threads)


def _pretrain(workload: Workload) -> Weights:
    model = workload.make_model(PRETRAINING_SEED)
    optimizer = workload.make_optimizer(model)
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(_rate_factor, workload))
    for step in range(workload.steps):
        workload.loss(model, workload.batch_at(PRETRAINING_SEED, step)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rates.step()
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _rate_factor(workload: Workload, step: int) -> float:
    """Warm-up, constant, linear decay: the same schedule as a run's."""
    warm = (step + 1) / max(1, workload.warmup_steps)
    left = (1 - step / workload.steps) / max(workload.decay_fraction, 1 / workload.steps)
    return min(1.0, warm, left)


def batches(corpus: Corpus, recipe: Recipe) -> Callable[[int, int], Tensor]:
    """Make ``batch_at``: (batch, window + 1), the windows in an order drawn from (seed, epoch)."""
    length = recipe.pretraining.window + 1
    places = len(corpus.train) - length + 1
    starts = np.random.default_rng(WINDOWS_SEED).choice(places, size=recipe.windows, replace=False)
    windows = corpus.train[torch.from_numpy(starts)[:, None] + torch.arange(length)].long()

    def batch_at(seed: int, step: int) -> Tensor:
        return windows[examples_at(recipe, seed, step)]

    return batch_at


def examples_at(recipe: Recipe, seed: int, step: int) -> Tensor:
    """Numbers of the windows in the batch of ``step``; a number is the same window for every seed.

    Int64 (batch,); in an epoch each window is in one batch.
    """
    epoch, place = divmod(step, recipe.epoch_steps)
    order = np.random.default_rng((seed, epoch)).permutation(recipe.windows)
    return torch.from_numpy(order[place * recipe.batch : (place + 1) * recipe.batch])


def _adapting(recipe: Recipe) -> byte_lm.Recipe:
    return byte_lm.Recipe(
        learning_rate=recipe.learning_rate, weight_decay=recipe.weight_decay, betas=recipe.betas
    )


def _prose() -> Corpus:
    try:
        topics: dict[str, str] = importlib.import_module(PROSE).topics
    except ImportError as error:
        raise ValueError(
            f"the default text needs Python's module {PROSE}, but it cannot be imported ({error}); "
            "give a corpus"
        ) from error
    texts = {name: text.encode() for name, text in topics.items()}
    return split_texts(texts, PROSE, held_out_one_in=PROSE_HELD_OUT_ONE_IN)


WORKLOADS = {"byte_lm_finetune": byte_lm_finetune}
