"""How far a form's cost that is put together from its parts is from the cost measured whole.

For each form of a few that levers make together, both are measured in turn on one machine, ``n``
times; a row gives the median of composed over measured at the deepest step, and its spread. The
goal is 3 %.

``--clocks`` tells instead how far a form's price in full steps strays between clocks that are made
one after another, as a standard deviation in per cent: put together from parts, as a search does
it, and timed again, as a confirmation does.

    python -m benchmarks.truth.parts [--workload W] [--rounds N] [--clocks] [--json FILE]
"""

from __future__ import annotations

import math
import statistics

import torch

from benchmarks.common import Row, machine, parser, publish, spread
from models.levers.form import Form
from models.registry import find_workload
from models.workload import Workload
from tuning.training.calibration.calibrate import calibrate
from tuning.training.calibration.forms import calibrate_form
from tuning.training.calibration.known import Known
from tuning.training.clock_tasks import CAREFUL
from tuning.trial.clock import CostTable
from tuning.trial.parts import composed, parts_of

FORMS = (
    Form(present=2, batch=0.5),
    Form(present=2, batch=2.0),
    Form(optimizer="muon", newton_schulz_steps=3, batch=0.5),
    Form(optimizer="muon", newton_schulz_steps=3, present=2),
    Form(optimizer="muon", newton_schulz_steps=3, present=2, batch=0.5),
    Form(optimizer="muon", newton_schulz_steps=3, present=2, batch=2.0, input=0.5),
)
LEADING = (
    Form(optimizer="muon", newton_schulz_steps=5, present=2, batch=2.0),
    Form(optimizer="muon", newton_schulz_steps=5, batch=2.0),
)
"""Those of the recipe that leads byte_lm's search."""
CPU = torch.device("cpu")


def main() -> None:
    """Measure and print."""
    made = parser(__doc__, rounds=5)
    made.add_argument("--workload", default="byte_lm")
    made.add_argument("--clocks", action="store_true")
    options = made.parse_args()
    torch.set_num_threads(1)
    workload = find_workload(options.workload)
    if options.clocks:
        rows = [strayed(workload, form, options.rounds) for form in LEADING]
        publish({"clocks": rows}, options.json, machine())
        return
    costs = calibrate(workload, device=CPU, threads=1)
    ratios: dict[str, list[float]] = {form.key: [] for form in FORMS}
    for _ in range(options.rounds):
        for form in FORMS:
            ratios[form.key].append(ratio(workload, form, costs))
    publish({"parts": [_row(*each) for each in ratios.items()]}, options.json, machine())


def ratio(workload: Workload, form: Form, costs: CostTable) -> float:
    """Composed over measured seconds of a step of all that is present."""
    known = Known(workload, costs)
    known.measure(parts_of(form, costs.num_blocks))
    depth = form.present or costs.num_blocks
    whole = calibrate_form(workload, form, costs, device=CPU)
    return composed(known.costs, form).step_cost(depth) / whole.step_cost(depth)


def strayed(workload: Workload, form: Form, clocks: int) -> Row:
    """How far a form's price strays between clocks, in per cent, by parts and timed again."""
    depth = form.present or len(workload.blocks(workload.make_model(0)))
    logs: dict[str, list[float]] = {"put together, %": [], "timed again, %": []}
    for _ in range(clocks):
        costs = calibrate(workload, device=CPU, threads=1)
        known = Known(workload, costs)
        known.measure(parts_of(form, costs.num_blocks))
        again = calibrate_form(workload, form, costs, device=CPU, effort=CAREFUL)
        full = costs.step_cost(costs.num_blocks)
        for values, table in zip(logs.values(), (composed(known.costs, form), again), strict=True):
            values.append(100 * math.log(table.step_cost(depth) / full))
    strays = {name: statistics.stdev(values) for name, values in logs.items()}
    return {"form": form.key, **strays, "n": clocks}


def _row(key: str, values: list[float]) -> Row:
    return {
        "form": key,
        "composed over measured": statistics.median(values),
        "spread": spread(values),
        "n": len(values),
    }


if __name__ == "__main__":
    main()
