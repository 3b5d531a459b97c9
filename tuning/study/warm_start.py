"""Where a search's knowledge of another run comes from, and where it is kept: RUN/warm_start.json.

It is written once, before the first trial. From then on the other run may change or go: what a
search proposes depends on its own directory alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search_spaces.base import SearchSpace
from tuning.errors import BadInput
from tuning.layout import WARM_START
from tuning.store.files import FILES
from tuning.store.store import Store, history_of
from tuning.study.samplers.knowledge import Knowledge, in_both
from tuning.study.samplers.values import counts
from tuning.trial.outcome import Outcome
from tuning.trial.trial import ASIDE


def gather(other: Path, own: Path, space: SearchSpace) -> Knowledge:
    """What the run at ``other`` tells a search of ``space`` that lives at ``own``.

    Raises:
        BadInput: it is no run, or the same one, or nothing in it is of use.
    """
    if other.resolve() == own.resolve():
        raise BadInput(
            f"--warm-start must name another run than the search's own, but got {other}: leave it "
            "out"
        )
    try:
        store = Store.open(other)
    except BadInput as error:
        raise BadInput(
            f"--warm-start must name the directory of a search: {fault}" for fault in error.faults
        ) from None
    history = history_of(store)
    finished = [outcome for outcome in history if counts(outcome) and outcome.origin not in ASIDE]
    if not finished:
        raise BadInput(
            f"--warm-start must name a run with finished trials, but {other} has none: wait until "
            "it has"
        )
    knowledge = Knowledge.of(history, space)
    if not knowledge.trials:
        searched = store.info.config.get("space")
        raise BadInput(
            "--warm-start must name a run with finished trials that are points of space "
            f"{space.name}, but none of the "
            f"{len(finished)} of {other}, which searched {searched}, is"
            f"{_why(finished, space)}: search what it searched, or leave it out"
        )
    if not knowledge.has_scale():
        raise BadInput(
            "--warm-start must name a run with a control, finished runs of full_update at two "
            "horizons whose losses "
            f"differ, but {other} has {sum(map(in_both, finished))} such runs: wait until it has, "
            "or leave it out"
        )
    return knowledge


def _why(finished: Sequence[Outcome], space: SearchSpace) -> str:
    """In brackets, why the first trial that is no control is no point of the space; empty where
    there is no reason.
    """
    recipes = (each.recipe for each in finished if not in_both(each))
    reasons = (space.why_outside(each.policy, each.horizon, each.knobs) for each in recipes)
    reason = next((each for each in reasons if each), None)
    return "" if reason is None else f" (of the first of them, {reason})"


def keep(store: Store, other: Path, space: SearchSpace) -> Knowledge | None:
    """Copy what ``other`` tells into the run, unless that was done before; returns what was copied
    now, else None.

    Raises:
        BadInput: see ``gather``.
    """
    path = store.path / WARM_START
    if path.exists():
        return None
    knowledge = gather(other, store.path, space)
    FILES.write_atomic(path, knowledge.to_json().encode())
    return knowledge


def kept(store: Store) -> Knowledge | None:
    """What the run has kept of another run; None where it was not warm started.

    Raises:
        BadInput: the file cannot be read.
    """
    path = store.path / WARM_START
    if not path.exists():
        return None
    try:
        return Knowledge.from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"{path} must hold what the search knows of another run, but reading it failed: "
            f"{error!r}; put it back as "
            "it was, or start a new run"
        ) from None


def described(knowledge: Knowledge, other: Path) -> str:
    """One line for the user that says what was taken over."""
    left_out = (
        f"; {knowledge.left_out} are no points of this space and were left out"
        if knowledge.left_out
        else ""
    )
    return (
        f"warm start: the sampler knows {len(knowledge.trials)} finished trials of "
        f"{other}{left_out}"
    )
