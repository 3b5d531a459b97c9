"""A recipe: everything that decides how a run trains, its seed aside; and which ones are controls.

Controls are full_update at any horizon: the *own* one with no lever pulled, the *tuned* one with
the numbers of the workload's own optimizer or the batch turned, the *smaller* one with fewer blocks
all the way. Nothing else in the project says so, and nothing else makes a policy or levers of
knobs. Pure.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
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
"""Also what a recipe is called that turns an optimizer's numbers, however many."""
SMALLER: ControlKind = "smaller"
TUNABLE = frozenset({*NUMBERS, *BatchSize.switches})
"""What a person turns to tune a recipe without changing what it is."""
KNOB = "knob_"
"""How the name of a knob's column begins in the trials' table."""
PARTS = ("policy", "horizon", "knobs")
_Key = tuple[str, float, tuple[tuple[str, Scalar], ...]]


@dataclass(frozen=True, eq=False)
class Recipe:
    """A policy, the knobs of policy and levers that apply, and how long to train.

    Equal by value, whatever the order of the knobs, and an int is the float of the same value.

    >>> Recipe("full_update", 1) == Recipe("full_update", 1.0)
    True
    >>> Recipe("full_update", 0.5, {"approximation": "svd", "compiled": True}).name
    'full_update + svd + compiled'
    >>> Recipe("full_update", 0.5, {"optimizer": "muon", "rate": 2.0, "beta2_memory": 4.0}).name
    'full_update + muon + tuned'

    Attributes:
        policy: its name.
        horizon: how long to train, as a fraction of the full-update baseline's seconds; > 0.
        knobs: by name; not to be changed.
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
            (name, value if isinstance(value, (bool, str)) else float(value))
            for name, value in self.knobs.items()
        )
        return self.policy, float(self.horizon), tuple(sorted(values))

    @property
    def digest_text(self) -> str:
        """Text that two recipes share where they are equal."""
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
        """Which control it is, whoever proposed it; None where it is none.

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
        """Whether it is training for less: the own control."""
        return self.control_kind == OWN

    def is_schedule(self, mean_active_fraction: float | None) -> bool:
        """Whether a run of it did something else than the control does.

        It froze a block at least once, as its mean fraction of active blocks tells, or pulled a
        lever.
        """
        froze = self.policy != CONTROL_POLICY and mean_active_fraction != 1.0
        return froze or bool(self.pulled)

    @property
    def name(self) -> str:
        """What a reader knows it by: the policy, and the levers that are pulled."""
        words = [_word(name, value) for name, value in self.pulled.items()]
        return " + ".join(dict.fromkeys([self.policy, *words]))

    @property
    def short_name(self) -> str:
        """The same where there is little room: a plus for all levers together."""
        return f"{self.policy}{'+' if self.pulled else ''}"

    @property
    def levers(self) -> Levers:
        """What is done to the model beside the policy's plan.

        Raises:
            ValueError: a knob breaks its rule.
        """
        return make_levers(self.knobs)

    def policy_and_levers(self) -> tuple[UpdatePolicy[Any], Levers]:
        """What plans the steps, and what is done to the model beside that.

        What is no setting of theirs is the workload's own, for its registry to refuse.

        Raises:
            ValueError: the policy is unknown, or a knob is not its own or breaks its rule; names
                every fault.
        """
        policys, _ = divide_knobs(without_own(self.knobs))
        return make_policy(self.policy, policys), self.levers


def _word(switch: str, value: Scalar) -> str:
    """What is said of a lever that is pulled: its choice, or its name where that is a number.

    Of the workload's own knobs their names.
    """
    if switch in NUMBERS:
        return TUNED
    if isinstance(value, str) and switch in OFF:
        return value
    return switch if value is True else _lever_of().get(switch, switch)


@functools.cache
def _lever_of() -> dict[str, str]:
    """The name of the lever that each switch is of."""
    return {switch: kind.name for kind in kinds() for switch in kind.switches}


def _fewer_blocks(pulled: Mapping[str, Scalar]) -> bool:
    """Whether all that is pulled is depth, the same all the way."""
    start, end, _ = Depth.switches
    return pulled.keys() == {start, end} and pulled[start] == pulled[end]


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """JSON values that hold a recipe, its parts beside the others as files and tables have them."""
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
        KeyError: there is none among them.
    """
    others = dict(values)
    return others | {"recipe": Recipe(*(others.pop(part) for part in PARTS))}


class Row(Protocol):
    """A row of the trials' table: a mapping, or a pandas Series."""

    def __getitem__(self, name: str, /) -> Any: ...

    def keys(self) -> Any:
        """The columns' names."""


def recipe_of(row: Row) -> Recipe:
    """The recipe of a row of the trials' table; what is null in it is no knob of the recipe."""
    knobs = {
        str(name).removeprefix(KNOB): _plain(row[name])
        for name in row.keys()  # noqa: SIM118 - iterating over a Series gives its values
        if str(name).startswith(KNOB) and not _absent(row[name])
    }
    return Recipe(str(row["policy"]), float(row["horizon"]), knobs)


def _plain(value: Any) -> Scalar:
    """A table's value as Python's own: no rule of a knob takes numpy's."""
    found: Scalar = value.item() if hasattr(value, "item") else value
    return found


def _absent(value: object) -> bool:
    """None, and what a table has in its place: NaN, or pandas' own."""
    return value is None or value is not value or str(value) in ("<NA>", "nan")
