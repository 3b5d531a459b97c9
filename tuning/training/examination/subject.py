"""What is examined, and how a finding about it is written down."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from models.batches import LEAVES, plain_parts, to_device, values_of
from models.making import blocks_of, new_model
from models.workload import Workload
from policies.apply import trace_parts
from policies.applying.wiring import Part, Wiring
from tuning.training.generators import seed_all
from tuning.trial.soundness import Finding

SEED = 0


class Elsewhere(Protocol):
    """Another process, which goes on with what this one saved; see
    ``tuning.training.examination.new_process.NewProcess``.
    """

    def ask(self, request: dict[str, Any]) -> None:
        """Tell it what to do."""

    def answer(self) -> dict[str, Any]:
        """Wait for the result."""


@dataclass
class Subject:
    """A workload, where it is tried, and the process that goes on with what this one saved.

    Attributes:
        workload: what is examined.
        device: where trials compute.
        elsewhere: another process, given one request.
        evaluation_seconds: seconds that the last evaluation took.
        untrained: what ``evaluate`` gives for a new model; None before it was called.
    """

    workload: Workload
    device: torch.device
    elsewhere: Elsewhere
    evaluation_seconds: float = 0.0
    untrained: float | None = None

    def model(self) -> nn.Module:
        """A new model, made as a trial makes it."""
        seed_all(SEED)
        return new_model(self.workload, SEED, self.device)

    def batch(self, step: int = 0) -> Any:
        """The batch of a step, on the device."""
        return to_device(self.workload.batch_at(SEED, step), self.device)


def parts_of(workload: Workload, model: nn.Module, batch: Any) -> Mapping[int, Part]:
    """Stem, blocks and head of a model, by number, from what ran when in a forward on ``batch``.

    Raises:
        ValueError: it cannot be divided; the message says why.
    """
    blocks = blocks_of(workload, model)
    places = trace_parts(model, blocks, lambda: workload.loss(model, batch))
    return Wiring(model, blocks).divide(places)


Stage = Callable[[Subject], Iterator[Finding]]


def refused(rule: str, text: str) -> Finding:
    """A finding because of which nothing is trained."""
    return Finding(rule, text, "refused")


def unforked(rule: str, text: str) -> Finding:
    """A finding because of which trials do not fork."""
    return Finding(rule, text, "unforked")


def remark(rule: str, text: str) -> Finding:
    """A finding that is only told."""
    return Finding(rule, text, "remark")


def state_of(model: nn.Module) -> dict[str, str]:
    """A digest of every weight and buffer, by name, to the bit."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: mark_of(tensor) for name, tensor in named}


def mark_of(tensor: Tensor) -> str:
    """A digest of a tensor, to the bit; of its form alone where its values cannot be read."""
    if len(parts := plain_parts(tensor)) != 1:
        return f"{tensor.layout} of {', '.join(map(mark_of, parts))}"
    about = f"{tuple(tensor.shape)} {tensor.dtype}"
    if tensor.layout is not torch.strided or tensor.is_meta:
        return about
    raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return f"{about} {zlib.crc32(raw.tobytes()):08x}"


def marks_of(batch: Any) -> list[str]:
    """A digest of every value in a batch."""
    return list(map(_mark_of_value, values_of(batch)))


def _mark_of_value(value: Any) -> str:
    if isinstance(value, Tensor):
        return mark_of(value)
    if isinstance(value, np.ndarray):
        raw = np.ascontiguousarray(value).tobytes()
        return f"{value.shape} {value.dtype} {zlib.crc32(raw):08x}"
    return repr(value) if isinstance(value, LEAVES) else type(value).__name__


def differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    """Names of values that are not the same in both."""
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]


def some(names: list[str]) -> str:
    """The first few names and how many more there are."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
