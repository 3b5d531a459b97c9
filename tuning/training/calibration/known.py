"""The clock, form by form: what a run is charged for and was not timed yet is timed when it is
needed, from as few measurements as give it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models.device import run_device
from models.levers.form import Form
from models.levers.levers import Levers
from models.workload import Workload
from tuning.training.calibration.calibrate import Effort
from tuning.training.calibration.forms import calibrate_form
from tuning.training.calibration.light import calibrate_light
from tuning.training.place import describe
from tuning.trial.clock import CostTable
from tuning.trial.parts import composed, parts_of


class Known:
    """The clock while missing forms are measured and added to it.

    Args:
        workload: the workload whose forms they are.
        costs: the clock.
        effort: the effort with which every form is measured whole; None: forms are put together
            from parts, as a search can afford.

    Attributes:
        costs: the clock with all that was found so far.
    """

    def __init__(self, workload: Workload, costs: CostTable, effort: Effort | None = None) -> None:
        self._workload, self.costs, self._effort = workload, costs, effort

    def find(self, levers: Levers) -> dict[str, str]:
        """Measure what a run with ``levers`` is charged for and the clock does not know. Returns
        the reasons, by name, for what the model does not take.
        """
        blocks = self.costs.num_blocks
        forms = [form for form in levers.forms(blocks) if form.key not in self.costs.forms]
        events = [event for part in levers.parts for event in part.events(blocks)]
        parts = {form: self._parts(form) for form in forms}
        needed = dict.fromkeys(part for each in parts.values() for part in each)
        faults = self.measure(list(needed), [e for e in events if e not in self.costs.forms])
        for form in forms:
            in_the_way = [faults[part.key] for part in parts[form] if part.key in faults]
            found = in_the_way[0] if in_the_way else self._put_together(form)
            if found is not None:
                faults[form.key] = found
        return {
            key: faults[key] for key in (*(form.key for form in forms), *events) if key in faults
        }

    def measure(self, forms: Sequence[Form], events: Sequence[str] = ()) -> dict[str, str]:
        """Measure the forms, and the events that are no form, that the clock does not know. Returns
        the reasons, by name, for those that could not be measured.
        """
        unknown = [form for form in forms if form.key not in self.costs.forms]
        light = [form for form in unknown if form.light]
        found = calibrate_light(
            self._workload, light, events, self.costs, device=run_device(), effort=self._effort
        )
        found |= {form.key: self._measured(form) for form in unknown if not form.light}
        tables = {key: each for key, each in found.items() if isinstance(each, CostTable)}
        self.costs = replace(self.costs, forms={**self.costs.forms, **tables})
        return {key: each for key, each in found.items() if isinstance(each, str)}

    def _measured(self, form: Form) -> CostTable | str:
        device, effort = run_device(), self._effort
        try:
            return calibrate_form(self._workload, form, self.costs, device=device, effort=effort)
        except Exception as fault:
            return describe(fault, None)

    def _parts(self, form: Form) -> tuple[Form, ...]:
        return (form,) if self._effort is not None else parts_of(form, self.costs.num_blocks)

    def _put_together(self, form: Form) -> str | None:
        if self._parts(form) == (form,):
            return None
        try:
            table = composed(self.costs, form)
        except ValueError:  # of parts that were measured in company; the whole takes some time
            return self.measure([form]).get(form.key)
        self.costs = replace(self.costs, forms={**self.costs.forms, form.key: table})
        return None
