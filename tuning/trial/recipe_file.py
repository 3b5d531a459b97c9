"""What ``recipe.toml`` holds: a trial's recipe, and all that is needed to repeat the trial.

::

    format = 1
    policy = "full_update"
    [knobs]                      # the policy's
    [levers]                     # those of the levers, where one is pulled
    [workload]                   # its own knobs that are turned: arguments of its factory
    [trial]                      # where it comes from
    [baseline]                   # the workload's own optimizer and batch, which factors multiply
    [schedule]                   # the workload's numbers that the course of a run depends on
    [clock]                      # what each step costs, so that every fraction is the trial's
    [versions]                   # of what it was trained with

Pure: text and values; no file, no torch.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.levers.levers import Levers, divide_knobs, make_levers
from policies.base import UpdatePolicy
from policies.registry import make_policy
from policies.rules import Scalar
from policies.settings import dump_policy
from tuning.trial.clock import CostTable, impossible
from tuning.trial.course import Timetable

FORMAT = 1
PARTS = ("data_seconds", "probe_seconds", "entry_seconds")
REPEATING = ("trial", "schedule", "clock")
"""Tables of the file without which a trial cannot be repeated."""
NUMBERS = ("lr", "weight_decay", "betas", "momentum")
"""The numbers of an optimizer's group that a recipe's factors multiply."""
_BARE = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class RecipeFile:
    """A recipe and the trial that it comes from.

    Attributes:
        policy: which blocks are updated when.
        levers: what else is done.
        facts: facts of the trial, among them ``seed``, ``horizon`` and ``steps``.
        timetable: the workload's numbers; None where the file does not repeat a trial.
        costs: the part of the clock that the recipe needs; None likewise.
        versions: versions of what the trial was trained with.
        own: the workload's own knobs that are turned; the model has to be built with them.
        baseline: the workload's own optimizer, its numbers by group, and the shapes of its batch,
            as ``baseline_of`` gives them; empty where that is not known.
    """

    policy: UpdatePolicy[Any]
    levers: Levers
    facts: Mapping[str, Any]
    timetable: Timetable | None = None
    costs: CostTable | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    own: Mapping[str, Scalar] = field(default_factory=dict)
    baseline: Mapping[str, Any] = field(default_factory=dict)

    def to_toml(self) -> str:
        """The file's text, the inverse of ``parse``."""
        tables = [f"format = {FORMAT}\n{dump_policy(self.policy)}"]
        if self.levers.used:
            tables.append(_table("levers", _pulled(self.levers)))
        if self.own:
            tables.append(_table("workload", self.own))
        tables.append(_table("trial", self.facts))
        if self.baseline:
            tables.append(_table("baseline", self.baseline))
        if self.timetable is not None:
            tables.append(_table("schedule", dataclasses.asdict(self.timetable)))
        if self.costs is not None:
            tables += _clock(self.costs, self.levers)
        if self.versions:
            tables.append(_table("versions", self.versions))
        return "\n".join(tables)


def _pulled(levers: Levers) -> dict[str, Scalar]:
    """Every setting of the levers that are pulled."""
    return {
        each.name: getattr(part, each.name)
        for part in levers.parts
        if part.on
        for each in dataclasses.fields(part)
    }


def _clock(costs: CostTable, levers: Levers) -> Iterator[str]:
    """The costs of the workload's own form, and of every form that the levers can give a step."""
    yield _table(
        "clock",
        {"num_blocks": costs.num_blocks, "device": costs.device, "threads": costs.threads}
        | _parts(costs)
        | _baseline(costs),
    )
    yield _table("clock.step_seconds", costs.step_seconds)
    for form in levers.charges(costs.num_blocks):
        if form in costs.forms:
            name = f"clock.forms.{_written(form)}"
            yield _table(name, _parts(costs.forms[form]))
            yield _table(f"{name}.step_seconds", costs.forms[form].step_seconds)


def _baseline(costs: CostTable) -> dict[str, float]:
    seconds = costs.baseline_step_seconds
    return {} if seconds is None else {"baseline_step_seconds": seconds}


def _parts(costs: CostTable) -> dict[str, float]:
    return {name: getattr(costs, name) for name in PARTS}


def _table(name: str, values: Mapping[Any, Any]) -> str:
    lines = (f"{_key(key)} = {_written(value)}" for key, value in values.items())
    return "\n".join([f"[{name}]", *lines, ""])


def _key(key: object) -> str:
    return str(key) if _BARE.fullmatch(str(key)) else _written(str(key))


