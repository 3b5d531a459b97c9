"""Where a worker computes: its device, its threads, its share of memory, and what it trains
there.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import torch

from models.device import run_device
from models.device import set_threads as set_threads
from models.frames import where_in_short
from models.identity import functions_of
from models.knobs import costly
from models.left_over import ROOM, left_over
from models.registry import find_workload, own_knobs_of
from models.source.digests import edited_since
from models.workload import Workload
from policies.rules import Scalar
from tuning.errors import SearchFailed
from tuning.store.info import Memory
from tuning.store.store import Store
from tuning.training.loop import TrainingRun
from tuning.trial.recipe import Recipe
from tuning.trial.variants import variant_name

CONTEXT_BYTES = 2**29
"""The GPU's memory that a process takes before it has a tensor, about, with CUDA 12 and torch's
kernels.
"""


Values = tuple[tuple[str, Scalar], ...]


@lru_cache(maxsize=3)
def _workload(name: str, corpus: str | None, own: Values) -> Workload:
    # Kept between the trials of a reused worker: reading a corpus would be paid by every trial
    # otherwise.
    return find_workload(name, Path(corpus) if corpus else None, dict(own))


def workload_of(store: Store, own: Mapping[str, Scalar] | None = None) -> Workload:
    """The workload that the run in ``store`` searches, with these values of its own knobs.

    Raises:
        ValueError: it has no such knob, or cannot be built with that value.
        SearchFailed: it was edited after the run had begun, and before this process read it.
    """
    config, values = store.info.config, tuple(sorted((own or {}).items()))
    if store.path not in _COMPARED:
        _refuse_edited(store, _workload(config["workload"], config.get("corpus"), ()))
        _COMPARED.add(store.path)
    return _workload(config["workload"], config.get("corpus"), values)


_COMPARED: set[Path] = set()
"""Run directories whose workload was compared with the one that this process has read."""


def _refuse_edited(store: Store, workload: Workload) -> None:
    """Refuse a workload whose source was edited since the run began. A worker that takes the place
    of one that died reads the workload's file as it is now.
    """
    identity, begun = store.info.identity, store.info.created_at.timestamp()
    known = {} if identity is None else identity.get("source", {})
    if found := edited_since(functions_of(workload), known, begun):
        raise SearchFailed(
            f"the workload must stay what it was while a run goes on, but {', '.join(found)} was "
            "edited: put that back and resume the run, or begin a new one"
        )


def variant_of(store: Store, recipe: Recipe) -> str:
    """The clock's name for the workload with the recipe's values of its own knobs; empty where they
    do not change its costs.
    """
    own = recipe.own
    if not own:
        return ""
    return variant_name(costly(own_knobs_of(store.info.config["workload"]), own))


def local_device(*, hides_gpus: bool) -> torch.device:
    """Where this machine's workers compute; their driver may hide its GPUs from them."""
    return torch.device("cpu") if hides_gpus else run_device()


def cap_memory(share: float, *, alone: bool = False) -> None:
    """Limit this process to a trial's share of the GPU's memory, so that taking more kills no
    neighbour; a process that runs ``alone`` has all of it.

    Where a trial has the whole card nothing is set: the process may be a user's, with a limit of
    its own.
    """
    if 0 < share < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(1.0 if alone else share)


def give_memory_back() -> None:
    """Free the GPU's memory that earlier tasks took for other processes, and forget how much that
    was at most.
    """
    if torch.cuda.is_available() and torch.cuda.memory_reserved() > ROOM:
        left_over.let_go()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def gpu_memory() -> Memory | None:
    """The GPU's memory after a calibration that had it to itself; None where there is no GPU."""
    if not torch.cuda.is_available():
        return None
    free, _ = torch.cuda.mem_get_info()
    own = torch.cuda.memory_reserved() + CONTEXT_BYTES
    return Memory(
        free_bytes=free + own, trial_bytes=torch.cuda.max_memory_reserved() + CONTEXT_BYTES
    )


def describe(fault: BaseException, training: TrainingRun | None) -> str:
    """One line for the record: what went wrong, at which step, and where in the user's code."""
    at = "before training" if training is None else f"at step {training.steps}"
    places = where_in_short(fault)
    tail = f" ({places})" if places else ""
    return f"{type(fault).__name__} {at}: {str(fault) or 'no message'}{tail}"
