"""The course of a run on the solo clock: how far it is, what rate it learns at, when it is
evaluated, when it ends.

Everything here is numbers. The training loop keeps one while it trains, and a policy that is
replayed over a recorded run keeps one without a model; because it is the same object, a replay
cannot disagree with the run it replays.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

from models.levers.averaging import Averaging
from models.levers.batch import position
from models.levers.cached_prefix import CachedPrefix
from models.levers.depth import Depth
from models.levers.form import AVERAGING, GROWTH, PLAIN, Form, filling
from models.levers.levers import NO_LEVERS, Levers, ramp
from models.levers.optimizer import Optimization
from policies.base import StepPlan
from tuning.trial.built import built
from tuning.trial.clock import CostTable, Ledger, baseline_seconds, charge
from tuning.trial.decaying import Decay, factor_left
from tuning.trial.record import Measurements
from tuning.trial.trial import CurvePoint, Decision

FINISHED = 1 - 1e-9
"""A horizon counts as spent a rounding error short of it: 0.75 · (N · c) and (0.75 · N) · c can
differ in the last bit.
"""


@dataclass(frozen=True)
class Timetable:
    """The numbers of a workload that a run's course depends on.

    Attributes:
        steps: steps of the baseline.
        eval_every: steps between evaluations.
        warmup_steps: steps of warm-up.
        decay_fraction: share of the horizon in which the learning rate decays.
        decay: the shape of the decay.
    """

    steps: int
    eval_every: int
    warmup_steps: int
    decay_fraction: float
    decay: Decay = "linear"


class Course:
    """Where a run stands.

    Args:
        timetable: the workload's numbers.
        costs: the calibrated clock.
        horizon: how long the run is, as a fraction of the full-update baseline's solo seconds.
        levers: what is done to the model meanwhile.

    Attributes:
        num_blocks: of the model.
        horizon_seconds: how long the run is, in solo seconds.
    """

    def __init__(
        self, timetable: Timetable, costs: CostTable, horizon: float, levers: Levers = NO_LEVERS
    ) -> None:
        self._timetable, self._costs, self._levers = timetable, costs, levers
        self._optimization, self._depth = levers.of(Optimization), levers.of(Depth)
        self._averaging, self._prefix = levers.of(Averaging), levers.of(CachedPrefix)
        self._form, self._form_since = PLAIN, 0
        self._batches: dict[float, int] = {}
        """Numbers of steps by the size of their batch, in batches of the workload."""
        self._grown: list[int] = []
        """The step at which each stage of growth after the first began."""
        self._averaged, self._averaged_at = 0, 0.0
        self.average_weight: float | None = None
        """The weight in the average of the weights after the last step; None where they are not
        taken into it.
        """
        self.horizon_seconds = horizon * baseline_seconds(costs, timetable.steps)
        self.num_blocks = costs.num_blocks
        self.ledger = Ledger()
        self._curve: list[CurvePoint] = []
        self._decisions: list[Decision] = []
        self._metrics: dict[str, float] = {}
        self._arrive()

    def _arrive(self) -> None:
        """Work out once where the run stands: that is asked many times a step, and in replays of
        many runs.
        """
        self._seconds = charge(self._costs, self.ledger).train_seconds
        self._next_form = self._levers.form(
            self.fraction, self._form, self.steps - self._form_since
        )

    @property
    def steps(self) -> int:
        """Steps taken."""
        return self.ledger.steps

    @property
    def seconds(self) -> float:
        """Solo seconds spent."""
        return self._seconds

    @property
    def fraction(self) -> float:
        """Share of the horizon spent, in [0, 1]."""
        return min(1.0, self.seconds / self.horizon_seconds)

    @property
    def finished(self) -> bool:
        """Whether the horizon is spent."""
        return self.fraction >= FINISHED

    @property
    def rate_factor(self) -> float:
        """The factor on the peak learning rate for the next step."""
        factor = wsd_factor(
            self.steps,
            self.fraction,
            warmup_steps=self._warmup_steps,
            decay_fraction=self._optimization.decay_fraction(self._timetable.decay_fraction),
            final=self._optimization.final_rate,
            decay=self._timetable.decay,
        )
        return factor * self._rewarming * self._prefix.rate_factor(self.fraction)

    def rate_of_stage(self, stage: int) -> float:
        """The factor on the rate of the blocks that came in with a stage of growth, beside that of
        the others. It rises from their first step on, as in a warm-up.
        """
        if not stage:
            return 1.0
        since = self._grown[stage - 1] if stage <= len(self._grown) else self.steps
        return ramp(self.steps - since)

    @property
    def position(self) -> Fraction:
        """Where in the stream of the workload's batches the next step begins."""
        return position(self._batches)

    @property
    def _warmup_steps(self) -> int:
        own, steps = self._timetable.warmup_steps, self._timetable.steps
        return self._optimization.warmup_steps(own, steps)

    @property
    def other_optimizer(self) -> bool:
        """Whether another optimizer than the workload's takes the steps, or one with other numbers.
        How the learning rate changes is given by ``rate_factor``.
        """
        return self._optimization.turns_numbers

    @property
    def _rewarming(self) -> float:
        # A form that the next step brings in has taken no step yet.
        since = self.steps if self.form.lasting != self._form else self._form_since
        # A form that the run has been in from its first step is covered by the run's own warm-up.
        return ramp(self.steps - since) if since else 1.0

    @property
    def form(self) -> Form:
        """The form of the next step, except for what depends on the step's plan."""
        return self._next_form

    @property
    def evaluation_due(self) -> bool:
        """Whether the run is evaluated where it stands: every ``eval_every`` steps, and at its
        end.
        """
        return self.finished or self.steps % self._timetable.eval_every == 0

    def step(self, plan: StepPlan, *, cached: bool = False, kept: bool = False) -> None:
        """Enter a step that was taken as planned.

        Args:
            plan: the step's plan.
            cached: whether the activations of the prefix were there.
            kept: whether they were not there, and are from now on.

        Raises:
            ValueError: the plan's blocks are no suffix, so that the clock does not know the step's
                cost.
        """
        active, present = plan.active_blocks, plan.present_blocks(self.num_blocks)
        if active != present[len(present) - len(active) :]:
            raise ValueError(
                f"the clock charges suffixes (the top blocks) only, but got blocks {active}"
            )
        last = self._decisions[-1] if self._decisions else None
        if last is None or (last.active_blocks, last.phase) != (len(active), plan.phase):
            self._decisions.append(Decision(self.steps, len(active), plan.phase))
        self._enter_form()
        self._grow()
        # Forms just entered move the fraction only in ``_arrive``: ``before`` is where the step
        # began.
        prefix, before = self._prefix.blocks(self.num_blocks), self.fraction
        if kept:
            self.ledger.enter(filling(prefix))
        form = dataclasses.replace(
            self.form,
            present=0 if len(present) == self.num_blocks else len(present),
            cached=prefix if cached else 0,
        )
        self.ledger.record(len(active), probe=plan.probe, form=form.key)
        self._batches[form.batch] = self._batches.get(form.batch, 0) + 1
        self._arrive()
        self._average(before)

    def _enter_form(self) -> None:
        lasting = self.form.lasting
        if lasting == self._form:
            return
        self.ledger.enter(lasting.key)
        if not lasting.same_modules(self._form):
            self._averaged = 0  # of parameters that are no more
        self._form, self._form_since = lasting, self.steps

    def _grow(self) -> None:
        counts = self._depth.counts(self.num_blocks)
        stage, before = self._depth.stage(self.fraction, self.num_blocks), len(self._grown)
        if stage == before:
            return
        # Where a run begins in a later stage, its blocks were there from the start.
        for _ in range(counts[stage] - counts[before] if self.steps else 0):
            self.ledger.enter(GROWTH)
        self._grown += [self.steps] * (stage - before)
        self._averaged = 0  # of blocks that were not there

    def _average(self, before: float) -> None:
        """Take the weights after a step that began at fraction ``before`` into the average, where
        they are due.
        """
        self.average_weight = None
        if not self._averaging.due(before, self.fraction):
            return
        # The weights are those of this moment; the entry below is charged after it.
        now = self.fraction
        self.average_weight = self._averaging.weight_of(self._averaged, self._averaged_at, now)
        self._averaged, self._averaged_at = self._averaged + 1, now
        self.ledger.enter(AVERAGING)
        self._arrive()

    @property
    def averages(self) -> bool:
        """Whether an average, not the weights themselves, is evaluated by now."""
        return self._averaged > 0

    @property
    def curve(self) -> Sequence[CurvePoint]:
        """The evaluations so far."""
        return self._curve

    def evaluated(self, val_loss: float) -> None:
        """Enter an evaluation."""
        self._curve.append(CurvePoint(self.steps, self.seconds, val_loss))

    def measured(self, metrics: Mapping[str, float]) -> None:
        """Enter the further metrics of a run that is over."""
        self._metrics = dict(metrics)

    def measurements(self) -> Measurements:
        """What has been measured so far."""
        ledger, curve = copy.deepcopy(self.ledger), tuple(self._curve)
        return Measurements(ledger, curve, tuple(self._decisions), dict(self._metrics))

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, as plain values."""
        return {
            **asdict(self.measurements()),
            "form": asdict(self._form),
            "form_since": self._form_since,
            "batches": dict(self._batches),
            "grown": list(self._grown),
            "averaged": [self._averaged, self._averaged_at],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from where ``state`` was taken."""
        self.ledger = built(Ledger, state["ledger"])
        self._form, self._form_since = Form(**state["form"]), state["form_since"]
        self._batches, self._grown = dict(state["batches"]), list(state["grown"])
        self._averaged, self._averaged_at = state["averaged"]
        # Once ledger, form and growth are there, from which it works out where the run stands.
        self._arrive()
        self._curve = [CurvePoint(**point) for point in state["curve"]]
        self._decisions = [Decision(**decision) for decision in state["decisions"]]
        self._metrics = dict(state["metrics"])


