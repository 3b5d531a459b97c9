"""From the store to the rule for stopping early: few curves are read, however many trials there are."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tuning.pareto_front import finished, numbers
from tuning.stopping import CONTROL, NEWEST, STOPPABLE, Stopping

if TYPE_CHECKING:
    from tuning.config import SearchConfig
    from tuning.run_info import Target
    from tuning.store import Store

COLUMNS = ("number", "state", "origin", "train_seconds", "val_loss")


def stopping_of(store: Store, config: SearchConfig, target: Target, baseline_seconds: float) -> Stopping | None:
    """The rule of the run's search, told of its records; None where trials are not to be stopped."""
    if config.stop_confidence is None:
        return None
    trials = finished(store.frame(COLUMNS))
    judged = trials["number"][trials["origin"].isin(STOPPABLE)].nlargest(NEWEST)
    control = trials["number"][trials["origin"].isin(CONTROL)]
    # On its way a trial may be the first at the target whose end does not reach the front.
    good_enough = target.loss if config.objective == "time-to-quality" else -math.inf
    return Stopping(
        config.stop_confidence,
        seed=config.seed,
        baseline_seconds=baseline_seconds,
        good_enough=good_enough,
        ends=zip(numbers(trials, "train_seconds").tolist(), numbers(trials, "val_loss").tolist(), strict=True),
        records=store.records({*judged.tolist(), *control.tolist()}),
    )
