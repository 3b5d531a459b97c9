"""What is confirmed is timed again, whole, and charged by that; a search's trials are not."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch

from models.levers.levers import Levers
from policies.rules import Scalar
from tests.support import tiny
from tests.support.costs import Alone, Company, made_up_costs, two_rounds
from tests.support.searches import TINY
from tests.support.stores import INFO
from tests.support.watch import Remembering
from tuning.session.listed import Subject, create_list, train_list
from tuning.store.info import KnobKind
from tuning.store.lease import Lease
from tuning.store.store import Store
from tuning.training.calibration import company
from tuning.training.calibration.calibrate import Effort
from tuning.training.calibration.known import Known
from tuning.training.clock_tasks import calibrate_forms, time_again
from tuning.trial.recipe import Recipe
from tuning.trial.task import Task
from tuning.trial.trial import CONFIRMATION, FIRST_FRESH, Origin, TrialRecord, TrialSpec
from tuning.trial.variants import with_table

QUICK = Effort(min_rounds=1, max_rounds=1, seconds=0.0)
LEVERS: Mapping[str, Scalar] = {
    "optimizer": "muon",
    "newton_schulz_steps": 3,
    "batch_start": 2.0,
    "batch_end": 2.0,
}
RECIPE = Recipe("full_update", 0.5, LEVERS)
FORM = "muon 3, batch 2"
PARTS = ("muon 3", "batch 2")


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else runs."""
    monkeypatch.setattr(company, "Meanwhile", Alone)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory of the tiny workload, on a clock that has timed the recipe as a search
    does.
    """
    subject = Subject(TINY, None, tiny.tiny())
    kinds: dict[str, KnobKind] = {"newton_schulz_steps": "int", "optimizer": "str"}
    columns: dict[str, KnobKind] = {name: kinds.get(name, "float") for name in LEVERS}
    create_list(tmp_path / "run", subject, made_up_costs(), columns)
    task = Task.trial(0)
    with held(tmp_path / "run") as store, two_rounds():
        store.begin(spec_of("sampled", 0), task)
        calibrate_forms(store, task)
        store.end(task)
    return tmp_path / "run"


@contextlib.contextmanager
def held(run: Path) -> Iterator[Store]:
    """The run, held as a search holds it."""
    with Lease.acquire(run) as lease:
        yield Store.open(run, epoch=lease.epoch)


def spec_of(origin: Origin, seed: int, number: int = 0) -> TrialSpec:
    return TrialSpec(number, origin, TINY, RECIPE, seed, 1.0)


def test_forms_are_timed_whole_and_once(run: Path) -> None:
    """Beside the search's clock, which stays as it is and has put the same form together; nor is
    anything drawn of the process's own generators.
    """
    said: list[str] = []
    with held(run) as store:
        before = store.info.calibration
        assert before is not None
        drawn = torch.get_rng_state()
        time_again(store, [RECIPE, RECIPE], said.append, QUICK)
        assert torch.equal(torch.get_rng_state(), drawn)
        found = store.reload_info()
        time_again(store, [RECIPE], said.append, QUICK)
        assert store.reload_info() == found
    assert found.calibration == before
    assert before.forms.keys() == {*PARTS, FORM}
    assert found.timed_again.keys() == {"muon 3", FORM}
    assert (before.forms[FORM].composed, found.timed_again[FORM].composed) == (True, False)
    assert [FORM in line for line in said] == [True]


def test_a_confirmation_says_that_it_did_not_time_alone(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for each recipe, with what else ran."""
    said: list[str] = []
    monkeypatch.setattr(company, "Meanwhile", Company)
    monkeypatch.setattr(company, "REST", 0.0)
    with held(run) as store:
        time_again(store, [RECIPE, RECIPE], said.append, QUICK)
    assert said[1:] == ["warning: it was not alone: half of the cores"]


