"""A search space as data: the knobs that are turned, their ranges, and when each applies.

Nothing here knows how a search samples. A *point* lists one coordinate in [0, 1] for each searched
knob, *params* the values that apply at such a point, by name. Two names are the search's own and no
policy's: ``horizon`` (how long to train, in the full-update baseline's seconds) and ``policy``
(whose the others are, save those of the levers in ``models.levers`` and the workload's own, which
go with any policy).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from typing import Any

from models.levers.levers import Levers, divide_knobs, lever_settings, make_levers
from models.levers.own import own_values, without_own
from policies.base import Scalar, UpdatePolicy
from policies.registry import make_policy, policies
from policies.rules import Settings
from search_spaces.knobs import Choice, Fixed, Float, Gate, Int, Knob, same, text

HORIZON = "horizon"
POLICY = "policy"
HORIZON_MEANING = "how long a trial trains, as a fraction of the full-update baseline's seconds"
Params = Mapping[str, Scalar]


def horizon(low: float = 0.3, high: float = 1.0) -> Float:
    """The horizon as a knob: from ``low`` to ``high`` times the full-update baseline's seconds."""
    return Float(HORIZON, low, high, unit="× baseline seconds", meaning=HORIZON_MEANING)


# A knob's whole declaration, read as a line of a table: a range, or choices, and when it applies.
def knob(
    owner: type[Settings],
    name: str,
    low: float | None = None,
    high: float | None = None,
    *,
    log: bool = False,
    choices: tuple[Scalar, ...] = (),
    when: Mapping[str, tuple[Scalar, ...]] | None = None,
    chance: float | None = None,
) -> Knob:
    """A setting of a policy or a lever as a knob, with the unit and meaning that it gives it.

    A number needs ``low`` and ``high``, or ``choices``; a choice takes ``choices``, or else all
    that are allowed.

    Raises:
        KeyError: the owner has no such setting.
        ValueError: a number without a range.
    """
    field = {field.name: field for field in dataclasses.fields(owner)}[name]
    rule, kind = field.metadata, str(field.type)
    about: dict[str, Any] = {
        "unit": rule["unit"],
        "meaning": rule["meaning"],
        "when": dict(when or {}),
    }
    if kind == "bool" or rule["choices"] or choices:
        allowed = choices or rule["choices"] or (False, True)
        return Choice(name, allowed, chance=chance, **about)
    if low is None or high is None:
        raise ValueError(f"a number needs low and high, but got {name} with low={low}, high={high}")
    about |= {key: rule[key] for key in ("likely", "unsure") if key in rule}
    if kind == "int":
        return Int(name, int(low), int(high), log, **about)
    return Float(name, float(low), float(high), log, **about)


