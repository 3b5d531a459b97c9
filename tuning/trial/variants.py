"""Cost tables of a workload with other values of its own knobs. Pure.

With them a step may take longer or shorter, in every form of the model, so each combination of
values that may change it (``models.knobs.costly``) has a table of its own, with forms of its own,
beside the forms of the workload as it is. Horizons are of the workload as it is in all of them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

from models.levers.levers import Levers
from policies.rules import Scalar
from tuning.trial.clock import CostTable, UnknownForm


def variant_name(values: Mapping[str, Scalar]) -> str:
    """The clock's name for the workload with these values of its own knobs; empty where there are
    none.

    >>> variant_name({"width": 64, "act": "relu"})
    "act='relu', width=64"
    """
    return ", ".join(f"{name}={value!r}" for name, value in sorted(values.items()))


def known_variant(costs: CostTable, own: Mapping[str, Scalar]) -> str:
    """The variant by which a trial with these own knobs was charged, told from the clock alone.

    For a trial that ran, all values that change its cost have a table together, and no table has a
    value that does not: so it is the variant with the most values.
    """
    if not costs.forms:
        return ""
    counts = range(len(own), 0, -1)
    chosen = (each for count in counts for each in itertools.combinations(own.items(), count))
    names = (variant_name(dict(each)) for each in chosen)
    return next((name for name in names if name in costs.forms), "")


def table_for(costs: CostTable, variant: str) -> CostTable:
    """The table by which a run of the variant is charged; that of the workload as it is where
    ``variant`` is empty.

    Raises:
        UnknownForm: the variant was not calibrated.
    """
    if not variant:
        return costs
    if variant not in costs.forms:
        raise UnknownForm(f"the clock must be calibrated for {variant!r}, but is not")
    return costs.forms[variant]


def with_table(costs: CostTable, variant: str, table: CostTable) -> CostTable:
    """The clock with ``table`` for the variant, in place of any it had; it is the last then, as it
    was timed last.
    """
    if not variant:
        return table
    others = {name: each for name, each in costs.forms.items() if name != variant}
    return replace(costs, forms={**others, variant: table})


def noted(before: CostTable | None, now: CostTable, signs: tuple[str, ...]) -> CostTable:
    """``now`` with ``signs`` as the disturbances of each of its tables that ``before`` does not
    have.
    """
    known = {} if before is None else before.forms
    forms: dict[str, CostTable] = {}
    for name, table in now.forms.items():
        marked = noted(known.get(name), table, signs) if table.forms else table
        forms[name] = marked if name in known else replace(marked, disturbances=signs)
    return replace(now, forms=forms)


def disturbed_forms(costs: CostTable) -> dict[str, tuple[str, ...]]:
    """What disturbed the timing of forms, by the form's name, for forms whose timing something
    disturbed.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, table in costs.forms.items():
        if table.disturbances:
            found[name] = table.disturbances
        found |= {name_in(name, inner): signs for inner, signs in disturbed_forms(table).items()}
    return found


def last_was_disturbed(costs: CostTable) -> bool:
    """Whether something disturbed the timing of the form that was timed last."""
    if not costs.forms:
        return False
    *_, last = costs.forms.values()
    return bool(last.disturbances) or last_was_disturbed(last)


def timed_alone(costs: CostTable) -> CostTable:
    """The clock without the forms whose timing something disturbed, so that they are timed anew."""
    left = {name: table for name, table in costs.forms.items() if not table.disturbances}
    return replace(costs, forms={name: timed_alone(table) for name, table in left.items()})


def name_in(variant: str, charge: str) -> str:
    """The name of a variant's charge among all charges of a run.

    >>> name_in("width=64", "muon 5"), name_in("", "muon 5")
    ('width=64: muon 5', 'muon 5')
    """
    return f"{variant}: {charge}" if variant else charge


def unknown_charges(costs: CostTable, levers: Levers, variant: str) -> frozenset[str]:
    """Names of all that a run may be charged for and the clock does not know. Where it does not
    know the variant itself that is the only name, because which forms there are depends on it.
    """
    if variant and variant not in costs.forms:
        return frozenset({variant})
    table = table_for(costs, variant)
    needed = levers.charges(table.num_blocks)
    return frozenset(name_in(variant, each) for each in needed if each not in table.forms)
