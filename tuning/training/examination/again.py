"""The rules about training again: twice from one seed, and elsewhere from where it was saved."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pickle import PicklingError
from typing import Any

import numpy as np
import torch

from models.frames import told as told_of
from models.identity import code_of
from models.making import blocks_of
from models.source.surroundings import assign_outside, class_tables, surroundings
from tuning.training.checkpoint import load_checkpoint, save_checkpoint
from tuning.training.examination.pieces import evaluated
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
from tuning.training.state.attributes import outer_leaves
from tuning.training.state.encoding import Encoder
from tuning.training.state.paths import Path as Trail
from tuning.training.state.paths import get, put, put_into, told
from tuning.trial.soundness import Finding, unsaveable

NOISE = 1e-3
"""The largest relative difference between two trainings that an accelerator's kernels may make:
several add up in no fixed order. On a CPU there is none.
"""
NOT_TWICE = (
    "two trainings from one seed must be the same to the bit, but a second one in the same process "
    "was not"
)
NOT_TRIED = (
    "two trainings from one seed must be the same to the bit, but a second one beside the first "
    "does not fit into the memory, so that it was not tried"
)
LATER = 3
"""By how many whole trainings outside numbers are moved on to see whether losses depend on them."""
FEW_NUMBERS = 8
"""The most numbers of a list or a table that are followed; one with more is a history or a
cache.
"""
WAY_OUT = "Make in make_model(seed) what the training changes, and seed there what it draws from"
NOT_ON = "a training that was saved must go on in a new process as if it had not been, but"


def rehearsal_rules(subject: Subject) -> Iterator[Finding]:
    """Whether the same steps come out the same: trained twice here, and once more from where they
    were saved.
    """
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
        outside.pause()
        try:
            found = list(_not_twice(subject, plan, first, outside)) or list(_remembering(subject))
        except torch.OutOfMemoryError:  # trials need not fit beside one another
            found = [unforked("repeatable", NOT_TRIED)]
        yield from found
        if not readable:
            yield _not_readable(first)
        elif all(each.follows != "refused" for each in found):
            yield from list(_not_on(subject, plan, first, outside)) or _lost(
                subject, plan, first, outside
            )


def _saved(file: Path, run: Rehearsal) -> bool:
    """Save a run; returns whether that can be read back."""
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


def _remembering(subject: Subject) -> Iterator[Finding]:
    """Whether an evaluation depends on those before it, which two evaluations of one model in a row
    do not show.
    """
    before, now = subject.untrained, evaluated(subject, subject.model())
    if before is None or before == now:
        return
    if subject.device.type == "cpu" or abs(before - now) > NOISE * max(abs(before), abs(now)):
        yield refused(
            "evaluation",
            "evaluate(model) must depend on the model alone, but of a new one it gave "
            f"{before!r} before a training and {now!r} after it: it goes on from what it saw of "
            "others (the best so far, a running mean). Return the value of this model; the best "
            "of a training is found from its curve",
        )


def _drawn_once(first: Rehearsal, again: Rehearsal) -> Iterator[Finding]:
    """Whether something that was drawn is kept from one training to the next. Losses may agree by
    chance in a few steps all the same, so the generators are compared.
    """
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
    """By how much the losses of another training, which begins at step ``since``, differ at most,
    relatively, and where they first differ; None where they do not.
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
    if "start" in answer and (other := list(_another(subject, plan, first, outside, answer))):
        yield from other
        return
    if "error" in answer:
        yield unforked("going on", f"{NOT_ON} it could not: {answer['error']}")
        return
    evaluations = {int(step): loss for step, loss in answer["evaluations"]}
    apart = _apart(first, answer["losses"], evaluations, since=plan.saved_at)
    if apart is not None and (subject.device.type == "cpu" or apart[0] > NOISE):
        text = f"{NOT_ON} {apart[1]}{outside.blame()}"
        # State outside the model lasts from one trial of a process to the next, forked or not.
        stays = bool(outside.numbers())
        yield refused("going on", f"{text}. {WAY_OUT}") if stays else unforked("going on", text)


