"""What a device or a model cannot do is left out of the space before a search begins, and said.
Pure.

Each form that the space's levers can give the model is tried once; values are dropped, the one that
takes part in the greatest share of failing forms first, until no form that is left fails. So no
trial is spent on what cannot run.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from models.levers.approximation import NONE
from models.levers.computing import Computing
from models.levers.form import Form
from models.levers.levers import make_levers
from models.levers.levers import switches as lever_switches
from models.levers.optimizer import NUMBERS, OWN, Optimization
from policies.rules import Scalar
from search_spaces.base import HORIZON, SearchSpace
from search_spaces.knobs import Choice, Fixed, Gate, Knob, same
from search_spaces.rules import owner_of
from tuning.config.own import OWN_GATE

ANY_BLOCKS = 2
"""A number of blocks to make forms for: no form of these groups depends on it."""
GROUPS = (
    ("approximation", "approximation_share", "placement"),
    ("attention_backend", "dtype", "compiled"),
    ("optimizer", "newton_schulz_steps"),
)
"""Knobs that must be possible together; the groups are independent of each other."""
Values = dict[str, Scalar]


@dataclass(frozen=True)
class Fitted:
    """What is left of a space.

    Attributes:
        choices: knob -> the values that are left, for knobs that lost some.
        remarks: a line for each reason, with the values it leaves out.
        faults: what leaves nothing to search, as messages for the user.
    """

    choices: Mapping[str, tuple[Scalar, ...]]
    remarks: tuple[str, ...]
    faults: tuple[str, ...]


def needs_fitting(space: SearchSpace) -> bool:
    """Whether the space has a knob that a device may lack values of."""
    return _has_gates(space) or any(
        k.name in names for k in space.knobs for names in (*GROUPS, NUMBERS)
    )


def fit_space(space: SearchSpace, fault_of: Callable[[Form], str | None]) -> Fitted:
    """Leave out the values that ``fault_of`` finds a fault with; it is asked once for each form.

    In a space with gates, values are tried one at a time and not all together: few of the many
    combinations are ever drawn, and a trial with two values that do not go together fails with the
    reason.
    """
    tried = _singly if _has_gates(space) else _combinations
    ask = functools.cache(fault_of)
    choices: dict[str, tuple[Scalar, ...]] = {}
    left_out: list[tuple[str, str]] = []
    faults: list[str] = []
    for names in GROUPS:
        kept = {name: list(values) for name, values in _values(space, names).items()}
        gone: list[tuple[str, str]] = []
        # Tried one by one, a value stands beside the first one left of each other knob: try anew.
        while standing := [
            (values, fault) for values in tried(space, kept) if (fault := _fault(values, ask))
        ]:
            dropped = _worst(space, kept, [values for values, _ in standing])
            if dropped is None:
                faults.append(_told(*standing[0]))
                break
            name, value = dropped
            reason = next(fault for values, fault in standing if values.get(name) == value)
            kept[name].remove(value)
            gone.append((f"{name} {value}", reason))
        else:  # of a group of which nothing is left, the fault alone says why
            left_out += gone
        choices |= {n: tuple(v) for n, v in kept.items() if len(v) < len(_values(space, (n,))[n])}
    return Fitted(choices, tuple(_lines(left_out)), tuple(faults))


def _lines(left_out: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A line for each reason, with all that it leaves out."""
    values: dict[str, list[str]] = {}
    for value, reason in left_out:
        values.setdefault(reason, []).append(value)
    for reason, found in values.items():
        are = "is" if len(found) == 1 else "are"
        yield f"{', '.join(found)} {are} left out of the space: {reason}"


def fit_numbers(space: SearchSpace, fault_of: Callable[[Optimization], str | None]) -> Fitted:
    """Fix at its default each of the optimizer's numbers that ``fault_of`` says cannot be turned.
    It is asked for each number alone, at the ends of its range.
    """
    optimizers = next((k.values() for k in space.knobs if k.name == "optimizer"), (OWN,))
    kind = str(OWN if OWN in optimizers else optimizers[0])
    choices: dict[str, tuple[Scalar, ...]] = {}
    remarks: list[str] = []
    faults: list[str] = []
    for k in (k for k in space.knobs if k.name in NUMBERS):
        fault = next(filter(None, map(fault_of, _turned(kind, k))), None)
        if fault and isinstance(k, Fixed):
            faults.append(_told({k.name: k.value}, fault))
        elif fault:
            choices[k.name] = (Optimization.off()[k.name],)
            remarks.append(f"{k.name} is left out of the space: {fault}")
    return Fitted(choices, tuple(remarks), tuple(faults))


def fit_computing(space: SearchSpace, device: str) -> Fitted:
    """On a CPU, leave kernels, formats and compiled blocks out of a space with gates.

    Finding out whether they work there takes as long as several trials, because compiling takes
    longer than a trial, and there are hardly any kernels to choose from.
    """
    if device != "cpu" or not _has_gates(space):
        return Fitted({}, (), ())
    off = Computing.off()
    found = [k.name for k in space.knobs if k.name in off and isinstance(k, Choice)]
    remarks = [
        f"{', '.join(found)} are left out of the space: on a CPU they bring little and finding out "
        "takes long; --space attention searches them"
    ]
    return Fitted({name: (off[name],) for name in found}, tuple(remarks if found else ()), ())


