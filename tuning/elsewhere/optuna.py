"""Studies in an Optuna storage, which optuna-dashboard opens: ``sqlite:///FILE``.

Two of them, because Optuna shows learning curves of studies with one value alone: ``NAME`` has the
metric with its curves, ``NAME: seconds and metric`` the two values of the front.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from search_spaces.knobs import Choice, Float, Int, Knob
from tuning.elsewhere.destination import Destination, Source, curve_of, numbers_of
from tuning.trial.trial import ASIDE, Scalar, TrialRecord

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution

NUMBER = "number"
"""The attribute of an Optuna trial that holds its number in the run: trials need not end in
order.
"""


class OptunaStudy(Destination):
    """A study whose trials have the run's distributions, values, states and curves."""

    package: ClassVar[str] = "optuna"
    meaning: ClassVar[str] = "a storage, sqlite:///FILE"

    def __init__(self, where: str, source: Source) -> None:
        import optuna

        self._source, metric = source, source.metric
        storage = optuna.storages.get_storage(where)
        ways = optuna.study.StudyDirection
        quality = ways.MAXIMIZE if metric.maximize else ways.MINIMIZE
        both = f"{source.name}: seconds and {metric.short}"
        self._studies = {
            name: optuna.create_study(
                storage=storage, study_name=name, directions=directions, load_if_exists=True
            )
            for name, directions in ((source.name, [quality]), (both, [ways.MINIMIZE, quality]))
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names of values are experimental in Optuna
            self._studies[source.name].set_metric_names([metric.name])
            self._studies[both].set_metric_names(["train_seconds", metric.name])
        self._known = {
            name: {trial.user_attrs.get(NUMBER) for trial in study.get_trials(deepcopy=False)}
            for name, study in self._studies.items()
        }

    def tell(self, record: TrialRecord) -> None:
        """Add the trial to both studies, unless it is there already."""
        quality = None if record.val_loss is None else self._source.metric.of(record.val_loss)
        for name, study in self._studies.items():
            if record.number not in self._known[name]:
                values = [quality] if name == self._source.name else [record.train_seconds, quality]
                study.add_trial(self._trial(record, values))

    def _trial(self, record: TrialRecord, values: list[Any]) -> optuna.trial.FrozenTrial:
        import optuna

        state = _state(record, values)
        params, others = self._params(record)
        over = state == optuna.trial.TrialState.COMPLETE
        trial = optuna.trial.create_trial(
            state=state,
            values=values if over else None,
            params={name: value for name, (value, _) in params.items()},
            distributions={name: range_ for name, (_, range_) in params.items()},
            user_attrs={
                NUMBER: record.number,
                "origin": record.origin,
                "policy": record.recipe.policy,
                "seed": record.seed,
                "error": record.error,
                **numbers_of(record, self._source.metric),
                **others,
            },
            intermediate_values={
                step: value for step, _, value in curve_of(record, self._source.metric)
            },
        )
        trial.datetime_start, trial.datetime_complete = map(
            _local, (record.started_at, record.finished_at)
        )
        return trial

    def _params(
        self, record: TrialRecord
    ) -> tuple[dict[str, tuple[Scalar, BaseDistribution]], dict[str, Scalar]]:
        """The trial's values with their distributions, and the values that the space has no range
        for.
        """
        space, recipe = self._source.space, record.recipe
        settings = {"policy": recipe.policy, "horizon": recipe.horizon, **recipe.knobs}
        knobs = {} if space is None else {knob.name: knob for knob in space.searched}
        made = {
            name: (value, distribution(knobs[name], value))
            for name, value in settings.items()
            if name in knobs
        }
        known = {name: (value, found) for name, (value, found) in made.items() if found is not None}
        return known, {name: value for name, value in settings.items() if name not in known}


def _state(record: TrialRecord, values: list[Any]) -> optuna.trial.TrialState:
    import optuna

    states = optuna.trial.TrialState
    if record.state == "stopped":
        return states.PRUNED
    if record.state != "finished" or None in values:
        return states.FAIL
    # As complete trials, rungs and runs on other seeds could become the study's best trial.
    return states.PRUNED if record.origin in ASIDE else states.COMPLETE


def distribution(knob: Knob, value: Scalar) -> BaseDistribution | None:
    """A knob's range, widened where a baseline's value lies outside; None where no range holds it.

    An Optuna distribution of choices is the same in all of a study's trials, so it is not widened.
    """
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(knob, Choice):
        return CategoricalDistribution(knob.choices) if value in knob.choices else None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    if isinstance(knob, Int) and isinstance(value, int):
        return IntDistribution(min(knob.low, value), max(knob.high, value), log=knob.log)
    if isinstance(knob, Float) and (value > 0 or not knob.log):
        return FloatDistribution(min(knob.low, value), max(knob.high, value), log=knob.log)
    return None


def _local(time: datetime) -> datetime:
    """The time as Optuna keeps it: in this machine's time zone, and without one."""
    return time.astimezone(UTC).astimezone().replace(tzinfo=None)


DESTINATION = OptunaStudy