def _written(value: Any) -> str:
    """A value in TOML: JSON writes strings, numbers and booleans alike, floats to the bit."""
    # As they are, for TOML takes no pair of surrogates; but it wants one control character escaped
    # that JSON leaves.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def parse(text: str, origin: str) -> RecipeFile:
    """The recipe in the text of a file called ``origin``.

    Raises:
        ValueError: it is no TOML, of another format, lacks what repeats a trial, or holds values
            that break their rules; names every fault.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"a recipe must be TOML, but {origin} is not: {error}") from error
    _refuse_another(data, origin)
    faults: list[str] = []
    found = {
        name: _made(faults, name, make, data)
        for name, make in {
            "policy": lambda d: make_policy(str(d["policy"]), d.get("knobs", {})),
            "levers": _levers,
            "facts": _facts,
            "timetable": lambda d: _timetable(d["schedule"]),
            "costs": lambda d: _costs(d["clock"]),
            "own": lambda d: dict(sorted(d.get("workload", {}).items())),
        }.items()
    }
    if faults:
        raise ValueError(f"{origin} must hold a recipe of tuning.export, but {'; '.join(faults)}")
    return RecipeFile(
        **found,
        versions=data.get("versions", {}),
        baseline=data.get("baseline", {}),
    )


def baseline_of(optimizer: str, groups: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An optimizer's kind and its numbers by group, those that every group has.

    >>> baseline_of("SGD", [{"lr": 0.1, "momentum": 0.9}, {"lr": 0.3, "foreach": None}])
    {'optimizer': 'SGD', 'lr': [0.1, 0.3]}
    """
    shared = [name for name in NUMBERS if groups and all(name in group for group in groups)]
    numbers = {name: [_floats(group[name]) for group in groups] for name in shared}
    return {"optimizer": optimizer, **numbers}


def _floats(value: Any) -> Any:
    return [float(each) for each in value] if isinstance(value, (tuple, list)) else float(value)


def _refuse_another(data: Mapping[str, Any], origin: str) -> None:
    """Refuse files of earlier versions, of later ones, and of something else."""
    number = data.get("format")
    if number is not None and number != FORMAT:
        raise ValueError(
            f"a recipe must have format = {FORMAT}, but {origin} has {number!r}: read it with the "
            "version that wrote it"
        )
    missing = [f"[{name}]" for name in REPEATING if name not in data]
    if missing or "policy" not in data:
        raise ValueError(
            f"a recipe must say how its trial is repeated, but {origin} has no "
            f"{', '.join(missing or ['policy'])}: export the trial again, or use its policy and "
            "levers alone by load_policy and load_levers"
        )


def _made(faults: list[str], name: str, make: Any, data: Mapping[str, Any]) -> Any:
    try:
        return make(data)
    except KeyError as fault:
        faults.append(f"{name} has no {fault.args[0]!r}")
    except (ValueError, TypeError, AttributeError) as fault:
        faults.append(f"{name}: {fault}")
    return None


def _timetable(table: Mapping[str, Any]) -> Timetable:
    decay = table.get("decay", "linear")
    shape = decay if isinstance(decay, str) else tuple(map(float, decay))
    return Timetable(**{**table, "decay": shape})


def _levers(data: Mapping[str, Any]) -> Levers:
    table = data.get("levers", {})
    others, _ = divide_knobs(table)
    if others:
        raise ValueError(f"there is no {sorted(others)} among the levers' settings")
    return make_levers(table)


def _facts(data: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = data["trial"]
    faults = []
    for name, kinds in {"seed": (int,), "steps": (int,), "horizon": (int, float)}.items():
        value = facts[name]
        least = 0 if name == "seed" else 1e-9
        typed = isinstance(value, kinds) and not isinstance(value, bool)
        if not typed or not least <= value < math.inf:
            rule = "a whole number >= 0" if name == "seed" else "a finite number above zero"
            faults.append(f"{name} must be {rule}, but got {value!r}")
    if faults:
        raise ValueError("; ".join(faults))
    return facts


def _costs(table: Mapping[str, Any]) -> CostTable:
    shared = {name: table[name] for name in ("num_blocks", "device", "threads")}
    blocks = shared["num_blocks"]
    if isinstance(blocks, bool) or not isinstance(blocks, int):
        raise ValueError(f"num_blocks must be a whole number, but got {blocks!r}")
    forms = {name: _priced(part, shared) for name, part in table.get("forms", {}).items()}
    baseline = table.get("baseline_step_seconds")
    own = _priced(table, shared)
    costs = dataclasses.replace(own, forms=forms, baseline_step_seconds=baseline)
    if (fault := impossible(costs)) is not None:
        raise ValueError(f"seconds must be such as a device can take, but got {fault}")
    return costs


def _priced(table: Mapping[str, Any], shared: Mapping[str, Any]) -> CostTable:
    seconds = {int(depth): float(value) for depth, value in table["step_seconds"].items()}
    parts: dict[str, Any] = {name: float(table[name]) for name in PARTS}
    return CostTable(
        **shared,
        **parts,
        step_seconds=seconds,
        # A loop is guided by seconds alone; only a search counts operations.
        step_flops=dict.fromkeys(seconds, 0.0),
        probe_flops=0.0,
        evaluation_seconds=0.0,
    )
