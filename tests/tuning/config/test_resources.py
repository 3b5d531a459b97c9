"""How a machine is shared: defaults, what is asked for, and what it cannot give."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.config.resources import Machine, Resources, resource_faults, share, slots, usable_cpus


@pytest.mark.parametrize(
    ("machine", "asked", "expected"),
    [
        (Machine(8), {}, Resources(8, 1.0, 0.0, 1)),
        (Machine(8), {"cpus_per_trial": 2.5}, Resources(3, 2.5, 0.0, 2)),
        (Machine(2), {"concurrency": 4}, Resources(4, 0.5, 0.0, 1)),
        (Machine(0.5), {}, Resources(1, 0.5, 0.0, 1)),
        (Machine(16, 1), {}, Resources(8, 1.0, 0.125, 1, fills=True)),
        (Machine(16, 2), {}, Resources(8, 1.0, 0.25, 1)),
        (Machine(16, 1), {"concurrency": 3}, Resources(3, 1.0, 0.25, 1)),
        (Machine(2, 1), {}, Resources(8, 0.25, 0.125, 1, fills=True)),
        (Machine(16, 2), {"gpus_per_trial": 0.4}, Resources(4, 1.0, 0.4, 1)),
        (Machine(16, 2), {"gpus_per_trial": 2}, Resources(1, 1.0, 2, 1)),
        (Machine(16, 1), {"gpus_per_trial": 0}, Resources(16, 1.0, 0, 1)),
        (Machine(4, 1), {"cpus_per_trial": 2}, Resources(2, 2, 0.125, 2, fills=True)),
    ],
)
def test_what_is_not_asked_for_comes_from_the_machine(
    machine: Machine, asked: dict[str, float], expected: Resources
) -> None:
    """Compares with shares worked out by hand."""
    assert share(machine, **asked) == expected  # type: ignore[arg-type]


@given(gpus=st.integers(1, 8), parts=st.integers(1, 20))
def test_even_fractions_fill_a_gpu(gpus: int, parts: int) -> None:
    """Property: 1/n of a GPU fits n times on each, whatever the rounding of 1/n."""
    assert slots(gpus, 1 / parts) == gpus * parts if parts > 1 else slots(gpus, 1.0) == gpus


@pytest.mark.parametrize(
    ("machine", "asked", "fault"),
    [
        (
            Machine(8),
            {"gpus_per_trial": 0.5},
            "gpus-per-trial needs a GPU, but got 0.5 where there is none",
        ),
        (Machine(8, 1), {"gpus_per_trial": 0.5, "concurrency": 3}, "at most 2 fit"),
        (Machine(8, 1), {"gpus_per_trial": 2}, "at most 0 fit"),
        (Machine(2), {"cpus_per_trial": 2, "concurrency": 2}, "<= 2 usable cores must hold"),
        (Machine(2), {"cpus_per_trial": 4}, "<= 2 usable cores must hold"),
    ],
)
def test_what_a_machine_cannot_give_is_a_fault(
    machine: Machine, asked: dict[str, float], fault: str
) -> None:
    """Looks for the rule in the one message."""
    (found,) = resource_faults(machine, **asked)  # type: ignore[arg-type]
    assert fault in found


@given(
    machine=st.builds(Machine, cpus=st.integers(1, 64), gpus=st.integers(0, 4)),
    concurrency=st.none() | st.integers(1, 64),
)
def test_defaults_fit_the_machine(machine: Machine, concurrency: int | None) -> None:
    """Property: whatever the machine, no more cores are used than there are, and a trial has a
    thread.
    """
    found = share(machine, concurrency)
    assert found.concurrency * found.cpus_per_trial <= machine.cpus + 1e-9
    assert found.threads >= 1


def test_a_control_groups_quota_counts(tmp_path: Path) -> None:
    """Writes the files of both versions: half a core is half a core.

    Without a quota the affinity counts.
    """
    (tmp_path / "cpu.max").write_text("max 100000\n")
    free = usable_cpus(tmp_path)
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert usable_cpus(tmp_path) == 0.5
    old = tmp_path / "old"
    (old / "cpu").mkdir(parents=True)
    (old / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    (old / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cpus(old) == usable_cpus(tmp_path / "none") == free
    (old / "cpu" / "cpu.cfs_quota_us").write_text("25000\n")
    assert usable_cpus(old) == 0.25


def test_this_machine_has_cores() -> None:
    """Asks the machine the tests run on."""
    assert Machine.here().cpus > 0
