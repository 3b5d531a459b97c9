"""A workload with knobs of its own, searched: by whole searches with the serial driver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from models.knobs import costly
from models.registry import own_knobs_of
from tests.support.costs import made_up_costs
from tests.support.searches import config_of, own_columns, search
from tests.support.tiny import tiny
from tuning.export import settings_text
from tuning.findings.front import controls, levered
from tuning.findings.rows import rows_of
from tuning.store.store import Store, load_frame
from tuning.trial.clock import Ledger, baseline_seconds, charge
from tuning.trial.recipe import recipe_of
from tuning.trial.recipe_file import parse
from tuning.trial.trial import TrialRecord
from tuning.trial.variants import known_variant, variant_name

KNOBBY = "tests.support.knobby:make"
TRIALS = 13
FREE: dict[str, Any] = {"use_own": True, "width": 16, "layers": 4}
"""Turns the knob alone that changes no cost: nothing has to be timed."""


def records_of(run: Path) -> list[TrialRecord]:
    """Every record of a run, by number."""
    return sorted(Store.open(run).records(), key=lambda record: record.number)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of all three knobs, of recipes that freeze and that do not."""
    run = tmp_path_factory.mktemp("own") / "run"
    config = config_of(
        run,
        workload=KNOBBY,
        space="static_suffix",
        target=1.0,
        trials=TRIALS,
        knobs={"use_own": True},
    )
    search(config)
    return run


def turned(records: list[TrialRecord]) -> list[TrialRecord]:
    """Those with a knob of the workload's own turned."""
    return [record for record in records if record.recipe.own]


def ledger_of(record: TrialRecord) -> Ledger:
    """What the record's decisions come to, of a run that neither probed nor changed its form."""
    assert record.steps is not None
    starts = [*(decision.step for decision in record.decisions), record.steps]
    ledger = Ledger()
    for decision, end in zip(record.decisions, starts[1:], strict=True):
        before = ledger.steps_at_depth.get(decision.active_blocks, 0)
        ledger.steps_at_depth[decision.active_blocks] = before + end - decision.step
    return ledger


def test_sampled_trials_turn_them_and_are_no_controls(searched: Path) -> None:
    """The baselines are of the workload as it is; all finish."""
    records = records_of(searched)
    assert {record.state for record in records} == {"finished"}
    assert not turned([each for each in records if each.origin in ("baseline", "control")])
    assert len(turned(records)) >= 3
    assert all(each.recipe.control_kind is None for each in turned(records))


def test_each_is_charged_by_the_costs_of_its_own_workload(searched: Path) -> None:
    """By the table measured for its values, until its horizon of the plain workload's seconds."""
    store, known = Store.open(searched), own_knobs_of(KNOBBY)
    costs = store.info.calibration
    assert costs is not None
    plain = baseline_seconds(costs, 1)
    for record in turned(records_of(searched)):
        key = variant_name(costly(known, record.recipe.own))
        assert key == known_variant(costs, record.recipe.own)
        table = costs.forms[key] if key else costs
        assert table.num_blocks == record.recipe.own.get("layers", 4)
        assert baseline_seconds(table, 1) == plain
        assert record.train_seconds is not None
        assert record.train_seconds == charge(table, ledger_of(record)).train_seconds
        spare = record.train_seconds - record.recipe.horizon * plain * tiny().steps
        # Measured: on a busy machine one block can have taken longer than two.
        assert -1e-9 < spare < max(table.step_seconds.values()) + table.data_seconds


def test_none_starts_from_the_trunk(searched: Path) -> None:
    """While trials of the workload as it is do."""
    records = records_of(searched)
    assert all(record.forked_from_step is None for record in turned(records))
    assert any(record.forked_from_step for record in records)


def test_columns_rows_and_export_have_them(searched: Path) -> None:
    store = Store.open(searched)
    frame = load_frame(store, curves=False)
    assert {"knob_dropout", "knob_width", "knob_layers"} <= {*frame.columns}
    assert "knob_use_own" not in frame.columns
    own = {record.number: record.recipe for record in records_of(searched)}
    for row in rows_of(frame):
        assert recipe_of(row) == own[row["number"]]
        file = parse(settings_text(row, info=store.info), "it")
        assert file.own == own[row["number"]].own
        assert file.costs is not None
        assert file.costs.num_blocks == file.own.get("layers", 4)
        assert baseline_seconds(file.costs, 1) == baseline_seconds(made_up_costs(), 1)


def test_tables_tell_them_as_recipes_do(searched: Path) -> None:
    frame = load_frame(Store.open(searched), curves=False)
    recipes = [recipe_of(row) for row in rows_of(frame)]
    assert levered(frame).tolist() == [bool(recipe.pulled) for recipe in recipes]
    assert controls(frame).tolist() == [recipe.is_control for recipe in recipes]


def table_of(run: Path, **options: Any) -> pd.DataFrame:
    """What a search of the knob free of cost records, on a fake device."""
    config = config_of(run, workload=KNOBBY, target=1.0, trials=TRIALS, knobs=FREE, **options)
    search(config)
    return own_columns(load_frame(Store.open(run)))


def test_forked_searches_record_what_others_do(tmp_path: Path) -> None:
    """The law of forks, with own knobs turned: to the last bit."""
    forked = table_of(tmp_path / "forks").drop(columns="forked_from_step")
    whole = table_of(tmp_path / "whole", forks=False).drop(columns="forked_from_step")
    assert forked["knob_dropout"].notna().sum() >= 3
    pd.testing.assert_frame_equal(forked, whole)
