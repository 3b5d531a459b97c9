"""What is trained: a workload is everything about a task that a training loop must be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from models.batches import Batch

Several = Sequence[Optimizer] | Mapping[str, Optimizer]

LONGEST_NAME = 24
"""Characters of a metric's name: it heads a column."""

DECAY_POINTS = 257
"""Places at which a decay of the user's own is read, both ends among them."""


@dataclass(frozen=True)
class Workload:
    """A task to train, by indexed batches: a run can be stopped, resumed or forked anywhere.

    Attributes:
        name: as given to ``--workload``.
        make_model: seed -> model on the CPU, in training mode; the same seed gives the same weights
            to the bit.
        blocks: model -> its blocks in forward order (the units a policy may freeze).
        batch_at: (seed, step) -> the batch of that step, of any kind that ``models.batches`` knows;
            a pure function of its arguments.
        loss: (model, batch) -> scalar tensor to minimise.
        evaluate: model -> validation loss, lower is better, or another metric; a number or what
            ``float`` makes one of; deterministic; called in evaluation mode.
        make_optimizer: model -> optimizer with its peak learning rates; or several in a list, tuple
            or dict, each with parameters of its own.
        steps: steps of the full-update baseline (a horizon of 1.0).
        eval_every: steps between evaluations; the last step is always evaluated.
        warmup_steps: steps of linear warm-up. Counted in steps, so that it is the same for every
            horizon.
        decay_fraction: last share of the horizon over which the learning rate falls.
        decay: how it falls there: ``linear`` or ``cosine``, both to zero, or a function of the
            progress through that share, from 0 to 1, that gives the factor on the rate, from 0 to
            1. With a ``decay_fraction`` of 1 its progress is the run's. It is read at
            ``DECAY_POINTS`` places and is straight between them.
        target: the value of ``evaluate`` that counts as reached, or ``auto``: the median final one
            of full_update over seeds.
        fingerprint: identifies the data (a hash of the corpus), stored with the run.
        examples_at: (seed, step) -> int64 (examples,), which examples the batch of that step holds,
            by numbers that come again; where it is given activations can be kept.
        shrink: (batch, share) -> the batch with examples of that share of their size.
        metric: what ``evaluate`` measures, as tables and plots name it.
        maximize: higher is better, of an accuracy say. Targets, tables and plots are in the
            metric's own sign; the column ``val_loss`` holds its negative.
        held_out: how many examples ``evaluate`` measures, so that a check can say where they are
            too few; 0 where that is not told.
        metrics: name -> function of the model, like ``evaluate``: further metrics, measured where a
            trial ends and recorded in the columns ``metric_NAME``. Nothing is decided by them.

    Raises:
        ValueError: a number is out of range; the message names every one that is.
    """

    name: str
    make_model: Callable[[int], nn.Module]
    blocks: Callable[[nn.Module], Sequence[nn.Module]]
    batch_at: Callable[[int, int], Batch]
    loss: Callable[[nn.Module, Batch], Tensor]
    evaluate: Callable[[nn.Module], float]
    make_optimizer: Callable[[nn.Module], Any]
    steps: int
    eval_every: int
    warmup_steps: int = 0
    decay_fraction: float = 0.2
    target: float | Literal["auto"] = "auto"
    fingerprint: str = ""
    examples_at: Callable[[int, int], Tensor] | None = None
    shrink: Callable[[Batch, float], Batch] | None = None
    metric: str = "validation loss"
    maximize: bool = False
    decay: Literal["linear", "cosine"] | Callable[[float], float] = "linear"
    held_out: int = 0
    metrics: Mapping[str, Callable[[nn.Module], float]] = field(default_factory=dict)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The further metrics' names, in the order given."""
        return tuple(self.metrics)

    @property
    def decay_shape(self) -> str | tuple[float, ...]:
        """``decay`` as plain values: its name, or the factors of a function."""
        if not callable(self.decay):
            return self.decay
        return tuple(float(self.decay(i / (DECAY_POINTS - 1))) for i in range(DECAY_POINTS))

    def __post_init__(self) -> None:
        """Refuse numbers no run could use."""
        rules = {
            **self._counts(),
            f"0 <= decay_fraction <= 1 must hold, but got decay_fraction={self.decay_fraction}": (
                0 <= self.decay_fraction <= 1
            ),
            f"decay must be 'linear', 'cosine' or a function from [0, 1] to [0, 1], but got "
            f"{_decay_told(self.decay_shape)}": is_decay(self.decay_shape),
            f"metric must be a name of 1 to {LONGEST_NAME} printable characters, but got "
            f"metric={self.metric!r}": is_name(self.metric),
            f"maximize must be True or False, but got maximize={self.maximize!r}": isinstance(
                self.maximize, bool
            ),
        }
        faults = [message for message, holds in rules.items() if not holds]
        if faults := faults + metrics_faults(self.metrics, self.metric):
            raise ValueError(f"workload {self.name!r}: " + "; ".join(faults))

    def _counts(self) -> dict[str, bool]:
        """The rules of what is counted in steps, and whether each holds."""
        counts = {name: getattr(self, name) for name in ("steps", "eval_every", "warmup_steps")}
        other = {name: found for name, found in counts.items() if not is_count(found)}
        if other:
            told = ", ".join(f"{name}={found!r}" for name, found in other.items())
            return {f"steps are counted in whole numbers, but got {told}": False}
        return {
            f"steps >= 1 must hold, but got steps={self.steps}": self.steps >= 1,
            f"eval_every >= 1 must hold, but got eval_every={self.eval_every}": (
                self.eval_every >= 1
            ),
            f"0 <= warmup_steps <= steps must hold, but got warmup_steps={self.warmup_steps}": (
                0 <= self.warmup_steps <= self.steps
            ),
        }


def is_count(value: object) -> bool:
    """Whether it is a whole number, of NumPy say, and no truth value."""
    return hasattr(value, "__index__") and not isinstance(value, bool)


def is_decay(shape: object) -> bool:
    """Whether a ``decay_shape`` is one that a run can follow."""
    if isinstance(shape, tuple):
        return all(0 <= factor <= 1 for factor in shape)
    return shape in ("linear", "cosine")


def _decay_told(shape: object) -> str:
    if not isinstance(shape, tuple):
        return f"decay={shape!r}"
    wrong = [(place, factor) for place, factor in enumerate(shape) if not 0 <= factor <= 1]
    place, factor = wrong[0] if wrong else (0, shape[0])
    return f"{factor} at {place / (DECAY_POINTS - 1):.3g}"


def is_name(text: object) -> bool:
    """Whether something is a text that can head a column of a table."""
    if not isinstance(text, str) or text != text.strip():
        return False
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


def metrics_faults(metrics: object, metric: str) -> list[str]:
    """What is wrong with the further metrics of a workload that measures ``metric``."""
    if not isinstance(metrics, Mapping):
        return [
            f"metrics must map names to functions of the model, but got a {type(metrics).__name__}"
        ]
    wrong = [name for name in metrics if not is_name(name)]
    still = [str(name) for name, measure in metrics.items() if not callable(measure)]
    # A database knows no case in the names of columns.
    seen = Counter(str(name).casefold() for name in (*metrics, metric))
    taken = [str(name) for name in metrics if seen[str(name).casefold()] > 1]
    found = {
        f"metrics must have names of 1 to {LONGEST_NAME} printable characters, but got "
        f"{wrong}": wrong,
        f"metrics must be functions of the model, but these are none: {still}": still,
        f"metrics must have names that differ beyond case, from one another and from metric="
        f"{metric!r}, but got {taken}": taken,
    }
    return [message for message, found_so in found.items() if found_so]
