"""The automatic target: the median of full_update's final losses over seeds. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from tuning.run_info import Target
from tuning.trial import TrialRecord, TrialSpec

SEEDS = 5
"""An odd number, so that the median is the loss of one seed, on which the trials then train."""


def reference_task(seed: int) -> str:
    """The id of the full-update run on ``seed``, which helps to set the target and from which trials fork."""
    return f"seed-{seed}"


def reference_specs(workload: str, first_seed: int, seeds: int) -> dict[str, TrialSpec]:
    """Full-update runs on consecutive seeds, by task id. Their numbers count within the trunk, not among the trials."""
    return {
        reference_task(seed): TrialSpec(seed - first_seed, "baseline", workload, "full_update", seed, 1.0)
        for seed in range(first_seed, first_seed + seeds)
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
