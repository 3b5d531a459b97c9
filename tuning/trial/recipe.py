"""A recipe: everything that decides how a run trains, its seed aside; and which ones are controls.

Controls are full_update at any horizon: the *own* one with no lever pulled, the *tuned* one with
the numbers of the workload's own optimizer or the batch turned, the *smaller* one with fewer blocks
all the way. Nothing else in the project says so, and nothing else makes a policy or levers of
knobs. Pure.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol

from models.levers.batch import BatchSize
from models.levers.depth import Depth
from models.levers.levers import Levers, divide_knobs, kinds, make_levers, switches
from models.levers.optimizer import NUMBERS
from models.levers.own import own_values, without_own
from policies.base import UpdatePolicy
from policies.registry import make_policy
from policies.rules import Scalar

CONTROL_POLICY = "full_update"
ControlKind = Literal["own", "tuned", "smaller"]
OWN: ControlKind = "own"
OFF: Mapping[str, Scalar] = switches()
"""The levers' switches, and their values in a run that is the workload's own."""
TUNED: ControlKind = "tuned"
"""A kind of control, and the word in a recipe's name that stands for an optimizer's numbers that
are turned, however many.
"""
SMALLER: ControlKind = "smaller"
TUNABLE = frozenset({*NUMBERS, *BatchSize.switches})
"""What a person turns to tune a recipe without changing what it is."""
KNOB = "knob_"
"""The beginning of the name of a knob's column in the trials' table."""
PARTS = ("policy", "horizon", "knobs")
_Key = tuple[str, float, tuple[tuple[str, Scalar], ...]]


@dataclass(frozen=True, eq=False)
class Recipe:
    """A policy, the knobs of policy and levers that apply, and how long to train.

    Recipes are equal by value, whatever the order of the knobs, and an int is the float of the same
    value.

    >>> Recipe("full_update", 1) == Recipe("full_update", 1.0)
    True
    >>> Recipe("full_update", 0.5, {"approximation": "svd", "compiled": True}).name
    'full_update + svd + compiled'
    >>> Recipe("full_update", 0.5, {"optimizer": "muon", "rate": 2.0, "beta2_memory": 4.0}).name
    'full_update + muon + tuned'

    Attributes:
        policy: the policy's name.
        horizon: how long to train, as a fraction of the full-update baseline's seconds; > 0.
        knobs: values by name; not to be changed.
    """

    policy: str
    horizon: float = 1.0
    knobs: Mapping[str, Scalar] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keep a copy of the knobs."""
        object.__setattr__(self, "knobs", dict(self.knobs))

    def __eq__(self, other: object) -> bool:
        return self._key == other._key if isinstance(other, Recipe) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"Recipe({self.policy!r}, {self.horizon!r}, {self.knobs!r})"

    @functools.cached_property
    def _key(self) -> _Key:
        values = (
            # True is an int, too, but a switch is no number.
            (name, value if isinstance(value, (bool, str)) else float(value))
            for name, value in self.knobs.items()
        )
        return self.policy, float(self.horizon), tuple(sorted(values))

    @property
    def digest_text(self) -> str:
        """A text that two recipes share if they are equal."""
        return repr(self._key)

    @property
    def pulled(self) -> dict[str, Scalar]:
        """The levers' switches that are not off and the workload's own knobs, by name."""
        given = {name: self.knobs.get(name) for name in OFF}
        levers = {
            name: value for name, value in given.items() if value is not None and value != OFF[name]
        }
        return levers | self.own

    @property
    def own(self) -> dict[str, Scalar]:
        """The workload's own knobs that are turned, by name, in the order of their names.

        >>> Recipe("full_update", 1.0, {"rate": 2.0, "width": 64}).own
        {'width': 64}
        """
        return dict(sorted(own_values(self.knobs).items()))

    @functools.cached_property
    def control_kind(self) -> ControlKind | None:
        """Which control the recipe is, whoever proposed it; None where it is none.

        >>> Recipe("full_update", 1.5).control_kind, Recipe("static_suffix").control_kind
        ('own', None)
        >>> Recipe("full_update", 0.5, {"rate": 2.0, "batch_end": 4.0}).control_kind
        'tuned'
        >>> Recipe("full_update", 1.0, {"depth_start": 0.5, "depth_end": 0.5}).control_kind
        'smaller'

        A knob of the workload's own makes it no control:

        >>> Recipe("full_update", 1.0, {"rate": 2.0, "width": 64}).control_kind is None
        True
        """
        if self.policy != CONTROL_POLICY:
            return None
        pulled = self.pulled
        if pulled.keys() <= TUNABLE:
            return TUNED if pulled else OWN
        return SMALLER if _fewer_blocks(pulled) else None

    @property
    def is_control(self) -> bool:
        """Whether it is the own control: training for less."""
        return self.control_kind == OWN

    def is_schedule(self, mean_active_fraction: float | None) -> bool:
        """Whether a run of it did something else than the control does: it froze a block at least
        once, as its mean fraction of active blocks tells, or pulled a lever.
        """
        froze = self.policy != CONTROL_POLICY and mean_active_fraction != 1.0
        return froze or bool(self.pulled)

    @property
    def name(self) -> str:
        """The name that a reader knows it by: the policy, and the levers that are pulled."""
        words = [_word(name, value) for name, value in self.pulled.items()]
        return " + ".join(dict.fromkeys([self.policy, *words]))

    @property
    def short_name(self) -> str:
        """The name where there is little room, with a plus for all levers together."""
        return f"{self.policy}{'+' if self.pulled else ''}"

    @property
    def levers(self) -> Levers:
        """What is done to the model beside the policy's plan.

        Raises:
            ValueError: a knob breaks its rule.
        """
        return make_levers(self.knobs)

    def settled(self) -> Recipe:
        """The recipe without what changes nothing in its levers: two that train alike are told to
        be the same more often.

        >>> turned = {"batch_start": 2.0, "batch_end": 2.0, "rate": 1.0}
        >>> Recipe("full_update", 1.0, turned | {"batch_change_at": 0.3}).settled().knobs
        {'batch_start': 2.0, 'batch_end': 2.0}
        """
        try:
            parts = self.levers.settled().parts
        except ValueError:  # no run of it gets as far as to be like another
            return self
        turned = {
            f.name: getattr(part, f.name)
            for part in parts
            for f in fields(part)
            if getattr(part, f.name) != f.default
        }
        others, _ = divide_knobs(self.knobs)
        return Recipe(self.policy, self.horizon, {**others, **turned})

    def at_any_horizon(self) -> Recipe:
        """What is the same of it however long it is trained: settled, at a horizon of 1."""
        return dataclasses.replace(self.settled(), horizon=1.0)

    def policy_and_levers(self) -> tuple[UpdatePolicy[Any], Levers]:
        """The policy, which plans the steps, and the levers, which do the rest. A knob that is no
        setting of theirs is taken for the workload's own, for its registry to refuse.

        Raises:
            ValueError: the policy is unknown, or a knob is not its own or breaks its rule; names
                every fault.
        """
        policys, _ = divide_knobs(without_own(self.knobs))
        return make_policy(self.policy, policys), self.levers


