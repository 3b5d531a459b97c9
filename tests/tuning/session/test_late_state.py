"""State that comes when an examination's few steps are long over: forks stay true, and it is said.

Every workload here passes the examination; what it does later is seen in the first whole training.
"""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import MutableMapping
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from models.workload import Workload
from tests.support import stateful
from tests.support.searches import config_of, own_columns, prepared, search
from tests.support.watch import Remembering
from tests.tuning.training.examination.test_examine import examined
from tuning.errors import SearchFailed
from tuning.store.store import Store

HERE = __name__
LATE = 9
"""Steps of a training before which nothing is to be seen."""


class Queues(stateful.Noisy):
    """An iterator in a list from a step on: nothing can save where it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.queue: list[itertools.count[int]] = []

    def noise(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == LATE:
            self.queue.append(itertools.count(1))
        return torch.full_like(x, sum(0.2 / next(each) for each in self.queue))


class Reorders(stateful.Noisy):
    """A set of which any element is taken: its order hangs on all that was ever in it."""

    def __init__(self) -> None:
        super().__init__()
        self.left = set(range(12))

    def noise(self, x: Tensor) -> Tensor:
        taken = self.left.pop()
        self.left.add(taken + 100)
        return torch.full_like(x, taken / 1000)


LEVEL = {"now": 0.0}


class Rises(stateful.Noisy):
    """A level of the process, raised late in a training, that the next one begins with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def noise(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls > LATE:
            LEVEL["now"] += 0.1
        return torch.full_like(x, LEVEL["now"])


class Draws(stateful.Noisy):
    """A draw of a method's, remembered for each model, which comes late."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    @functools.lru_cache  # noqa: B019 - what is tried
    def drawn(self) -> float:
        return float(torch.rand(()))

    def noise(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.full_like(x, self.drawn() if self.calls >= LATE else 0.0)


CALLS: MutableMapping[Draws, int] = weakref.WeakKeyDictionary()


class Counted(Draws):
    """A number that a table outside holds for each model, and that matters late."""

    def noise(self, x: Tensor) -> Tensor:
        CALLS[self] = CALLS.get(self, 0) + 1
        return torch.full_like(x, 0.1 if CALLS[self] >= LATE else 0.0)


def queues() -> Workload:
    return stateful.workload(Queues)


def reorders() -> Workload:
    return stateful.workload(Reorders)


def rises() -> Workload:
    return stateful.workload(Rises)


def draws() -> Workload:
    return stateful.workload(Draws)


def counted() -> Workload:
    return stateful.workload(Counted)


def run(folder: Path, name: str, forks: bool) -> tuple[pd.DataFrame, list[str]]:
    """The table, and what was warned of."""
    watcher = Remembering()
    config = config_of(
        folder, workload=f"{HERE}:{name}", space="schedule", target=1.0, trials=6, forks=forks
    )
    return search(config, watcher).trials, watcher.warnings


@pytest.mark.parametrize(
    ("name", "attribute", "unsaved_at"), [("queues", "queue", LATE), ("reorders", "left", 7)]
)
def test_what_no_snapshot_holds_any_more_is_said_and_trained_alone(
    tmp_path: Path, name: str, attribute: str, unsaved_at: int
) -> None:
    """The same table as without forks, though snapshots from before are there; run.json has the
    reason.
    """
    forked, warnings = run(tmp_path / "forked", name, True)
    straight, _ = run(tmp_path / "straight", name, False)
    pd.testing.assert_frame_equal(
        own_columns(forked).drop(columns="forked_from_step"),
        own_columns(straight).drop(columns="forked_from_step"),
    )
    said = [text for text in warnings if f"but cannot hold {attribute}" in text]
    assert len(said) == 1
    assert "it came late (trials train alone" in said[0]
    info = Store.open(tmp_path / "forked").info
    assert info.soundness is not None
    assert not info.forks
    saved = [int(f.stem) for f in (tmp_path / "forked" / "trunk" / "seed-0").glob("0*.pt")]
    assert 1 in saved
    assert unsaved_at not in saved


@pytest.mark.parametrize("name", ["draws", "counted"])
def test_what_is_kept_where_nobody_looks_is_seen_where_a_training_goes_on(
    tmp_path: Path, name: str
) -> None:
    """No attribute shows it; a training that goes on from a snapshot has another loss, is not
    forked from, and it is said.
    """
    assert examined(globals()[name]()).forks
    forked, warnings = run(tmp_path / "forked", name, True)
    straight, _ = run(tmp_path / "straight", name, False)
    pd.testing.assert_frame_equal(
        own_columns(forked).drop(columns="forked_from_step"),
        own_columns(straight).drop(columns="forked_from_step"),
    )
    assert forked["forked_from_step"].isna().all()
    said = [text for text in warnings if "a training went on from the snapshot" in text]
    assert len(said) == 1
    assert "cannot hold what step" in said[0]
    assert not Store.open(tmp_path / "forked").info.forks


def test_a_level_that_outlives_a_training_ends_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The examination passes; the second training does not begin as the first, before any trial."""
    monkeypatch.setitem(LEVEL, "now", 0.0)
    config = config_of(
        tmp_path / "run", workload=f"{HERE}:rises", space="schedule", target=1.0, trials=9
    )
    store = prepared(config)
    found = examined(rises())
    assert not found.refusals
    store.update_info(soundness=found)
    with pytest.raises(SearchFailed, match=r"another did not begin as it had: the loss of step 0"):
        search(config, Remembering())
