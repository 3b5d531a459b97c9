"""A search that is followed elsewhere: each trial is told there when it is recorded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

from tuning.config.config import SearchConfig
from tuning.elsewhere.destination import Source
from tuning.elsewhere.following import Following
from tuning.elsewhere.place import places
from tuning.session.description import stored_config
from tuning.session.watch import Watcher
from tuning.store.store import Store
from tuning.trial.trial import TrialRecord


def source_of(store: Store) -> Source:
    """The run in ``store`` as it is described to other tools."""
    config = stored_config(store)
    try:
        space = config.search_space()
    except ValueError:  # a space, or a workload with knobs of its own, that is not here any more
        space = None
    columns = tuple(store.info.knob_columns)
    name = store.path.resolve().name
    workload, info = str(config.workload), store.info
    return Source(name, workload, space, columns, info.metric, info.metrics)


@contextlib.contextmanager
def told(watcher: Watcher, config: SearchConfig, store: Store) -> Iterator[Watcher]:
    """A watcher that also tells the destinations in ``config.log``; these are first told what is
    recorded already.
    """
    asked = places(config.log)
    if not asked:
        yield watcher
        return
    with Following(asked, source_of(store), watcher.warn) as following:
        following.tell(store.records())
        # Everything but two calls goes on as it is, which the protocol cannot see.
        yield cast(Watcher, _Telling(watcher, following))


class _Telling:
    """A watcher that passes everything on to another watcher, and trials to destinations
    elsewhere.
    """

    def __init__(self, watcher: Watcher, following: Following) -> None:
        self._watcher, self._following = watcher, following

    def __getattr__(self, name: str) -> Any:
        return getattr(self._watcher, name)

    def ended(self, record: TrialRecord) -> None:
        """Pass on a record; the destinations are told of trials, not of the runs that set the
        target.
        """
        self._watcher.ended(record)
        if record.target_loss is not None:
            self._following.tell([record])

    def tick(self) -> None:
        """See whether a destination has failed."""
        self._following.look()
        self._watcher.tick()
