"""How good the best recipe proposed is after so many proposals, on made-up workloads.

Each has a gain that is known for every recipe of the space `recipe`, and a little luck of a run.
Nothing is trained: a search is told what training would have given. Printed for each workload and
sampler: the true gain of the recipe that looks best after so many proposals, the mean over search
seeds, with the recipes that the space suggests and without; 1 is the own recipe.

    python -m benchmarks.quality.proposals [--seeds 12] [--json FILE]
"""

from __future__ import annotations

import dataclasses
import math
import random
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks.common import Row, machine, parser, publish
from models.levers.levers import lever_settings
from search_spaces.base import SearchSpace
from search_spaces.recipe import SPACE
from tuning.study.baselines import baseline_specs
from tuning.study.samplers.control_line import ControlLine
from tuning.study.samplers.sampler import OptunaSampler
from tuning.study.study import Asked, Study
from tuning.trial.outcome import Outcome
from tuning.trial.recipe import Recipe
from tuning.trial.trial import Scalar, TrialSpec

AFTER = (8, 16, 32, 56)
"""Proposals of the sampler."""
BASELINE = 10.0
"""Solo seconds of a full-update run of horizon 1."""
LUCK = 0.03
"""Standard deviation of the logarithm of a run's gain."""


class KnobByKnob(OptunaSampler):
    """Without proposals near a good recipe."""

    def _near(self, index: int) -> bool:
        return False


@dataclass(frozen=True)
class Made:
    """A workload on which levers bring, in logarithms of the gain, what is said here.

    Attributes:
        muon: brought by Muon.
        rate: the best factor on the own rate, under Muon and under the own optimizer; twice the
            examples bear ``batch_rate`` times as much.
        together: brought by twice the examples under Muon; under the own optimizer they cost as
            much.
        growth, small, averaging, kept, frozen: brought by each lever.
    """

    muon: float
    rate: tuple[float, float]
    batch_rate: float
    together: float
    growth: float
    small: float
    averaging: float
    kept: float
    frozen: float

    def log_gain(self, recipe: Recipe) -> float:
        """The true one, at any horizon."""
        knobs = {**_OFF, **recipe.knobs}
        muon, twice = knobs["optimizer"] == "muon", float(knobs["batch_end"]) >= 2
        best = self.rate[not muon] * (self.batch_rate if twice else 1.0)
        found = self.muon * muon - 0.15 * _off(knobs["rate"], best)
        found += self.together * ((1 if muon else -1) if twice else 0)
        found -= 0.05 * (float(knobs["batch_end"]) < 1)
        for name, best in (("beta1_memory", 0.7), ("beta2_memory", 0.8), ("warmup_factor", 0.5)):
            found -= 0.03 * _off(knobs[name], best)
        found -= 0.2 * (float(knobs["decay_added"]) - 0.5) ** 2
        found += (
            self.growth
            * ((float(knobs["depth_start"]) < 1) - 4 * (float(knobs["growth_at"]) - 0.4) ** 2)
            * (float(knobs["depth_start"]) < 1)
        )
        whole = float(knobs["input_whole_from"])
        found += (float(knobs["input_start"]) < 1) * self.small * (1 - 8 * (whole - 0.3) ** 2)
        found += self.averaging * (knobs["averaging"] != "none")
        found += self.kept * (float(knobs["prefix"]) > 0)
        return found + self.frozen * (recipe.policy != "full_update")

    def ended(self, spec: TrialSpec) -> Outcome:
        """What training gives: the control's loss after ``gain`` times its seconds."""
        seconds = BASELINE * spec.recipe.horizon
        luck = random.Random(f"{spec.seed} {spec.recipe.digest_text}").gauss(0.0, LUCK)
        log_gain = self.log_gain(spec.recipe) + (0.0 if spec.recipe.is_control else luck)
        loss = 2.0 - 0.3 * (math.log(seconds) + log_gain - self._own)
        return Outcome(
            spec.number, spec.origin, "finished", spec.recipe, train_seconds=seconds, val_loss=loss
        )

    @property
    def _own(self) -> float:
        return self.log_gain(Recipe("full_update"))

    def gain(self, recipe: Recipe) -> float:
        """Over the own recipe."""
        return math.exp(self.log_gain(recipe) - self._own)


_OFF: Mapping[str, Scalar] = {
    setting.name: setting.default for setting in lever_settings().values()
}
WORKLOADS = {
    "levers that need each other": Made(0.0, (2.6, 1.0), 2.0, 0.25, 0.1, 0.07, 0.0, -0.3, -0.1),
    "little to gain": Made(0.08, (1.3, 1.0), 1.4, -0.05, -0.2, -0.1, 0.03, 0.02, 0.06),
    "each lever by itself": Made(0.2, (3.0, 1.5), 1.4, 0.05, 0.2, 0.05, 0.05, -0.2, -0.05),
}
SAMPLERS: Mapping[str, Callable[..., OptunaSampler]] = {
    "knob by knob": KnobByKnob,
    "every other near a good one": OptunaSampler,
}


def main() -> None:
    """Search every workload with every sampler, and print the table."""
    made = parser(__doc__)
    made.add_argument("--seeds", type=int, default=12, metavar="K", help="searches of each")
    options = made.parse_args()
    rows = [
        row_of(name, sampler, suggested, options.seeds)
        for suggested in (True, False)
        for name in WORKLOADS
        for sampler in SAMPLERS
    ]
    publish({"gain of the best proposed": rows}, options.json, machine())


def row_of(workload: str, sampler: str, suggested: bool, seeds: int) -> Row:
    """Mean gains over search seeds, after each number of proposals."""
    space = SPACE if suggested else dataclasses.replace(SPACE, suggested=())
    searches = [search(WORKLOADS[workload], SAMPLERS[sampler], space, s) for s in range(seeds)]
    means = [statistics.fmean(gains) for gains in zip(*searches, strict=True)]
    return {
        "workload": workload,
        "suggestions": "yes" if suggested else "no",
        "sampler": sampler,
        "n": seeds,
        **{f"after {n}": round(mean, 3) for n, mean in zip(AFTER, means, strict=True)},
    }


def search(
    made: Made, sampler_of: Callable[..., OptunaSampler], space: SearchSpace, seed: int
) -> list[float]:
    """The true gain of what looks best after each number of proposals."""
    baselines = baseline_specs("made up", seed, space=space)
    sampler = sampler_of(space, "tpe", seed, "time-to-quality", first=len(baselines))
    asked = Asked(len(baselines) + AFTER[-1], "made up", seed, 1.3, baselines, line_known=True)
    study = Study(space, sampler, asked)
    found: list[Outcome] = []
    while (spec := study.ask()) is not None:
        found.append(made.ended(spec))
        study.tell(found[-1])
    line = ControlLine.through([each for each in found if each.recipe.is_control])
    assert line is not None, "the baselines are controls"
    return [_best(made, line, found[: len(baselines) + count]) for count in AFTER]


def _best(made: Made, line: ControlLine, found: list[Outcome]) -> float:
    best = max(
        found, key=lambda each: line.log_gain(each.train_seconds or 0.0, each.val_loss or 0.0)
    )
    return made.gain(best.recipe)


def _off(value: Scalar, best: float) -> float:
    """The squared logarithm of how far a factor is from the best one."""
    return math.log(float(value) / best) ** 2


if __name__ == "__main__":
    main()
