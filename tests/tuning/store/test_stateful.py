"""The store over a whole life, against a plain dictionary.

It is begun, started, appended to, killed, reopened and compacted in any order.
"""

from __future__ import annotations

import contextlib

import pandas as pd
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.support.faulty_files import CountingFiles, Crash, CrashingFiles
from tests.support.stores import fresh_store, merging_by_three, record, spec
from tuning.store.store import AlreadyRecorded, Store
from tuning.trial.task import Task
from tuning.trial.trial import TrialRecord

DEATHS = st.builds(
    CrashingFiles,
    st.integers(0, 14),
    torn=st.floats(0, 1),
    power_failure=st.booleans(),
    undo=st.integers(0, 6),
)


class StoreLife(RuleBasedStateMachine):
    """Calls that return are entered in ``recorded`` and ``executions``.

    A call that dies may have happened or not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._contexts = contextlib.ExitStack()
        self._contexts.enter_context(merging_by_three())
        self.path = self._contexts.enter_context(fresh_store()).path
        self.recorded: dict[int, TrialRecord] = {}
        self.executions: dict[int, int] = {}
        self.next = 0

    def teardown(self) -> None:
        self._contexts.close()

    @initialize()
    def open(self) -> None:
        """Start with a process that lives."""
        self.store = Store.open(self.path, files=CountingFiles())

    @rule()
    def begin(self) -> None:
        """The next trial is asked for."""
        self.store.begin(spec(self.next))
        self.executions[self.next] = 0
        self.next += 1

    @precondition(lambda self: self.executions)
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        """A worker takes one in flight."""
        number = data.draw(st.sampled_from(sorted(self.executions)))
        self.executions[number] += 1
        assert self.store.started(Task.trial(number)) == self.executions[number]

    @precondition(lambda self: self.executions)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """A worker records one and ends it."""
        number = data.draw(st.sampled_from(sorted(self.executions)))
        self.store.append(record(number))
        self.store.end(Task.trial(number))
        self.recorded[number] = record(number)
        del self.executions[number]

    @precondition(lambda self: self.recorded)
    @rule(data=st.data())
    def record_twice(self, data: st.DataObject) -> None:
        """A worker that was believed dead comes with its record."""
        number = data.draw(st.sampled_from(sorted(self.recorded)))
        with contextlib.suppress(AlreadyRecorded):
            self.store.append(record(number, val_loss=0.0))
            raise AssertionError(f"trial {number} was recorded twice")

    @rule()
    def compact(self) -> None:
        """The session merges what it can, one group."""
        self.store.compact()

    @rule()
    def reopen(self) -> None:
        """The process is killed between two calls; the next one tidies."""
        self.open()
        assert self.store.tidy() == []
        if self.recorded:
            assert sorted(pd.read_parquet(self.path / "trials").number) == sorted(self.recorded)

    @precondition(lambda self: self.executions)
    @rule(files=DEATHS, data=st.data())
    def die_finishing(self, files: CrashingFiles, data: st.DataObject) -> None:
        """The worker dies while it records."""
        number = data.draw(st.sampled_from(sorted(self.executions)))
        dying = Store.open(self.path, files=files)
        with contextlib.suppress(Crash):
            dying.append(record(number))
            dying.end(Task.trial(number))
        self.reopen_after_death(number)

    def reopen_after_death(self, number: int) -> None:
        """The record in flight is there whole, or its task still is."""
        self.open()
        self.store.tidy()
        if number in self.store.numbers():
            self.recorded[number] = record(number)
            del self.executions[number]

    @rule(files=DEATHS)
    def die_compacting(self, files: CrashingFiles) -> None:
        """The session dies while it merges; the next tidies, and may die too."""
        for act in (Store.compact, Store.tidy):
            with contextlib.suppress(Crash):
                act(Store.open(self.path, files=files))
        self.reopen()

    @rule(files=DEATHS)
    def die_beginning(self, files: CrashingFiles) -> None:
        """The session dies while it asks: the task is in flight or nobody ever heard of it."""
        with contextlib.suppress(Crash):
            Store.open(self.path, files=files).begin(spec(self.next))
        self.reopen()
        if self.next in {found.spec.number for found in self.store.in_flight()}:
            self.executions[self.next] = 0
            self.next += 1

    @invariant()
    def nothing_is_lost_and_nothing_is_there_twice(self) -> None:
        """What is on the disk is what was acknowledged, for this process and for a new one."""
        if not hasattr(self, "store"):
            return
        for store in (self.store, Store.open(self.path)):
            assert store.numbers() == sorted(self.recorded)
        assert self.store.records() == [self.recorded[number] for number in sorted(self.recorded)]
        assert {f.task.number: f.executions for f in self.store.in_flight()} == self.executions
        assert self.store.scan() == []


TestStoreLife = StoreLife.TestCase
TestStoreLife.settings = settings(deadline=None, max_examples=10, stateful_step_count=25)
