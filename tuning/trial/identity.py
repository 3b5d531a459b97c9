"""Two identities of a workload compared: each difference in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

SHOWN = 3
"""How many names are given where many differ in the same way."""
FIRST_LOSS = "first loss"
STEPPED_LOSS = "stepped loss"
OF_OBJECTS = ("modules", "settings")
"""What objects hold, a text each by name. All else that differs between two processes is a fault of
the workload, which its examination tells.
"""
Identity = Mapping[str, Any]
"""What ``models.identity.identity_of`` makes: JSON values by name."""


def differences(then: Identity, now: Identity) -> list[str]:
    """What is not as it was, a short text for each difference; empty where the two are the same.

    >>> differences({"steps": 60, "parameters": {"a": "(2,)"}},
    ...             {"steps": 180, "parameters": {"a": "(3,)", "b": "(1,)"}})
    ['steps 60 -> 180', 'a (2,) -> (3,)', 'new parameters: b (1,)']
    """
    found = [
        f"{name} {then[name]} -> {now[name]}"
        for name in then
        if name in now and _is_one(name, then[name]) and then[name] != now[name]
    ]
    found = [
        *found,
        *_parameters(then.get("parameters", {}), now.get("parameters", {})),
        *_groups(then.get("groups", []), now.get("groups", [])),
        *_source(*_seen_by_both(then, now, then.get("source", {}), now.get("source", {}))),
        *_modules(then, now),
        *_settings(then.get("settings", {}), now.get("settings", {})),
        *_of_levers(then, now),
        *_batches(then, now),
    ]
    found = found or [
        *_loss(then.get(FIRST_LOSS), now.get(FIRST_LOSS)),
        *_measures(then.get("first measures", {}), now.get("first measures", {})),
    ]
    return found or _stepped(then.get(STEPPED_LOSS), now.get(STEPPED_LOSS))


def steady(identity: Identity, elsewhere: Identity) -> tuple[dict[str, Any], list[str]]:
    """The identity without what the same workload has otherwise in each process, and the names of
    that: of a time stamp among a model's options nobody can say whether it was edited.

    >>> steady({"settings": {"made_at": "17", "rate": "0.1"}},
    ...        {"settings": {"made_at": "19", "rate": "0.1"}})
    ({'settings': {'rate': '0.1'}}, ['made_at'])

    Args:
        identity: that of one process.
        elsewhere: that of another.
    """
    kept, others = dict(identity), list[str]()
    for kind in OF_OBJECTS:
        here, there = identity.get(kind, {}), elsewhere.get(kind, {})
        changing = [name for name in here if here[name] != there.get(name, here[name])]
        if changing:
            kept[kind] = {name: told for name, told in here.items() if name not in changing}
            others += changing
    return kept, others


def _is_one(name: str, value: Any) -> bool:
    return name not in (FIRST_LOSS, STEPPED_LOSS, "reach") and not isinstance(value, (dict, list))


def _loss(then: str | None, now: str | None) -> list[str]:
    """The difference of the first losses, where nothing else shows why they differ; either may be
    unknown.
    """
    if None in (then, now) or then == now:
        return []
    return [
        f"{FIRST_LOSS} {then} -> {now}, though its source, weights and first batch are as they "
        "were: something that is read at every call (a file, a variable of the environment)"
    ]


def _measures(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The differences of the first values of ``evaluate`` and the further metrics, as one text."""
    changed = [
        f"first {name} {then[name]} -> {now[name]}"
        for name in then
        if name in now and not _alike(then[name], now[name])
    ]
    return [f"{_some(changed)}: its data, or a file that it reads"] if changed else []


def _stepped(then: str | None, now: str | None) -> list[str]:
    """The difference of the losses after a step, where nothing before a step differs."""
    if then is None or now is None or _alike(then, now):
        return []
    return [
        f"loss after a step {then} -> {now}: something that is read in the backward or by the "
        "optimizer (a file, a variable of the environment, a module that it looks up)"
    ]


def _alike(one: str, other: str) -> bool:
    """Whether two numbers differ by no more than machines and numbers of threads make them."""
    return one == other or math.isclose(float(one), float(other), rel_tol=1e-4)


def _batches(then: Identity, now: Identity) -> list[str]:
    """Later batches that differ although their form is the same. The first batch is told by
    itself.
    """
    old, new = (each.get("first batches", {}) for each in (then, now))
    steps = sorted(int(s) for s in old if s in new and old[s] != new[s])
    later = [str(step) for step in steps if step]
    if not later or then.get("batch") != now.get("batch"):
        return []
    plural = "batch of step" if len(later) == 1 else "batches of steps"
    return [f"{plural} {_some(later)} changed"]


def _parameters(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    changed = [f"{n} {then[n]} -> {now[n]}" for n in then if n in now and then[n] != now[n]]
    new = [f"{name} {now[name]}" for name in now if name not in then]
    gone = [f"{name} {then[name]}" for name in then if name not in now]
    texts = [_some(changed)]
    texts += [f"new parameters: {_some(new)}" if new else ""]
    texts += [f"parameters that are gone: {_some(gone)}" if gone else ""]
    return [text for text in texts if text]


def _modules(then: Identity, now: Identity) -> list[str]:
    """Modules that differ, except those whose parameters differ: they are named already."""
    old, new = (each.get("parameters", {}) for each in (then, now))
    reshaped = {
        name.rpartition(".")[0] for name in {**old, **new} if old.get(name) != new.get(name)
    }
    before, after = then.get("modules", {}), now.get("modules", {})
    changed = [n for n in before if n in after and before[n] != after[n] and n not in reshaped]
    # Cut to no text where nothing changed: ``_some`` of no texts is an empty one.
    return [_some([f"{n or 'the model'} {before[n]} -> {after[n]}" for n in changed])][
        : len(changed)
    ]


def _settings(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    changed = [f"{n} {then[n]} -> {now[n]}" for n in then if n in now and then[n] != now[n]]
    return [_some(changed)] if changed else []


def _of_levers(then: Identity, now: Identity) -> list[str]:
    """Differences of functions that only some levers call. Runs of older versions did not note
    them.
    """
    if then.get("levers") is None or now.get("levers") is None:
        return []
    told = {**then.get("source", {}), **now.get("source", {})}
    only = [{n: d for n, d in each["levers"].items() if n not in told} for each in (then, now)]
    return _source(*_seen_by_both(then, now, *only))


def _groups(then: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[str]:
    if len(then) != len(now):
        return [f"optimizer's groups {len(then)} -> {len(now)}"]
    found = []
    for index, (old, new) in enumerate(zip(then, now, strict=True)):
        which = f" of group {index}" if len(then) > 1 else ""
        found += [
            f"optimizer's {name}{which} {old.get(name)} -> {new.get(name)}"
            for name in {**old, **new}
            if old.get(name) != new.get(name)
        ]
    return found


def _seen_by_both(
    then: Identity, now: Identity, before: Mapping[str, str], after: Mapping[str, str]
) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The digests of both where they looked equally far; otherwise those that both have."""
    if then.get("reach") == now.get("reach"):
        return before, after
    both = before.keys() & after.keys()
    return {n: before[n] for n in both}, {n: after[n] for n in both}


def _source(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    changed = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    # A function within a function is told as the outer one, which a reader finds.
    calls = [f"{name.rpartition('.<locals>.')[0] or name}()" for name in changed]
    return [f"source changed at {_some(list(dict.fromkeys(calls)))}"] if changed else []


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more