def fit_gates(space: SearchSpace, fault_of: Mapping[str, Callable[[], str | None]]) -> Fitted:
    """Close each gate in front of a lever that the workload cannot have; ``fault_of`` has a
    function for each lever that returns why not, or None.
    """
    choices: dict[str, tuple[Scalar, ...]] = {}
    left_out: dict[str, str] = {}
    faults: list[str] = []
    for k in space.knobs:
        lever = owner_of(_opens(k)) if _opens(k) else ""
        fault = fault_of[lever]() if lever in fault_of else None
        if fault is None:
            continue
        if isinstance(k, Fixed) and not same(k.value, _opens_not(k)):
            faults.append(_asked_for(k.name, k.value, fault))
        elif isinstance(k, Gate) and False not in k.choices:
            faults.append(_asked_for(k.name, True, fault))
        elif isinstance(k, Gate):
            choices[k.name] = (False,)
            left_out[lever] = fault
    if left_out and not faults and _idle(space, choices):
        faults = [
            f"space {space.name} has nothing to search of this workload: {fault}"
            for fault in left_out.values()
        ]
        return Fitted(choices, (), tuple(faults))
    remarks = (f"{lever} is left out of the space: {fault}" for lever, fault in left_out.items())
    return Fitted(choices, tuple(remarks), tuple(faults))


def _opens(k: Knob) -> str:
    """A setting of the lever behind a gate, or the switch that a fixed knob sets; empty for any
    other knob.
    """
    if isinstance(k, Gate):
        return k.opens[0]
    switches = lever_switches()
    return k.name if isinstance(k, Fixed) and k.name in switches else ""


def _opens_not(k: Knob) -> Scalar:
    return lever_switches()[k.name]


def _idle(space: SearchSpace, left: Mapping[str, tuple[Scalar, ...]]) -> bool:
    """Whether nothing but the horizon and the workload's own knobs is left to search."""
    fixed = {name: values[0] for name, values in left.items() if len(values) == 1}
    narrower = dataclasses.replace(
        space,
        knobs=tuple(
            Fixed(k.name, fixed[k.name], when=k.when) if k.name in fixed else k for k in space.knobs
        ),
    )
    own = {OWN_GATE, *(k.name for k in space.knobs if OWN_GATE in k.when)}
    return all(k.name == HORIZON or k.name in own for k in narrower.searched)


def _turned(kind: str, k: Knob) -> list[Optimization]:
    return [make_levers({"optimizer": kind, k.name: v}).of(Optimization) for v in k.values()]


def _values(space: SearchSpace, names: Iterable[str]) -> dict[str, tuple[Scalar, ...]]:
    return {
        k.name: k.values()
        for k in space.knobs
        if k.name in names and isinstance(k, (Choice, Fixed))
    }


def _combinations(space: SearchSpace, axes: Mapping[str, Sequence[Scalar]]) -> list[Values]:
    """Every combination of the values of the group's knobs; a knob whose condition fails is left
    out of a combination.
    """
    found: list[Values] = []
    for point in itertools.product(*axes.values()):
        values = dict(zip(axes, point, strict=True))
        applying = {n: v for n, v in values.items() if _applies(space, n, values)}
        if applying and applying not in found:
            found.append(applying)
    return found


def _singly(space: SearchSpace, axes: Mapping[str, Sequence[Scalar]]) -> list[Values]:
    """Each value of each of the group's knobs, the other knobs at the first value that lets it
    apply.
    """
    found: list[Values] = []
    for name, allowed in axes.items():
        base = {n: options[0] for n, options in axes.items()}
        for parent, values in space.knob(name).when.items():
            if open_to := [value for value in values if value in axes.get(parent, values)]:
                base[parent] = open_to[0]
        for value in allowed:
            chosen = {**base, name: value}
            applying = {n: v for n, v in chosen.items() if n in axes and _applies(space, n, chosen)}
            if applying and applying not in found:
                found.append(applying)
    return found


def _has_gates(space: SearchSpace) -> bool:
    """Whether levers stand behind gates. The workload's own knobs do in every space and do not
    count.
    """
    return any(isinstance(k, Gate) and k.name != OWN_GATE for k in space.knobs)


def _applies(space: SearchSpace, name: str, values: Values) -> bool:
    when = space.knob(name).when
    return all(values[parent] in allowed for parent, allowed in when.items() if parent in values)


def _fault(values: Values, fault_of: Callable[[Form], str | None]) -> str | None:
    if values.get("approximation") == NONE:
        return None
    forms = make_levers(values).forms(ANY_BLOCKS)
    return next((fault for form in forms if (fault := fault_of(form))), None)


def _worst(
    space: SearchSpace, kept: Mapping[str, list[Scalar]], bad: list[Values]
) -> tuple[str, Scalar] | None:
    """The knob and value, among those that can be left out, with the greatest share of failing
    forms: the first one of several, None where no value can be left out.
    """
    shares = {
        (name, value): sum(values.get(name) == value for values in bad) * len(options)
        for name, options in kept.items()
        for value in options
        if len(options) > 1 and isinstance(space.knob(name), Choice)
    }
    worst = max(shares, key=lambda each: shares[each], default=None)
    return worst if worst is not None and shares[worst] else None


def _asked_for(name: str, value: Scalar, fault: str) -> str:
    said = str(value).lower() if isinstance(value, bool) else value
    return f"{name} = {said} asks for a lever that this workload cannot have: {fault}"


def _told(values: Values, fault: str) -> str:
    chosen = ", ".join(f"{name}={value}" for name, value in values.items())
    return (
        f"the space must leave something that the model and the device can do, but with {chosen}: "
        f"{fault}"
    )
