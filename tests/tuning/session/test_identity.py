"""A run goes on with the workload it began with; another is refused, each difference named."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from models.registry import find_workload
from tests.support import edited
from tests.support.costs import made_up_costs
from tests.support.edited import EDIT
from tests.support.searches import MACHINE, config_of, prepared
from tuning.config.config import SearchConfig
from tuning.errors import BadInput
from tuning.session.description import describe, refuse_other_data
from tuning.session.identity import identity_here, remarks_on
from tuning.session.other_runs import take_clock
from tuning.store.directory import read_info
from tuning.store.store import Store
from tuning.training.clock_tasks import examine_run

NAME = "tests.support.edited:edited"
EDITS = {
    "steps": ["steps 20 -> 60"],
    "depth": [
        "blocks 4 x ResidualBlock -> 6 x ResidualBlock",
        "new parameters: blocks.4.up.weight",
    ],
    "rate": ["optimizer's lr 0.01 -> 0.0005", "source changed at tests.support"],
    "optimizer": ["optimizer AdamW -> SGD", "optimizer's betas [0.9, 0.999] -> None"],
}


@pytest.fixture
def config(tmp_path: Path) -> SearchConfig:
    """Of a run that was begun before the edit."""
    config = config_of(tmp_path / "run", workload=NAME)
    prepared(config)
    return config


@pytest.mark.parametrize("edit", EDITS)
def test_a_run_goes_on_only_with_its_workload(
    config: SearchConfig, monkeypatch: pytest.MonkeyPatch, edit: str
) -> None:
    """The unedited one is let pass; of an edited one every difference is in one message."""
    store = Store.open(Path(config.run))
    refuse_other_data(store, config, find_workload(NAME))
    monkeypatch.setenv(EDIT, edit)
    with pytest.raises(BadInput) as refusal:
        refuse_other_data(store, config, find_workload(NAME))
    for words in EDITS[edit]:
        assert words in str(refusal.value)


def test_a_clock_is_taken_only_for_its_workload(
    config: SearchConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of the unedited workload's run, for the edited one."""
    monkeypatch.setenv(EDIT, "steps")
    workload, other = find_workload(NAME), Path(config.run)
    own = dataclasses.replace(config, run=str(tmp_path / "other"))
    info = describe(own, workload, own.resources(MACHINE))
    store = Store.open(other)
    store.update_info(calibration=made_up_costs(), device="fake device")
    with pytest.raises(BadInput, match=f"whose clock {other} has, but it is not: steps 20 -> 60"):
        take_clock(info, other, own, workload, own.resources(MACHINE))


def test_what_needs_the_name_alone_is_warned(
    config: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export or a warm start: a remark, none without an edit, and one that it cannot be seen."""
    info, run = read_info(Path(config.run)), Path(config.run)
    assert remarks_on(info, of=run) == []
    monkeypatch.setenv(EDIT, "steps")
    assert remarks_on(info, of=run) == [
        f"the workload is not the one of {run} any more: steps 20 -> 60"
    ]
    gone = dataclasses.replace(info, config={**info.config, "workload": "no.such:thing"})
    assert "could not be seen" in remarks_on(gone, of=run)[0]


def test_a_run_without_an_identity_goes_on(
    config: SearchConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As older versions left them."""
    store = Store.open(Path(config.run))
    store.update_info(identity=None)
    monkeypatch.setenv(EDIT, "steps")
    refuse_other_data(store, config, find_workload(NAME))
    assert remarks_on(store.info, of=store.path) == []


def test_what_each_process_has_its_own_of_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The examination's other process has another value: it is said, and the run goes on
    elsewhere; another edit is noticed as before.
    """
    name = "tests.support.edited:in_a_process"
    config = config_of(tmp_path / "run", workload=name)
    store = prepared(config)
    store.update_info(soundness=None)
    monkeypatch.setattr(edited, "OPTIONS", edited.Options(-1))
    with pytest.raises(BadInput, match=r"options Options\(made_in=.* -> Options\(made_in=-1\)"):
        refuse_other_data(store, config, find_workload(name))
    examine_run(store)
    assert store.info.soundness is not None
    assert "are not compared: options, " in store.info.soundness.warnings[0]
    refuse_other_data(store, config, find_workload(name))
    longer = dataclasses.replace(find_workload(name), steps=60)
    with pytest.raises(BadInput, match="steps 20 -> 60"):
        refuse_other_data(store, config, longer)


def test_a_workload_that_cannot_be_made_is_refused_where_it_failed() -> None:
    """The message has the user's own line and none of this project's."""
    workload = dataclasses.replace(find_workload(NAME), make_model=_fails)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"KeyError: 'width' \(at test_identity.py:\d+ in _fails"):
        identity_here(workload)


def _fails(seed: int) -> object:
    sizes: dict[str, int] = {}
    return sizes["width"]