def _word(switch: str, value: Scalar) -> str:
    """The word in a recipe's name for a lever that is pulled: its choice, or the lever's name where
    that is a number. For a knob of the workload's own it is the knob's name.
    """
    if switch in NUMBERS:
        return TUNED
    if isinstance(value, str) and switch in OFF:
        return value
    return switch if value is True else _lever_of().get(switch, switch)


@functools.cache
def _lever_of() -> dict[str, str]:
    """The lever's name by each of its switches."""
    return {switch: kind.name for kind in kinds() for switch in kind.switches}


def _fewer_blocks(pulled: Mapping[str, Scalar]) -> bool:
    """Whether nothing is pulled but depth, and that stays the same from start to end."""
    start, end, _ = Depth.switches
    return pulled.keys() == {start, end} and pulled[start] == pulled[end]


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values that hold a recipe, with its parts beside the other values, as files and tables
    have them.
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name != "recipe":
            found[name] = value
            continue
        parts = value if isinstance(value, Mapping) else vars(value)
        found |= {part: parts[part] for part in PARTS}
    return found


def folded(values: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of ``flat``, with a ``Recipe``.

    Raises:
        KeyError: there is no recipe among them.
    """
    others = dict(values)
    return others | {"recipe": Recipe(*(others.pop(part) for part in PARTS))}


class Row(Protocol):
    """A row of the trials' table: a mapping, or a pandas Series."""

    def __getitem__(self, name: str, /) -> Any: ...

    def keys(self) -> Any:
        """The columns' names."""


def recipe_of(row: Row) -> Recipe:
    """The recipe of a row of the trials' table; a knob that is null there is left out."""
    knobs = {
        str(name).removeprefix(KNOB): _plain(row[name])
        for name in row.keys()  # noqa: SIM118 - iterating over a Series gives its values
        if str(name).startswith(KNOB) and not _absent(row[name])
    }
    return Recipe(str(row["policy"]), float(row["horizon"]), knobs)


def _plain(value: Any) -> Scalar:
    """A table's value as Python's own type: no rule of a knob takes NumPy's."""
    found: Scalar = value.item() if hasattr(value, "item") else value
    return found


def _absent(value: object) -> bool:
    """Whether a value is None, or what a table has in its place: NaN, or pandas' own NA."""
    return value is None or value is not value or str(value) in ("<NA>", "nan")