def test_forms_are_timed_again_until_company_is_known_to_stay(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first three times; the next once, and what compiles once from the beginning."""
    series: list[str] = []
    pulled: tuple[dict[str, Scalar], ...] = (
        {"compiled": True},
        {"attention_backend": "math"},
        {"dtype": "bfloat16"},
    )

    def find(known: Known, levers: Levers) -> dict[str, str]:
        (form,) = levers.forms(known.costs.num_blocks)
        series.append(form.key)
        known.costs = with_table(known.costs, form.key, made_up_costs())
        return {}

    monkeypatch.setattr(Known, "find", find)
    monkeypatch.setattr(company, "Meanwhile", Company)
    monkeypatch.setattr(company, "REST", 0.0)
    with held(run) as store:
        for number, levers in enumerate(pulled, 1):
            if number == 2:
                store.update_info(calibration=made_up_costs())
            spec = dataclasses.replace(
                spec_of("sampled", 0, number), recipe=Recipe("full_update", 0.5, levers)
            )
            store.begin(spec, task := Task.trial(number))
            calibrate_forms(store, task)
    assert [len(list(tries)) for _, tries in itertools.groupby(series)] == [1, 3, 1]


def test_a_search_adds_up_what_its_clock_takes(run: Path) -> None:
    """A form that is timed, on top of what was; what a confirmation times is its own."""
    with held(run) as store:
        first = store.info.timing_seconds
        assert first > 0
        store.begin(spec_of("sampled", 0, 1), task := Task.trial(1))
        store.update_info(calibration=made_up_costs())
        calibrate_forms(store, task)
        second = store.reload_info().timing_seconds
        assert second > first
        time_again(store, [RECIPE], lambda _: None, QUICK)
        assert store.reload_info().timing_seconds == second


def test_who_is_charged_by_it(run: Path) -> None:
    """A form that is three times as dear by the second clock.

    A confirmation's run takes fewer steps in the same horizon and is charged at that; the search's
    own, and what takes a recipe apart, are charged as before.
    """
    with held(run) as store:
        costs = store.info.calibration
        assert costs is not None
        table = costs.forms[FORM]
        dear = {depth: 3 * seconds for depth, seconds in table.step_seconds.items()}
        store.update_info(timed_again={FORM: dataclasses.replace(table, step_seconds=dear)})
    seeds: dict[int, Origin] = {
        0: "sampled", FIRST_FRESH: CONFIRMATION, 2 * FIRST_FRESH: CONFIRMATION
    }  # fmt: skip
    specs = [spec_of(origin, seed, i) for i, (seed, origin) in enumerate(seeds.items())]
    train_list(run, specs, tiny.tiny().steps, Remembering())
    own, fresh, apart = map(Store.open(run).record, range(3))
    assert own.steps == apart.steps
    assert (fresh.steps or 0) < (own.steps or 0)
    assert (
        per_step(own) == per_step(apart) == pytest.approx(table.step_cost(4) + table.data_seconds)
    )
    assert per_step(fresh) == pytest.approx(dear[4] + table.data_seconds)


def per_step(record: TrialRecord) -> float:
    """Seconds of a step and its batch."""
    assert record.train_seconds
    assert record.steps
    return record.train_seconds / record.steps


def test_a_variants_forms_that_were_not_timed_again_stay() -> None:
    """Of a workload with other values of its own knobs, by the first clock."""
    one, other, dear = made_up_costs(), made_up_costs(full_step=0.02), made_up_costs(full_step=0.06)
    first = dataclasses.replace(one, forms={"wide": dataclasses.replace(other, forms={"m": other})})
    again = {"wide": dataclasses.replace(dear, forms={"b": dear})}
    info = dataclasses.replace(INFO, calibration=first, timed_again=again)
    found = info.clock_of(CONFIRMATION, info.config["seed"] + FIRST_FRESH)
    assert found is not None
    wide = found.forms["wide"]
    assert (wide.step_seconds, wide.forms) == (dear.step_seconds, {"m": other, "b": dear})
