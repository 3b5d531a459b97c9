"""What a run knows beside its front: how a loss strays from seed to seed, replicates, what a confirmation found."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tuning.noise import Noise, noise_of_records

if TYPE_CHECKING:
    from tuning.replicates import Key
    from tuning.store import Store
    from tuning.verdict import Verdict


@dataclass(frozen=True)
class Background:
    """What the trials of a search are read against.

    Attributes:
        noise: of the final loss over seeds; None where the run trained full_update on fewer than two.
        confirmed: what ``python -m tuning.confirm`` found; None before it ran.
        remark: what is wrong with the confirmation's file, in words; empty where nothing is.
        confirm_command: what to type to confirm.
        replicated: final losses by schedule, as ``tuning.replicates.key`` has it, of the finished replicates, those of
            a confirmation among them.
        sampler: which one proposed the trials, and why, in words; empty where none has been chosen.
    """

    noise: Noise | None = None
    confirmed: Verdict | None = None
    remark: str = ""
    confirm_command: str = "python -m tuning.confirm DIR"
    replicated: Mapping[Key, tuple[float, ...]] = field(default_factory=dict)
    sampler: str = ""


def background_of(store: Store) -> Background:
    """What the run in ``store`` knows. A verdict that cannot be read is left alone, and named in ``remark``."""
    from tuning.verdict_file import read_verdict

    confirmed, remark = read_verdict(store.path)
    command = f"python -m tuning.confirm {shlex.quote(str(store.path))}"
    noise = noise_of_records(store.references().values())
    chosen = store.info.sampler
    sampler = "" if chosen is None else f"{chosen.name}, {chosen.reason}"
    return Background(noise, confirmed, remark, command, replicated_losses(store), sampler)


def replicated_losses(store: Store) -> dict[Key, tuple[float, ...]]:
    """Final losses of the finished replicates, by schedule."""
    from tuning.history import COLUMNS, KNOB, outcomes_of
    from tuning.replicates import REPLICATE, key

    if not (store.frame(["origin"])["origin"] == REPLICATE).any():
        return {}
    frame = store.frame((*COLUMNS, *(f"{KNOB}{name}" for name in store.info.knob_columns)))
    found: dict[Key, tuple[float, ...]] = {}
    for run in outcomes_of(frame[frame["origin"] == REPLICATE]):
        if run.state == "finished" and run.val_loss is not None and math.isfinite(run.val_loss):
            schedule = key(run.policy, run.horizon, run.knobs)
            found[schedule] = (*found.get(schedule, ()), run.val_loss)
    return found
