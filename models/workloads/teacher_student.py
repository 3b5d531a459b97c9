"""Workload ``teacher_student``: a deep residual network learns a fixed random network.

The kind of task on which the project's research note compared full, static and dynamic updates:
synthetic regression by 24 residual blocks. Inputs are standard normal and new in every batch, so
that nothing can be learnt by heart. How the sizes were chosen, and how the schedules relate on it,
is told in ``docs/teacher_student.md``.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from models.workload import Workload
from models.workloads.optimizers import fused_adamw

Pair = tuple[Tensor, Tensor]
"""Inputs, float32 (rows, features), and the teacher's answers, float32 (rows, targets)."""

TEACHER_SEED = 20
VALIDATION_DRAW = (0, 0, 1)
"""Seeds the validation inputs; a batch is seeded by two numbers, so none is drawn from it."""


@dataclass(frozen=True)
class Recipe:
    """What the fit chose.

    Attributes:
        depth: the student's blocks; 24 as in the note, so that half and three quarters are 12 and
            18.
        width, hidden: of the student's stream, and inside a block.
        branch: standard deviation at first of what a block adds to the stream, whose own is about 1
            at the stem.
        features, targets: numbers that go into the teacher and come out of it.
        teacher_depth, teacher_width: its hidden layers.
        teacher_gain: of each of its layers; above 1 its function is rough, and harder the deeper it
            is.
        batch: rows a step.
        learning_rate: AdamW's peak.
        warmup_steps, decay_fraction: as in ``Workload``.
        validation: rows of an evaluation.
    """

    depth: int = 24
    width: int = 64
    hidden: int = 128
    branch: float = 0.3
    features: int = 16
    targets: int = 8
    teacher_depth: int = 6
    teacher_width: int = 32
    teacher_gain: float = 1.3
    batch: int = 256
    steps: int = 1200
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup_steps: int = 50
    decay_fraction: float = 0.3
    validation: int = 4096


