"""What is of no more use is removed from runs: who may, which runs, what is left and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tuning.errors import BadInput
from tuning.layout import RUN_JSON
from tuning.session.description import is_done
from tuning.session.watch import say
from tuning.store.lease import Lease
from tuning.store.store import Store
from tuning.store.upkeep import sizes


@dataclass(frozen=True)
class Tidied:
    """What a run's files take before and after it is tidied.

    Attributes:
        run: its directory.
        before, after: bytes by what they hold; see ``tuning.store.upkeep.sizes``.
        done: whether all that was asked of the search is recorded; where it is not, only what
            killed workers left is removed.
    """

    run: Path
    before: dict[str, int]
    after: dict[str, int]
    done: bool


def runs_in(folder: Path) -> list[Path]:
    """The run that ``folder`` is, or the runs that lie in it.

    Raises:
        BadInput: there is none.
    """
    if (folder / RUN_JSON).is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob(f"*/{RUN_JSON}"))
    if not found:
        raise BadInput(f"{folder} must be a run directory or hold some, but no {RUN_JSON} is there")
    return found


def tidy(run: Path, *, dry: bool = False) -> Tidied:
    """Remove what nothing needs any more: a finished search's snapshots, which only spare time
    where it is extended, and what killed workers left.

    Args:
        run: the run directory.
        dry: only look.

    Raises:
        BadInput: no run, or another search holds it.
    """
    store, before = Store.open(run), sizes(run)
    if dry:
        return Tidied(run, before, before, is_done(store))
    with Lease.acquire(run, on_wait=say) as lease:
        store = Store.open(run, epoch=lease.epoch)
        store.tidy()
        if done := is_done(store):
            store.thin_trunks(0)
    return Tidied(run, before, sizes(run), done)