@dataclass(frozen=True)
class SearchSpace:
    """Knobs in the order in which they are decided: a condition names an earlier knob.

    Attributes:
        name: as given to ``--space``.
        title: one line for a reader.
        knobs: what is searched, and what is held fixed.
        policy: the policy of all points; None where a knob named ``policy`` chooses it.
        suggested: recipes worth trying before any other, each by the knobs of its alternatives, the
            policy among them where it is another than full_update; the first that is a point of
            what is left of the space is meant.
        suggested_pretrained: the same for a model that comes with its weights; where there are
            none, as for any.
        own: the workload's own knobs and their defaults (``tuning.config.own``).
        rivals: knobs of controls to be trained beside whatever is found, as smaller models; they
            need not be points of the space, and are left out where it does not search all of them.
    """

    name: str
    title: str
    knobs: tuple[Knob, ...]
    policy: str | None = None
    suggested: tuple[tuple[Mapping[str, Scalar], ...], ...] = ()
    suggested_pretrained: tuple[tuple[Mapping[str, Scalar], ...], ...] = ()
    rivals: tuple[Mapping[str, Scalar], ...] = ()
    own: Mapping[str, Scalar] = field(default_factory=dict)

    @functools.cached_property
    def searched(self) -> tuple[Knob, ...]:
        """The knobs that a search can turn: not fixed, and not ruled out by a fixed knob."""
        return tuple(k for k in self.knobs if not isinstance(k, Fixed) and not self.ruled_out(k))

    @property
    def conditional(self) -> bool:
        """Whether some searched knob applies at some points only."""
        by_name = {k.name: k for k in self.searched}
        return any(parent in by_name for k in self.searched for parent in k.when)

    @functools.cached_property
    def _by_name(self) -> dict[str, Knob]:
        return {k.name: k for k in self.knobs}

    @functools.cached_property
    def _gates(self) -> dict[str, Gate]:
        return {k.name: k for k in self.knobs if isinstance(k, Gate)}

    def knob(self, name: str) -> Knob:
        """The knob of that name; KeyError if there is none."""
        return self._by_name[name]

    def decide(self, choose: Callable[[Knob], Scalar]) -> dict[str, Scalar]:
        """Params: ``choose`` is asked for each searched knob that applies given those before."""
        params: dict[str, Scalar] = {}
        for k in self.knobs:
            if applies(k, params):
                params[k.name] = k.value if isinstance(k, Fixed) else choose(k)
        return params

    def at(self, point: Sequence[float]) -> dict[str, Scalar]:
        """Params at a point of the unit cube: a coordinate for each searched knob, in order."""
        coordinates = dict(zip((k.name for k in self.searched), point, strict=True))
        return self.decide(lambda k: k.at(coordinates[k.name]))

    def likely(self, point: Sequence[float]) -> dict[str, Scalar]:
        """Params at a point of the unit cube, denser where knobs are likely to serve well."""
        coordinates = dict(zip((k.name for k in self.searched), point, strict=True))
        return self.decide(lambda k: k.guess(coordinates[k.name]))

    def active(self, params: Params) -> dict[str, Scalar]:
        """The entries of ``params`` that apply: without conditional knobs whose condition fails."""
        return self.decide(lambda k: params[k.name])

    def split(self, params: Params) -> tuple[str, float, dict[str, Scalar]]:
        """(policy, horizon, knobs of that policy, of the levers, and own ones that are turned)."""
        knobs = {
            name: value
            for name, value in params.items()
            if name not in self._gates and not self._at_default(name, value)
        }
        policy = knobs.pop(POLICY, self.policy)
        return str(policy), float(knobs.pop(HORIZON, 1.0)), knobs

    def _at_default(self, name: str, value: Scalar) -> bool:
        """Whether it is an own knob that is not turned."""
        return name in self.own and same(value, self.own[name])

    def params_of(self, policy: str, horizon: float, knobs: Params) -> dict[str, Scalar] | None:
        """The inverse of ``split``: params of this space, or None where the trial is no point of
        it.

        A setting that ``knobs`` does not give has its default.
        """
        found = self._point_of(policy, horizon, knobs)
        return None if isinstance(found, str) else found

    def why_outside(self, policy: str, horizon: float, knobs: Params) -> str | None:
        """What keeps such a trial from being a point of this space; None where nothing does."""
        found = self._point_of(policy, horizon, knobs)
        return found if isinstance(found, str) else None

    def _point_of(self, policy: str, horizon: float, knobs: Params) -> dict[str, Scalar] | str:
        if policy not in self.policies():
            return f"its policy is {policy}, and this space has {', '.join(self.policies())}"
        if others := own_values(knobs).keys() - self.own.keys():
            return (
                f"it has knobs of its own that this workload has not: {', '.join(sorted(others))}"
            )
        off = self.neutral(policy)
        given: dict[str, Scalar] = {**off, **knobs, POLICY: policy, HORIZON: horizon}
        given |= {
            gate.name: any(given[name] != off[name] for name in gate.opens if name in off)
            for gate in self._gates.values()
        }
        params: dict[str, Scalar] = {}
        for k in self.knobs:
            if not applies(k, params):
                continue
            if k.name not in given:
                return f"it has no {k.name}"
            if not k.contains(given[k.name]):
                return f"its {k.name} is {text(given[k.name])}, and here {k.span()}"
            params[k.name] = given[k.name]
        return params

    def neutral(self, policy: str) -> dict[str, Scalar]:
        """What a recipe of the policy has in each setting that it does not give."""
        return {**_defaults(policy), **self.own}

    def for_pretrained(self) -> SearchSpace:
        """The same space with what is suggested for a model that comes with its weights."""
        return dataclasses.replace(self, suggested=self.suggested_pretrained or self.suggested)

    def suggestions(self, usual: str) -> tuple[tuple[str, float, Mapping[str, Scalar]], ...]:
        """The suggested points that the space still has, as (policy, horizon, knobs), each once.

        Where a suggestion names no horizon or policy, it is the whole horizon and the policy
        ``usual``.
        """
        found: list[tuple[str, float, Mapping[str, Scalar]]] = []
        for alternatives in self.suggested:
            recipes = (_suggestion(knobs, usual) for knobs in alternatives)
            points = (recipe for recipe in recipes if self.params_of(*recipe))
            first = next(points, None)
            if first is not None and first not in found:
                found.append(first)
        return tuple(found)

    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with what a search depends on.

        Meanings and titles of knobs do not change them.
        """
        data: list[Any] = [self.name, self.policy, [k.identity() for k in self.knobs]]
        data += [dict(self.own)] if self.own else []
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]

    def policies(self) -> tuple[str, ...]:
        """Names of the policies that the space's points have."""
        if self.policy is not None:
            return (self.policy,)
        return tuple(str(v) for k in self.knobs if k.name == POLICY for v in k.values())

    def ruled_out(self, k: Knob) -> Knob | None:
        """The earlier knob that has none of the values under which ``k`` applies, or ``k`` where
        there is no such knob; None where some point has ``k``.
        """
        for name, values in k.when.items():
            parent = self._by_name.get(name)
            if parent is None:
                return k
            if not any(parent.contains(value) for value in values):
                return parent
            if (above := self.ruled_out(parent)) is not None:
                return above
        return None


def applies(k: Knob, params: Params) -> bool:
    """Whether a knob's condition holds given the params decided before it."""
    return all(
        name in params and any(same(params[name], value) for value in values)
        for name, values in k.when.items()
    )


def as_policy(space: SearchSpace, params: Params) -> UpdatePolicy[Any]:
    """The policy that params of the space stand for.

    Raises:
        ValueError: its settings break a rule of the policy; every broken one is named.
    """
    policy, _, knobs = space.split(params)
    return make_policy(policy, divide_knobs(without_own(knobs))[0])


def as_levers(space: SearchSpace, params: Params) -> Levers:
    """The levers that params of the space stand for.

    Raises:
        ValueError: their settings break a rule; every broken one is named.
    """
    return make_levers(space.split(params)[2])


@functools.cache
def _defaults(policy: str) -> Mapping[str, Scalar]:
    fields = (*dataclasses.fields(policies()[policy]), *lever_settings().values())
    return {f.name: f.default for f in fields if f.default is not MISSING}


def _suggestion(knobs: Mapping[str, Scalar], usual: str) -> tuple[str, float, Mapping[str, Scalar]]:
    others = {name: value for name, value in knobs.items() if name not in (POLICY, HORIZON)}
    return str(knobs.get(POLICY, usual)), float(knobs.get(HORIZON, 1.0)), others