def teacher_student(recipe: Recipe = Recipe()) -> Workload:
    """Regression on the answers of a random network; the loss is the mean squared error in units of
    their variance.

    Guessing the mean has a loss of 1. A batch is a ``Pair`` of ``recipe.batch`` rows.
    """
    teacher = make_teacher(recipe)
    return Workload(
        name="teacher_student",
        make_model=partial(make_student, recipe),
        blocks=blocks,
        batch_at=batches(teacher, recipe),
        loss=loss,
        evaluate=evaluation(teacher, recipe),
        make_optimizer=partial(make_optimizer, recipe=recipe),
        steps=recipe.steps,
        eval_every=max(1, recipe.steps // 10),
        warmup_steps=recipe.warmup_steps,
        decay_fraction=recipe.decay_fraction,
        fingerprint=teacher.fingerprint,
    )


class ResidualBlock(nn.Module):
    """x + down(relu(up(norm(x)))), (rows, width) -> (rows, width).

    It is the unit that a policy may freeze.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, of its input's shape."""
        return x + self.down(functional.relu(self.up(self.norm(x))))  # type: ignore[no-any-return]


class Student(nn.Module):
    """Stem, residual blocks, head: (rows, features) -> (rows, targets).

    ``make_student`` makes it.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.stem = nn.Linear(recipe.features, recipe.width)
        self.blocks = nn.ModuleList(
            ResidualBlock(recipe.width, recipe.hidden) for _ in range(recipe.depth)
        )
        self.head = nn.Sequential(
            nn.LayerNorm(recipe.width), nn.Linear(recipe.width, recipe.targets)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Predict the teacher's answers."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)  # type: ignore[no-any-return]


def make_student(recipe: Recipe, seed: int) -> Student:
    """Build a model whose weights depend on ``seed`` alone.

    Torch's global generator is not touched.
    """
    with torch.random.fork_rng(devices=[]):
        model = Student(recipe)
    generator = torch.Generator().manual_seed(seed)
    # He et al. 2015 (arXiv 1502.01852) where a ReLU follows, so that ``branch`` is the deviation of
    # what a block adds.
    gains = {"up": math.sqrt(2), "down": recipe.branch}
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
            elif isinstance(module, nn.Linear):
                gain = gains.get(name.rpartition(".")[2], 1.0)
                module.weight.normal_(
                    0.0, gain / math.sqrt(module.in_features), generator=generator
                )
                module.bias.zero_()
    return model


@dataclass(frozen=True)
class Teacher:
    """A fixed function of the inputs: a tanh network without learning.

    Attributes:
        layers: weights (features, width), (width, width), ..., (width, targets).
        mean, deviation: of its raw outputs over the validation inputs, (targets,); its answers are
            free of them.
    """

    layers: tuple[Tensor, ...]
    mean: Tensor
    deviation: Tensor

    @torch.no_grad()
    def answers(self, inputs: Tensor) -> Tensor:
        """The teacher's answers, which the student learns.

        (rows, features) -> (rows, targets), each target of mean 0 and variance 1.
        """
        return (outputs(self.layers, inputs) - self.mean) / self.deviation

    @property
    def fingerprint(self) -> str:
        """A hash of the weights."""
        digest = hashlib.sha256()
        for layer in self.layers:
            digest.update(layer.numpy().tobytes())
        return digest.hexdigest()[:16]


def make_teacher(recipe: Recipe) -> Teacher:
    """Build the one teacher of every seed."""
    generator = torch.Generator().manual_seed(TEACHER_SEED)
    sizes = [recipe.features, *[recipe.teacher_width] * recipe.teacher_depth, recipe.targets]
    layers = tuple(
        torch.randn(below, above, generator=generator) * (recipe.teacher_gain / math.sqrt(below))
        for below, above in pairwise(sizes)
    )
    raw = outputs(layers, inputs_of(VALIDATION_DRAW, recipe.validation, recipe.features))
    return Teacher(layers, raw.mean(0), raw.std(0))


def outputs(layers: Sequence[Tensor], x: Tensor) -> Tensor:
    """The tanh network's outputs, (rows, features) -> (rows, targets)."""
    *hidden, last = layers
    for weight in hidden:
        x = torch.tanh(x @ weight)
    return x @ last


def inputs_of(draw: tuple[int, ...], rows: int, features: int) -> Tensor:
    """Standard normal inputs that depend on ``draw`` alone, float32 (rows, features)."""
    numbers = np.random.default_rng(draw).standard_normal((rows, features), dtype=np.float32)
    return torch.from_numpy(numbers)


def batches(teacher: Teacher, recipe: Recipe) -> Callable[[int, int], Pair]:
    """Make ``batch_at``: inputs drawn from (seed, step) alone, and the teacher's answers."""

    def batch_at(seed: int, step: int) -> Pair:
        inputs = inputs_of((seed, step), recipe.batch, recipe.features)
        return inputs, teacher.answers(inputs)

    return batch_at


def evaluation(teacher: Teacher, recipe: Recipe) -> Callable[[nn.Module], float]:
    """Make ``evaluate``: the loss over rows that no run trains on, always the same."""
    inputs = inputs_of(VALIDATION_DRAW, recipe.validation, recipe.features)
    answers = teacher.answers(inputs)

    @torch.no_grad()
    def evaluate(model: nn.Module) -> float:
        device = next(model.parameters()).device
        return loss(model, (inputs.to(device), answers.to(device))).item()

    return evaluate


def blocks(model: nn.Module) -> Sequence[nn.Module]:
    """List the residual blocks in forward order."""
    assert isinstance(model, Student)
    return list(model.blocks)


def loss(model: nn.Module, batch: Pair) -> Tensor:
    """Mean squared error, in units of the answers' variance."""
    inputs, answers = batch
    return functional.mse_loss(model(inputs), answers)


def make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """The optimizer of the recipe."""
    return fused_adamw(model, recipe.learning_rate, recipe.weight_decay)


WORKLOADS = {"teacher_student": teacher_student}
