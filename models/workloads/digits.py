"""Workload ``digits``: handwritten digits, turned, stretched and moved, told apart by a small conv
net.

The pictures are scikit-learn's, 8 × 8, and ship with it. Each comes in several copies under affine
maps that are drawn once, so the examples are many, hard enough that an accuracy has room above it,
and come again unchanged in every epoch. How it was fitted is told in ``docs/digits.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from models.workload import Workload
from models.workloads.optimizers import fused_adamw
from models.workloads.pictures import Examples, Making, load_pictures

Pair = tuple[Tensor, Tensor]
"""Pictures, float32 (rows, 1, side, side) from 0 to 1, and their digits, int64 (rows,)."""

PICTURES = Making()
DIGITS = 10
EVALUATED_AT_ONCE = 512
SMALLEST_SIDE = 4
"""Pixels of a shrunken picture's edge: below it strokes run into each other."""


@dataclass(frozen=True)
class Recipe:
    """The numbers that the fit chose.

    Attributes:
        pictures: what is learned from, and evaluated on.
        depth, width: residual blocks, and their channels.
        batch: pictures a step.
        learning_rate: AdamW's peak.
        warmup_steps, decay_fraction: as in ``Workload``.
    """

    pictures: Making = PICTURES
    depth: int = 4
    width: int = 32
    batch: int = 64
    steps: int = 300
    learning_rate: float = 9e-3
    weight_decay: float = 0.05
    warmup_steps: int = 20
    decay_fraction: float = 0.3


def digits(recipe: Recipe = Recipe()) -> Workload:
    """Which digit a picture shows; the metric is the share of held-out examples told right.

    A batch is a ``Pair``; the loss is in nats, at first about ln 10 = 2.3.

    Raises:
        ValueError: scikit-learn is not installed, or there are fewer examples than fill a batch.
    """
    pictures = load_pictures(recipe.pictures)
    if len(pictures.train) < recipe.batch:
        raise ValueError(
            f"batch <= examples must hold, but got batch={recipe.batch} and "
            f"{len(pictures.train)} examples"
        )
    return Workload(
        name="digits",
        make_model=partial(make_net, recipe),
        blocks=blocks,
        batch_at=batches(pictures.train, recipe.batch),
        loss=loss,
        evaluate=evaluation(pictures.held_out),
        make_optimizer=partial(make_optimizer, recipe=recipe),
        steps=recipe.steps,
        eval_every=max(1, recipe.steps // 8),
        warmup_steps=recipe.warmup_steps,
        decay_fraction=recipe.decay_fraction,
        fingerprint=pictures.fingerprint,
        metric="accuracy",
        maximize=True,
        examples_at=partial(examples_at, recipe),
        shrink=shrink,
    )


class ResidualBlock(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x)))))), of x's shape (He et al. 2016, arXiv 1603.05027).

    It is the unit that a policy may freeze.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(width)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(rows, width, height, width in pixels) -> the same shape."""
        inner = self.conv1(functional.relu(self.norm1(x)))
        return x + self.conv2(functional.relu(self.norm2(inner)))  # type: ignore[no-any-return]


class ConvNet(nn.Module):
    """Pictures (rows, 1, side, side) of any side -> logits (rows, 10); ``make_net`` makes it."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, recipe.width, 3, stride=2, padding=1, bias=False)
        self.blocks = nn.ModuleList(ResidualBlock(recipe.width) for _ in range(recipe.depth))
        self.norm = nn.BatchNorm2d(recipe.width)
        self.head = nn.Linear(recipe.width, DIGITS)

    def forward(self, x: Tensor) -> Tensor:
        """Score each digit."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(functional.relu(self.norm(x)).mean((2, 3)))  # type: ignore[no-any-return]


def make_net(recipe: Recipe, seed: int) -> ConvNet:
    """Build a model whose weights depend on ``seed`` alone.

    Torch's global generator is not touched.
    """
    with torch.random.fork_rng(devices=[]):
        model = ConvNet(recipe)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, module in model.named_modules():
            _initialise(name, module, recipe.depth, generator)
    return model


def _initialise(name: str, module: nn.Module, depth: int, generator: torch.Generator) -> None:
    if isinstance(module, nn.BatchNorm2d):
        module.reset_parameters()
    elif isinstance(module, nn.Conv2d):
        # He et al. 2015 (arXiv 1502.01852); so scaled, the branches' sum does not grow with the
        # depth.
        gain = 2.0 / depth if name.endswith("conv2") else 2.0
        fan_in = module.weight[0].numel()
        module.weight.normal_(0.0, math.sqrt(gain / fan_in), generator=generator)
    elif isinstance(module, nn.Linear):
        module.weight.normal_(0.0, 0.1 / math.sqrt(module.in_features), generator=generator)
        module.bias.zero_()


def blocks(model: nn.Module) -> Sequence[nn.Module]:
    """List the residual blocks in forward order."""
    assert isinstance(model, ConvNet)
    return list(model.blocks)


def loss(model: nn.Module, batch: Pair) -> Tensor:
    """Mean cross-entropy in nats."""
    pictures, answers = batch
    return functional.cross_entropy(model(pictures), answers)


def batches(examples: Examples, batch: int) -> Callable[[int, int], Pair]:
    """Make ``batch_at``: the examples in an order drawn from (seed, epoch)."""

    def batch_at(seed: int, step: int) -> Pair:
        ids = example_ids(len(examples), batch, seed, step)
        return examples.images[ids], examples.answers[ids]

    return batch_at


def examples_at(recipe: Recipe, seed: int, step: int) -> Tensor:
    """Which examples the batch of ``step`` holds: int64 ids (batch,), of one example always the
    same.
    """
    return example_ids(len(load_pictures(recipe.pictures).train), recipe.batch, seed, step)


def example_ids(examples: int, batch: int, seed: int, step: int) -> Tensor:
    """Ids of a batch, int64 (batch,), none twice in an epoch; a rest that fills no batch is left
    out.
    """
    epoch, place = divmod(step, examples // batch)
    order = _order(examples, seed, epoch)
    return order[place * batch : (place + 1) * batch].clone()


@lru_cache(maxsize=4)
def _order(examples: int, seed: int, epoch: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(examples))


def shrink(batch: Pair, share: float) -> Pair:
    """Make the pictures smaller: ``share`` of their side, in whole pixels, by averaging.

    At least ``SMALLEST_SIDE`` pixels are left; at a share of 1 the batch is given back as it is.
    """
    pictures, answers = batch
    side = max(SMALLEST_SIDE, round(share * pictures.shape[-1]))
    if side >= pictures.shape[-1]:
        return batch
    smaller = functional.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
    return smaller, answers


def evaluation(examples: Examples) -> Callable[[nn.Module], float]:
    """Make ``evaluate``: the share of examples told right, from 0 to 1."""

    @torch.no_grad()
    def evaluate(model: nn.Module) -> float:
        device = next(model.parameters()).device
        right = 0
        for start in range(0, len(examples), EVALUATED_AT_ONCE):
            part = slice(start, start + EVALUATED_AT_ONCE)
            guesses: Tensor = model(examples.images[part].to(device)).argmax(1)
            right += int((guesses == examples.answers[part].to(device)).sum())
        return right / len(examples)

    return evaluate


def make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The optimizer of the recipe."""
    return fused_adamw(model, recipe.learning_rate, recipe.weight_decay)


WORKLOADS = {"digits": digits}
