"""A workload's identity as a session sees it: what a run began with, and what there is now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.frames import told
from tuning.errors import BadInput
from tuning.store.info import RunInfo
from tuning.trial.identity import Identity, differences

if TYPE_CHECKING:
    from models.workload import Workload


def identity_here(workload: Workload) -> dict[str, Any]:
    """The workload's identity as this process finds it. The process's generators are left as they
    were.

    Raises:
        BadInput: its model, optimizer or first batch cannot be made, or not be trained.
    """
    from models.identity import identity_of
    from tuning.training.generators import generators_kept

    try:
        with generators_kept():
            return identity_of(workload)
    except Exception as fault:
        raise BadInput(f"workload {workload.name!r} cannot be trained: {told(fault)}") from fault


def identity_faults(then: Identity | None, now: Identity, *, owner: str, advice: str) -> list[str]:
    """How ``now`` differs from the identity ``then`` with which a run began, as one fault; empty
    where it does not, and where ``then`` is not known.

    Args:
        then: the identity that a run.json holds; None in runs of older versions.
        now: the identity here.
        owner: says in words whose workload it must be.
        advice: what to do where it is another.
    """
    found = [] if then is None else differences(then, plain(now))
    if not found:
        return []
    return [f"the workload must be the one {owner}, but it is not: {'; '.join(found)}. {advice}"]


def plain(identity: Mapping[str, Any]) -> dict[str, Any]:
    """The identity as it comes back from JSON."""
    return dict(json.loads(json.dumps(identity)))


def remarks_on(info: RunInfo, *, of: Path) -> list[str]:
    """What a user is told before they use the run at ``of`` by its workload's name alone: how the
    workload of that name has changed since; empty where it has not.
    """
    from models.registry import find_workload

    if info.identity is None:
        return []
    corpus = info.config.get("corpus")
    try:
        workload = find_workload(info.config["workload"], Path(corpus) if corpus else None)
        now = identity_here(workload)
    except (BadInput, ValueError) as fault:
        return [f"whether the workload is still the one of {of} could not be seen: {fault}"]
    data = {"data": info.workload_fingerprint}
    found = differences({**info.identity, **data}, {**plain(now), "data": workload.fingerprint})
    return [f"the workload is not the one of {of} any more: {'; '.join(found)}"] if found else []