def _another(
    subject: Subject, plan: Plan, first: Rehearsal, outside: _Outside, answer: Mapping[str, Any]
) -> Iterator[Finding]:
    """Whether another process has another workload, regardless of what was saved."""
    if answer["start"] != first.start:
        yield refused(
            "weights",
            f"make_model({SEED}) must give the same weights in every process, but another one got "
            "others: hand over the function that makes the model, not one that was made at random; "
            "leave out hash() of text, the order of sets, and the time",
        )
        return
    here = [marks_of(subject.workload.batch_at(SEED, step)) for step in range(plan.steps)]
    wrong = [step for step in range(plan.steps) if here[step] != answer["batches"][step]]
    if wrong:
        yield refused(
            "batches",
            f"batch_at({SEED}, {wrong[0]}) must give the same batch in every process, but another "
            f"one{'' if 0 in wrong else ', which had asked for others before,'} got another: seed "
            "what data are drawn or split with when the workload is made, and keep nothing that "
            "depends on what was asked for first (a vocabulary that grows, draws that are kept)",
        )
        return
    apart = _apart(first, answer["afresh"], {}, since=0)
    if apart is not None and apart[0] > NOISE:
        yield refused(
            "repeatable",
            "a training must be the same whatever its process did before, but in another one, "
            f"which had trained other steps, {apart[1]}{outside.blame()}. {WAY_OUT}",
        )


def _lost(subject: Subject, plan: Plan, first: Rehearsal, outside: _Outside) -> Iterator[Finding]:
    """What a training changes and no snapshot holds, although no loss has shown it so far."""
    if names := outside.unsaved():
        yield unforked("saving", unsaveable(some(names)))
    names, histories = outside.numbers(), outside.histories()
    if not names and not histories:
        return
    text = f"training changes {some([*names, *histories])}, which stays as it is from one trial to "
    text += "the next"
    if (apart := _later(subject, plan, first, outside)) is not None:
        yield refused(
            "outside",
            f"{text}, and losses depend on it: with it as far on as some trainings later, "
            f"{apart}. {WAY_OUT}",
        )
    elif names:
        yield remark("outside", f"{text}: no loss must depend on it. {WAY_OUT}")


def _later(subject: Subject, plan: Plan, first: Rehearsal, outside: _Outside) -> str | None:
    """How losses differ with outside numbers as they will be after some trainings; None where they
    do not. What takes effect only after a thousand calls does not show in six steps.
    """
    with outside.ahead(LATER * subject.workload.steps / plan.steps):
        try:
            later = Rehearsal(subject.workload, plan, subject.device)
            later.train()
        except torch.OutOfMemoryError:
            return None  # not tried
        except Exception as fault:
            return f"a training raised {told_of(fault)}"
    apart = _apart(first, later.losses, later.evaluations, since=0)
    small = apart is None or (subject.device.type != "cpu" and apart[0] <= NOISE)
    return None if apart is None or small else apart[1]


class _Outside:
    """Finds out what a training changes in places that no snapshot covers."""

    def __init__(self, subject: Subject, rehearsal: Rehearsal) -> None:
        self._run = rehearsal.run
        self._code = code_of(subject.workload, self._run.model)
        self._marks, self._numbers = self._look()
        self._midway = self._numbers
        self._lengths = {path: len(each) for path, each in self._containers().items()}

    def pause(self) -> None:
        """Note that one training is over: numbers that the next one changes as well are no values
        that are worked out once.
        """
        _, self._midway = self._look()

    def _look(self) -> tuple[dict[Trail, Any], dict[Trail, tuple[Any, list[Any]]]]:
        """The marks of all values by path, and, of values with only a few numbers, the value and
        its numbers.
        """
        leaves = list(outer_leaves(self._named(), self._run.model))
        held = {leaf.path: (leaf.value, _numbers_in(leaf.value)) for leaf in leaves}
        numbers = {path: pair for path, pair in held.items() if pair[1]}
        return {leaf.path: leaf.mark for leaf in leaves}, numbers

    def _containers(self) -> dict[Trail, Any]:
        leaves = outer_leaves(self._named(), self._run.model)
        return {leaf.path: leaf.value for leaf in leaves if type(leaf.value) in (list, set, dict)}

    def _named(self) -> Iterator[tuple[str, Any]]:
        yield from surroundings(self._code)
        yield from class_tables(self._code)

    def _changed(self) -> list[Trail]:
        """Paths of values that have changed."""
        now, _ = self._look()
        return [path for path, mark in now.items() if self._marks.get(path) != mark]

    def _moved(
        self, since: Mapping[Trail, tuple[Any, list[Any]]]
    ) -> dict[Trail, tuple[Any, list[Any], list[Any]]]:
        """Values whose numbers have changed, with the numbers of then and of now, by path."""
        _, now = self._look()
        missing: tuple[Any, list[Any]] = (None, [])
        found = {
            path: (value, since.get(path, missing)[1] or [0] * len(numbers), numbers)
            for path, (value, numbers) in now.items()
        }
        return {
            path: (value, before, numbers)
            for path, (value, before, numbers) in found.items()
            if len(before) == len(numbers) and before != numbers
        }

    def numbers(self) -> list[str]:
        """Names of numbers outside the model that the training changes. A cache is not among
        them.
        """
        return [told(path) for path in self._moved(self._numbers)]

    def _grown(self) -> dict[Trail, tuple[Any, int]]:
        """Lists, sets and tables that training has made longer, and by how much, by path."""
        grown = {
            path: (each, len(each) - self._lengths.get(path, 0))
            for path, each in self._containers().items()
        }
        return {path: pair for path, pair in grown.items() if pair[1] > 0}

    def histories(self) -> list[str]:
        """Names of lists, sets and tables outside the model that grow while it trains."""
        return [told(path) for path in self._grown()]

    @contextlib.contextmanager
    def ahead(self, times: float) -> Iterator[None]:
        """Within the block outside numbers are moved on by ``times`` what the last training changed
        them by, and lists, sets and tables have grown likewise.
        """
        moved, grown = self._moved(self._midway), self._grown()
        shorter = [(each, each.copy()) for each, _ in grown.values()]
        for each, more in grown.values():
            _lengthen(each, more, round(times))
        for path, (value, before, now) in moved.items():
            further = [_further(*pair, times) for pair in zip(before, now, strict=True)]
            self._put(path, _with_numbers(value, further))
        try:
            yield
        finally:
            for path, (value, _, now) in moved.items():
                self._put(path, _with_numbers(value, now))
            for each, contents in shorter:
                put_into(each, contents)

    def _put(self, path: Trail, value: Any) -> None:
        (_, name), *inner = path
        holder = dict(self._named()).get(name)
        if not inner:
            if not _put_into(holder, value):
                assign_outside(self._code, name, value)
            return
        for step in inner[:-1]:
            holder = get(holder, step)
        if holder is not None and not _put_into(get(holder, inner[-1]), value):
            put(holder, inner[-1], value)

    def unsaved(self) -> list[str]:
        """Names of what changes in the model or the optimizer and cannot be saved."""
        return [told(path) for path in self._run.unsaved()]

    def blame(self) -> str:
        """What changed while it trained, in words; empty where nothing was found."""
        names = [*map(told, self._changed()), *self.unsaved()]
        return f". What changes while it trains and is not saved: {some(names)}" if names else ""


