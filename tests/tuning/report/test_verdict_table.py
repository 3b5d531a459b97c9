"""What the terminal says of a confirmation's control."""

from __future__ import annotations

import dataclasses

import pytest

from tests.support.verdicts import confirmed
from tuning.findings.verdict import Interval
from tuning.report.verdict_table import exchange_rate
from tuning.trial.metric import LOSS, Metric

ACCURACY = Metric("accuracy", maximize=True)


@pytest.mark.parametrize(
    ("rate", "interval", "metric", "told"),
    [
        (0.0019, (0.0011, 0.0027), LOSS, "lowers the control's loss by 0.0019"),
        (-0.0019, (-0.0027, -0.0011), LOSS, "raises the control's loss by 0.0019"),
        (-0.0019, (None, None), ACCURACY, "lowers the control's accuracy by 0.0019."),
        (-3e-5, (-0.00014, 8e-5), ACCURACY, "does not surely change the control's accuracy (95 %"),
        (0.0, (0.0, 0.0), LOSS, "does not surely change the control's loss"),
    ],
)
def test_what_more_time_does_is_told_by_its_direction(
    rate: float, interval: Interval, metric: Metric, told: str
) -> None:
    """A verb and a size, never a negative gain; an interval around nothing says that."""
    found = confirmed({37: 1.1})
    control = dataclasses.replace(
        found.control, loss_per_percent=rate, loss_per_percent_interval=interval
    )
    words = exchange_rate(dataclasses.replace(found, control=control, metric=metric))
    assert f"One per cent more time {told}" in words
    assert "by -" not in words
