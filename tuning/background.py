"""What a run knows beside its trials: how much a loss strays from seed to seed, and what a confirmation found."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tuning.noise import Noise, noise_of_records

if TYPE_CHECKING:
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
    """

    noise: Noise | None = None
    confirmed: Verdict | None = None
    remark: str = ""
    confirm_command: str = "python -m tuning.confirm DIR"


def background_of(store: Store) -> Background:
    """What the run in ``store`` knows. A verdict that cannot be read is left alone, and named in ``remark``."""
    from tuning.verdict_file import read_verdict

    confirmed, remark = read_verdict(store.path)
    command = f"python -m tuning.confirm {shlex.quote(str(store.path))}"
    return Background(noise_of_records(store.references().values()), confirmed, remark, command)
