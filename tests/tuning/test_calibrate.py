"""Calibration: every depth, probe and evaluation is measured, operations are counted; no test depends on how long."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.support import tiny
from tuning.calibrate import Effort, calibrate, measured_depths, relative_spread

QUICK = Effort(min_rounds=3, max_rounds=3, seconds=0.0, evaluations=1)
CPU = torch.device("cpu")


def test_table_is_complete() -> None:
    """Every depth of the four blocks has a cost, a count and a spread; deeper steps do more operations."""
    table = calibrate(tiny.tiny(), device=CPU, threads=1, effort=QUICK)
    assert table.num_blocks == 4
    assert set(table.step_seconds) == set(table.step_flops) == {1, 2, 3, 4}
    assert all(seconds > 0 for seconds in table.step_seconds.values())
    assert list(table.step_flops.values()) == sorted(set(table.step_flops.values()))
    assert {"step_1", "step_4", "probe", "data", "evaluation"} <= table.spread.keys()
    assert table.probe_seconds >= 0
    assert table.device.startswith("cpu")


def test_counted_operations_are_those_of_the_model() -> None:
    """By hand: a linear layer of m inputs and n outputs costs 2·batch·m·n forward, and again for each gradient."""
    table = calibrate(tiny.tiny(), device=CPU, threads=1, effort=QUICK)
    block = 2 * tiny.BATCH * 2 * (tiny.WIDTH * 2 * tiny.WIDTH)
    # One more active block adds its weights' gradients and the gradient at its input.
    assert table.step_flops[3] - table.step_flops[2] == 2 * block


def test_workload_without_blocks_is_refused() -> None:
    """There is nothing to freeze; the message says what is missing."""
    empty = dataclasses.replace(tiny.tiny(), blocks=lambda model: [])
    with pytest.raises(ValueError, match="block"):
        calibrate(empty, device=CPU, threads=1, effort=QUICK)


def test_measured_depths_include_the_full_one() -> None:
    """At most eight depths, ascending, from one block to all."""
    for blocks in range(1, 40):
        depths = measured_depths(blocks)
        assert len(depths) <= 8
        assert depths[-1] == blocks
        assert list(depths) == sorted(set(depths))


def test_relative_spread_by_hand() -> None:
    """Quartiles of 1..5 are 2, 3 and 4."""
    assert relative_spread([5.0, 1.0, 3.0, 2.0, 4.0]) == pytest.approx(2 / 3)
    assert relative_spread([1.0]) == 0.0