# Many arguments: the workload's numbers, the lever's, and where the run stands.
def wsd_factor(
    step: int,
    fraction: float,
    *,
    warmup_steps: int,
    decay_fraction: float,
    final: float = 0.0,
    decay: Decay = "linear",
) -> float:
    """The factor on the peak learning rate for the step after ``step`` steps, ``fraction`` of the
    horizon spent.

        (step + 1) / warmup_steps                while step < warmup_steps
        d((1 − fraction) / decay_fraction)       while fraction > 1 − decay_fraction
        1                                        otherwise

    with d(left) = left for a linear decay; see ``tuning.trial.decaying`` for others. With ``final``
    the decay ends there: final + (1 − final) · what it is without.
    Where warm-up and decay overlap (a very short horizon) the smaller holds.

    >>> [wsd_factor(s, 0.0, warmup_steps=4, decay_fraction=0.2) for s in (0, 3, 4)]
    [0.25, 1.0, 1.0]
    >>> [round(wsd_factor(9, f, warmup_steps=4, decay_fraction=0.2), 3) for f in (0.8, 0.9, 1.0)]
    [1.0, 0.5, 0.0]
    >>> wsd_factor(9, 1.0, warmup_steps=4, decay_fraction=0.2, final=0.1)
    0.1
    """
    warmup = (step + 1) / warmup_steps if step < warmup_steps else 1.0
    in_decay = decay_fraction > 0 and fraction > 1 - decay_fraction
    factor = factor_left(decay, max(0.0, 1 - fraction) / decay_fraction) if in_decay else 1.0
    return min(warmup, final + (1 - final) * factor, 1.0)
