"""The rules about training again: twice from one seed, and elsewhere from where it was saved."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pickle import PicklingError
from typing import Any

from models.identity import code_of
from models.making import blocks_of
from models.source import surroundings
from tuning.training.checkpoint import load_checkpoint, save_checkpoint
from tuning.training.examination.rehearsal import Plan, Rehearsal
from tuning.training.examination.subject import (
    SEED,
    Subject,
    marks_of,
    refused,
    remark,
    some,
    unforked,
)
from tuning.training.state.attributes import outer_marks
from tuning.training.state.encoding import Encoder
from tuning.training.state.paths import told
from tuning.trial.soundness import Finding, unsaveable

NOISE = 1e-3
"""Relative difference between two trainings on an accelerator that its kernels may make.

Several add up in no fixed order. On a CPU there is none.
"""
NOT_TWICE = (
    "two trainings from one seed must be the same to the bit, but a second one in the same process "
    "was not"
)
WAY_OUT = "Make in make_model(seed) what the training changes, and seed there what it draws from"
NOT_ON = "a training that was saved must go on in a new process as if it had not been, but"


def rehearsal_rules(subject: Subject) -> Iterator[Finding]:
    """The same steps trained twice here, and once more from where they were saved."""
    plan = Plan.of(subject.workload, len(blocks_of(subject.workload, subject.model())))
    first = Rehearsal(subject.workload, plan, subject.device)
    outside = _Outside(subject, first)
    first.train(plan.saved_at)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.pt"
        readable = _saved(file, first)
        if readable:  # the other process is at work while this one goes on
            subject.elsewhere.ask(_request(subject, plan, file))
        first.train()
        found = list(_not_twice(subject, plan, first, outside))
        yield from found
        if not readable:
            yield _not_readable(first)
        elif all(each.follows != "refused" for each in found):
            yield from list(_not_on(subject, plan, first, outside)) or _lost(outside)


def _saved(file: Path, run: Rehearsal) -> bool:
    """Save a run; whether it can be read back."""
    try:
        save_checkpoint(file, run.run.state_dict())
    except (AttributeError, TypeError, PicklingError):  # a function in a group, say
        return False
    return load_checkpoint(file) is not None


def _request(subject: Subject, plan: Plan, file: Path) -> dict[str, Any]:
    return {
        "plan": dataclasses.asdict(plan),
        "device": str(subject.device),
        "state": str(file),
    }


def _not_twice(
    subject: Subject, plan: Plan, first: Rehearsal, outside: _Outside
) -> Iterator[Finding]:
    again = Rehearsal(subject.workload, plan, subject.device)
    again.train()
    apart = _apart(first, again.losses, again.evaluations, since=0)
    if apart is None:
        yield from _drawn_once(first, again)
        return
    size, text = apart
    if subject.device.type == "cpu" or size > NOISE:
        yield refused("repeatable", f"{NOT_TWICE}: {text}{outside.blame()}. {WAY_OUT}")
    else:
        yield remark("repeatable", f"this device's kernels do not repeat to the bit: {text}")


def _drawn_once(first: Rehearsal, again: Rehearsal) -> Iterator[Finding]:
    """Losses may agree by chance in a few steps where what was drawn is remembered."""
    if names := [name for name in first.drawn if first.drawn[name] != again.drawn[name]]:
        yield refused(
            "repeatable",
            "two trainings from one seed must draw the same numbers at random, but a second one in "
            f"the same process took others from {' and '.join(names)} generator: something drawn "
            f"is kept from one training to the next (functools.cache, a table). {WAY_OUT}",
        )


def _apart(
    first: Rehearsal, losses: Sequence[float], evaluations: Mapping[int, float], *, since: int
) -> tuple[float, str] | None:
    """By how much another training's losses differ at most, relative, and where first.

    None where they do not.
    """
    steps = range(since, since + len(losses))
    pairs = [
        (f"training loss of step {step}", first.losses[step], loss)
        for step, loss in zip(steps, losses, strict=True)
    ]
    pairs += [
        (f"validation loss after step {step}", first.evaluations[step], loss)
        for step, loss in evaluations.items()
    ]
    wrong = [(name, mine, other) for name, mine, other in pairs if mine != other]
    if not wrong:
        return None
    name, mine, other = wrong[0]
    size = max(abs(m - o) / max(abs(m), abs(o)) for _, m, o in wrong)
    return size, f"the {name} was {mine!r} and then {other!r}"


def _not_readable(run: Rehearsal) -> Finding:
    found: list[str] = []

    def note(value: Any, where: str) -> None:
        found.append(f"{where} is a {type(value).__module__}.{type(value).__qualname__}")

    Encoder(stranger=note).encode(run.run.state_dict())
    names = some(found) or "it is not"
    return unforked("saving", f"a checkpoint must be readable without pickles, but {names}")


def _not_on(subject: Subject, plan: Plan, first: Rehearsal, outside: _Outside) -> Iterator[Finding]:
    answer = subject.elsewhere.answer()
    if "error" in answer:
        yield unforked("going on", f"{NOT_ON} it could not: {answer['error']}")
        return
    if answer["start"] != first.start:
        yield refused(
            "weights",
            f"make_model({SEED}) must give the same weights in every process, but another one got "
            "others: hand over the function that makes the model, not one that was made at random; "
            "leave out hash() of text, the order of sets, and the time",
        )
        return
    if answer["batch"] != marks_of(subject.workload.batch_at(SEED, 0)):
        yield refused(
            "batches",
            f"batch_at({SEED}, 0) must give the same batch in every process, but another one got "
            "another: seed what data are drawn or split with when the workload is made",
        )
        return
    evaluations = {int(step): loss for step, loss in answer["evaluations"]}
    apart = _apart(first, answer["losses"], evaluations, since=plan.saved_at)
    if apart is not None and (subject.device.type == "cpu" or apart[0] > NOISE):
        text = f"{NOT_ON} {apart[1]}{outside.blame()}"
        # What no model holds goes on from one trial of a process to the next, forked or not.
        stays = bool(outside.numbers())
        yield refused("going on", f"{text}. {WAY_OUT}") if stays else unforked("going on", text)


def _lost(outside: _Outside) -> Iterator[Finding]:
    """What a training changes and no snapshot holds, though no loss has shown it so far."""
    if names := outside.unsaved():
        yield unforked("saving", unsaveable(some(names)))
    if names := outside.numbers():
        yield remark(
            "outside",
            f"training changes {some(names)}, which stays as it is from one trial to the next: "
            f"no loss must depend on it. {WAY_OUT}",
        )


class _Outside:
    """Finds out what a training changes where nobody saves it."""

    def __init__(self, subject: Subject, rehearsal: Rehearsal) -> None:
        self._run = rehearsal.run
        self._code = code_of(subject.workload, self._run.model)
        self._before = self._marks()

    def _marks(self) -> dict[Any, Any]:
        return outer_marks(surroundings(self._code), self._run.model)

    def _changed(self) -> dict[Any, Any]:
        """Marks of what is not what it was, by path."""
        now = self._marks()
        return {path: mark for path, mark in now.items() if self._before.get(path) != mark}

    def numbers(self) -> list[str]:
        """Names of numbers that the training changes and no model holds; a cache is none."""
        return [told(path) for path, mark in self._changed().items() if _is_number(mark)]

    def unsaved(self) -> list[str]:
        """Names of what changes in the model or the optimizer and cannot be saved."""
        return [told(path) for path in self._run.unsaved()]

    def blame(self) -> str:
        """What changed, in words; empty where nothing was found."""
        names = [*map(told, self._changed()), *self.unsaved()]
        return f". What changes while it trains and is not saved: {some(names)}" if names else ""


def _is_number(mark: Any) -> bool:
    return isinstance(mark, tuple) and mark[0] in (int, float, bool)
