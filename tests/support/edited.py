"""A tiny workload that its owner edits between two sessions, here by an environment variable."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from models.workload import Workload
from tests.support import tiny

EDIT = "TINY_EDIT"
"""Environment variable: which edit was made."""


@dataclass(frozen=True)
class Options:
    """What a model was made with."""

    made_in: int


OPTIONS = Options(os.getpid())


def noted(seed: int) -> nn.Module:
    """A model that says in which process its options were made."""
    model = tiny.make_model(seed)
    vars(model)["options"] = OPTIONS
    return model


def in_a_process() -> Workload:
    """Sound, but that its model is told by a number which every process has its own of."""
    return replace(tiny.tiny(target=1.0), name="in_a_process", make_model=noted)


def slower(model: nn.Module) -> Optimizer:
    """As tiny's, at a smaller rate."""
    return AdamW(model.parameters(), lr=5e-4, weight_decay=0.1)


def edited() -> Workload:
    """``tiny``, or what became of it."""
    workload = replace(tiny.tiny(target=1.0), name="edited", fingerprint="")
    match os.environ.get(EDIT, ""):
        case "steps":
            return replace(workload, steps=60)
        case "depth":
            return replace(workload, make_model=lambda seed: tiny.make_model(seed, depth=6))
        case "rate":
            return replace(workload, make_optimizer=slower)
        case "optimizer":
            return replace(workload, make_optimizer=lambda m: SGD(m.parameters(), lr=1e-2))
    return workload
