"""Calibration: every depth, probe and evaluation is measured, operations are counted.

No test depends on how long.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.support import tiny
from tests.support.hosts import ScriptedHost
from tuning.training.calibration.bench import PARTS
from tuning.training.calibration.calibrate import Effort, calibrate, measured_depths, surroundings

QUICK = Effort(min_rounds=3, max_rounds=3, seconds=0.0, evaluations=1, tries=1)
CPU = torch.device("cpu")


def test_table_is_complete() -> None:
    """Every depth of the four blocks has a cost, a count, a spread and parts.

    Deeper steps do more operations.
    """
    table = calibrate(tiny.tiny(), device=CPU, threads=1, effort=QUICK)
    assert table.num_blocks == 4
    assert set(table.step_seconds) == set(table.step_flops) == {1, 2, 3, 4}
    assert all(seconds > 0 for seconds in table.step_seconds.values())
    assert list(table.step_flops.values()) == sorted(set(table.step_flops.values()))
    assert {"step_1", "step_4", "probe", "data", "evaluation"} <= table.spread.keys()
    assert table.probe_seconds >= 0
    assert table.warmup_seconds > 0
    assert table.device.startswith("cpu")


def test_parts_add_up_to_the_step() -> None:
    """Forward, backward and optimizer of each depth are positive and sum to its cost."""
    table = calibrate(tiny.tiny(), device=CPU, threads=1, effort=QUICK)
    assert tuple(table.step_parts) == PARTS
    for depth, seconds in table.step_seconds.items():
        parts = [table.step_parts[part][depth] for part in PARTS]
        assert all(part > 0 for part in parts)
        assert sum(parts) == pytest.approx(seconds)


def test_counted_operations_are_those_of_the_model() -> None:
    """By hand: a linear layer of m inputs and n outputs costs 2·batch·m·n forward, and again for
    each gradient.
    """
    table = calibrate(tiny.tiny(), device=CPU, threads=1, effort=QUICK)
    block = 2 * tiny.BATCH * 2 * (tiny.WIDTH * 2 * tiny.WIDTH)
    # One more active block adds its weights' gradients and the gradient at its input.
    assert table.step_flops[3] - table.step_flops[2] == 2 * block


def test_key_names_what_the_costs_hold_for() -> None:
    """The key has device, torch, workload, data, number format and threads.

    What is checked on resuming is part of it.
    """
    key = calibrate(tiny.tiny(), device=CPU, threads=1, effort=QUICK).key
    assert surroundings(CPU).items() <= key.items()
    assert (key["workload"], key["fingerprint"], key["dtype"], key["threads"]) == (
        "tiny",
        "tiny",
        "float32",
        "1",
    )


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


def _on(host: ScriptedHost) -> tuple[int, tuple[str, ...]]:
    effort = dataclasses.replace(QUICK, tries=3, rest=7.0)
    table = calibrate(tiny.tiny(), device=CPU, threads=1, effort=effort, host=host)
    return table.tries, table.disturbances


def test_alone_it_measures_once() -> None:
    """A host whose clocks agree and whose cores are idle: one try, no rest, nothing to say."""
    host = ScriptedHost()
    assert _on(host) == (1, ())
    assert host.rests == []


def test_company_that_leaves_is_waited_for() -> None:
    """Another process has half of the cores during the first try only.

    There is a rest, then a second try, and nothing to say.
    """
    host = ScriptedHost(elsewhere=[0.5, 0.0])
    assert _on(host) == (2, ())
    assert host.rests == [7.0]


def test_company_that_stays_is_named() -> None:
    """Half of the cores are taken in every try.

    There are three tries, and the table names the mildest one's disturbance.
    """
    host = ScriptedHost(elsewhere=[0.7, 0.5, 0.6])
    tries, signs = _on(host)
    assert tries == 3
    assert signs == ("50% of the cores' time went to other processes (at most 20%)",)


@pytest.mark.parametrize(("slower", "tries"), [(0.001, 1), (0.01, 3)])
def test_a_machine_that_slows_down_a_little_is_steady(slower: float, tries: int) -> None:
    """Its rounds take an eighth longer by the end, and every kind of work alike: one try. Where
    they take more than twice as long, three.
    """
    effort = dataclasses.replace(QUICK, min_rounds=12, max_rounds=12, tries=3)
    host = ScriptedHost(slower=slower)
    found = calibrate(tiny.tiny(), device=CPU, threads=1, effort=effort, host=host)
    assert found.tries == tries
    assert all("the machine's speed" in sign for sign in found.disturbances)


def test_preemption_costs_a_trial_nothing() -> None:
    """Some laps are stretched tenfold by waiting for a core.

    The costs are the same as without, and the disturbance is named.
    """
    effort = dataclasses.replace(QUICK, min_rounds=12, max_rounds=12)
    alone = calibrate(tiny.tiny(), device=CPU, threads=1, effort=effort, host=ScriptedHost())
    beside = calibrate(
        tiny.tiny(), device=CPU, threads=1, effort=effort, host=ScriptedHost(stretch=10.0)
    )
    assert beside.step_seconds == pytest.approx(alone.step_seconds)
    assert any("waiting for a core" in sign for sign in beside.disturbances)