def _put_into(current: Any, value: Any) -> bool:
    """Put ``value`` into ``current`` in place; returns whether that could be done. An array can
    take it, too, because others may be a part of it.
    """
    if isinstance(current, np.ndarray) and isinstance(value, np.ndarray):
        np.copyto(current, value)
        return True
    return put_into(current, value)


def _numbers_in(value: Any) -> list[Any]:
    """The numbers that a value is, or that it holds in a few places; empty where it holds more."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        few = math.prod(value.shape) <= FEW_NUMBERS
        inner = value.reshape(-1).tolist() if few and _is_plain(value) else []
    elif isinstance(value, (list, deque)) or type(value) is tuple:
        inner = list(value)
    elif isinstance(value, dict):
        inner = list(value.values()) if all(isinstance(key, str) for key in value) else []
    else:
        inner = [value]
    few = len(inner) <= FEW_NUMBERS and all(isinstance(each, (int, float)) for each in inner)
    return inner if few else []


def _is_plain(value: torch.Tensor | np.ndarray) -> bool:
    """Whether it is a dense tensor or array with values, not a sparse, quantized or meta tensor."""
    if isinstance(value, np.ndarray):
        return True
    return value.layout is torch.strided and not value.is_meta and not value.is_quantized


def _with_numbers(value: Any, numbers: Sequence[Any]) -> Any:
    """A value like the given one, with other numbers in it."""
    if isinstance(value, torch.Tensor):
        return torch.tensor(numbers, dtype=value.dtype).reshape(value.shape)
    if isinstance(value, np.ndarray):
        return np.array(numbers, dtype=value.dtype).reshape(value.shape)
    if isinstance(value, dict):
        return dict(zip(value, numbers, strict=True))
    if isinstance(value, (list, deque)):
        return list(numbers)
    return tuple(numbers) if type(value) is tuple else numbers[0]


def _lengthen(held: Any, growth: int, times: int) -> None:
    """Let a list, set or table grow by ``times`` its growth, with items or keys like those it
    has.
    """
    if isinstance(held, list):
        held.extend(held[-growth:] * times)
        return
    keys: list[Any] = []
    if all(isinstance(key, (int, float)) for key in held):
        top = max(held)
        keys = [top + 1 + number for number in range(growth * times)]
    elif all(isinstance(key, str) for key in held):
        keys = [f"further {number}" for number in range(growth * times)]
    held.update(keys if isinstance(held, set) else dict.fromkeys(keys, [*held.values()][-1]))


def _further(before: Any, now: Any, times: float) -> Any:
    if isinstance(now, bool) or before == now:
        return now
    return type(now)(now + (now - before) * times)
