"""The automatic target: the median of full_update's final losses over seeds. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tuning.run_info import Target
from tuning.trial import TrialRecord, TrialSpec

SEEDS = 5
"""An odd number, so that the median is the loss of one seed, on which the trials then train."""


def target_specs(workload: str, first_seed: int) -> dict[str, TrialSpec]:
    """The runs that set an automatic target: full_update on consecutive seeds, by task id.

    Their numbers count within the trunk, not among the trials.
    """
    return {
        f"target-{index}": TrialSpec(index, "baseline", workload, "full_update", first_seed + index, 1.0)
        for index in range(SEEDS)
    }


def automatic_target(records: Sequence[TrialRecord]) -> Target:
    """The median final loss of the full-update runs ``records`` (an odd number of them), and its seed.

    Trials then train on that seed, so that the control reaches the target exactly at a horizon of 1.0.

    Raises:
        ValueError: a run did not finish, so there is no loss to take; the message has its reason.

    """
    losses = {r.seed: r.val_loss for r in records if r.state == "finished" and r.val_loss is not None}
    if broken := [f"seed {r.seed}: {r.error}" for r in records if r.seed not in losses]:
        raise ValueError("full_update must finish on every seed to set a target, but " + "; ".join(broken))
    median = statistics.median_low(losses.values())
    seed = next(seed for seed, loss in losses.items() if loss == median)
    return Target(median, tuple(losses), tuple(losses.values()), seed)
