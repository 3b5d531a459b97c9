"""What a run knows beside its trials, from its directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.frames import record
from tests.support.runs import write_run
from tests.support.verdicts import confirmed
from tuning.findings.context import background_of
from tuning.findings.verdict import VERDICT
from tuning.store.info import SamplerChoice
from tuning.store.store import Store
from tuning.trial.task import Task


def test_noise_comes_from_the_runs_that_set_the_target(tmp_path: Path) -> None:
    """The standard deviation of three losses; none before there are two."""
    store = Store.open(write_run(tmp_path / "run", []))
    assert background_of(store).noise is None
    for seed, loss in enumerate((1.0, 2.0, 3.0)):
        store.append_reference(
            Task.reference(seed), record(seed, 5.0, loss, policy="full_update", seed=seed)
        )
    noise = background_of(store).noise
    assert noise is not None
    assert noise.deviation == pytest.approx(1.0)
    assert noise.seeds == 3


def test_the_confirmation_and_its_command_are_the_runs_own(tmp_path: Path) -> None:
    """Read from verdict.json where there is one.

    The command can be pasted, spaces in the path and all.
    """
    store = Store.open(write_run(tmp_path / "my run", []))
    assert background_of(store).confirmed is None
    assert background_of(store).confirm_command == f"python -m tuning.confirm '{store.path}'"
    found = confirmed({3: 1.1})
    (store.path / VERDICT).write_text(found.to_json())
    assert background_of(store).confirmed == found


def test_the_sampler_and_why(tmp_path: Path) -> None:
    """In words from run.json; nothing before one is chosen."""
    store = Store.open(write_run(tmp_path / "run", []))
    assert background_of(store).sampler == ""
    store.update_info(sampler=SamplerChoice("gp", "an ask takes a hundredth of a trial", 0.1, 10.0))
    assert background_of(store).sampler == "gp, an ask takes a hundredth of a trial"
