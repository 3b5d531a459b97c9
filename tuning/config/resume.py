"""Going on with a search: what may change, and what must be as it was."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuning.config.config import SearchConfig
from tuning.config.faults import config_faults
from tuning.config.option import options
from tuning.config.resources import Machine
from tuning.errors import BadInput


@dataclass(frozen=True)
class Resume:
    """A search to go on with.

    Attributes:
        run: its directory.
        changes: options it is to have from now on; only such as may change.
        given: the other options given, which must agree with those the run was made with.
        retry_failed: whether its failed trials run again.
        faults: what was wrong with the words in which it was asked for.
    """

    run: Path
    changes: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    retry_failed: bool = False
    faults: tuple[str, ...] = ()

    @classmethod
    def of(cls, run: Path, wanted: Mapping[str, Any], **more: Any) -> Resume:
        """The request to go on with ``run``, with the options ``wanted`` by name. A name that is no
        option is one of its faults.
        """
        said = options(SearchConfig)
        known = {name: value for name, value in wanted.items() if name in said}
        may = {name: value for name, value in known.items() if said[name].changes}
        rest = {name: value for name, value in known.items() if name not in may}
        strangers = tuple(_no_option(name, list(said)) for name in wanted if name not in said)
        return cls(run, may, rest, faults=(*more.pop("faults", ()), *strangers), **more)


def _no_option(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    advice = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}"
    return f"no such option: {name!r}: {advice}"


def resumed(old: SearchConfig, request: Resume, machine: Machine | None = None) -> SearchConfig:
    """The configuration with which a run made by ``old`` goes on.

    Raises:
        BadInput: names each difference from the run, and every fault of what is to change.
    """
    if faults := refusals(old, request, machine):
        raise BadInput(faults)
    return dataclasses.replace(old, **{**request.changes, **request.given})


def refusals(old: SearchConfig, request: Resume, machine: Machine | None = None) -> list[str]:
    """What keeps a run made by ``old`` from going on as requested; empty where nothing does."""
    new = dataclasses.replace(old, **{**request.changes, **request.given})
    changed = dataclasses.replace(old, **request.changes)
    return differences(old, new) + config_faults(changed, machine, unchecked, resuming=True)


def unchecked(name: str, corpus: Path | None) -> None:
    """A ``find_workload`` that finds no fault: a resumed run's workload is compared with the stored
    one, not looked up again.
    """


def differences(
    old: SearchConfig, new: SearchConfig, data: Iterable[tuple[str, str, str]] = ()
) -> list[str]:
    """What keeps ``new`` from going on with a run made by ``old``; empty where nothing does.

    Args:
        old: as stored with the run.
        new: as asked for now.
        data: further things that must not change, each (name, old, new): fingerprints of the corpus
            and of the space.
    """
    compared = [
        (name, getattr(old, name), getattr(new, name))
        for name, said in options(SearchConfig).items()
        if said.identity
    ]
    return [
        f"a resumed search must keep its {name}, which was {before!r}, but got {after!r}: "
        "leave it out, or start a new run"
        for name, before, after in [*compared, *data]
        if before != after
    ]
