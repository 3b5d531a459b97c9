"""What a run directory says of itself: the content of RUN/run.json."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from tuning.errors import BadInput
from tuning.trial.built import built
from tuning.trial.clock import CostTable
from tuning.trial.metric import LOSS, Metric
from tuning.trial.soundness import Soundness
from tuning.trial.trial import is_a_confirmations

SCHEMA_VERSION = 1
"""The version of run.json and of the trials' columns. It is raised when a column changes its
meaning or a new one is required.
"""

KnobKind = Literal["float", "int", "bool", "str"]
KNOB_KINDS: tuple[KnobKind, ...] = get_args(KnobKind)


@dataclass(frozen=True)
class Target:
    """The loss that counts as reached, and where it comes from.

    Attributes:
        loss: the target itself.
        seeds: the seeds of the full-update runs it was taken from; empty where the user gave it.
        losses: their final losses, in the order of ``seeds``.
        seed: the seed whose loss is the target; None where the user gave it.
    """

    loss: float
    seeds: tuple[int, ...] = ()
    losses: tuple[float, ...] = ()
    seed: int | None = None


@dataclass(frozen=True)
class SamplerChoice:
    """Which sampler a run has. It does not change.

    Attributes:
        name: one of ``tuning.config.config.SAMPLERS``, but not auto.
        reason: why, for a reader.
        ask_seconds: what an ask of the Gaussian process took when it was measured; None where it
            was not.
        trial_seconds: how often a trial was expected to end; None where that did not matter.
    """

    name: str
    reason: str
    ask_seconds: float | None = None
    trial_seconds: float | None = None


@dataclass(frozen=True)
class Memory:
    """A GPU's memory as it was when the clock was calibrated.

    Attributes:
        free_bytes: what trials can have of it, all together.
        trial_bytes: the most that training full steps took.
    """

    free_bytes: int
    trial_bytes: int


@dataclass(frozen=True)
class AtOnce:
    """How many trials run at once where that was not asked for, and why. The number changes while
    it is being found.
    """

    trials: int
    reason: str


@dataclass(frozen=True)
class RunInfo:
    """A run's own description, fixed when it starts but for what is found out later, from
    ``calibration`` on.

    Attributes:
        version: the project's version that started the run.
        created_at: aware, UTC.
        config: the search's settings, JSON values.
        knob_columns: every knob of the space and of the baselines' policies, name -> float | int |
            bool | str. Fixed for the run, so that every Parquet file has the same columns.
        space_fingerprint: identifies the search space.
        workload_fingerprint: identifies the workload and its data.
        versions: of python, torch, ray and the like, for the reader.
        device: the device's name as reported in records.
        calibration: the clock's cost table; None until measured.
        target: None until determined.
        sampler: None until chosen, before the first trial.
        refused_forms: forms of the model that could not be calibrated, by ``Form.key``, and why.
        timed_again: forms by which confirmations are charged in place of the calibration's; see
            ``tuning.training.clock_tasks.time_again``.
        clock_from: the run whose clock was taken unasked, as long as nothing speaks against it.
        timing_seconds: wall seconds for which the search kept a device for its clock alone.
        memory: of the GPU; None where there is none.
        at_once: how many trials run at once; None where that was asked for.
        metric: what the workload's evaluation measures, and in which direction it is better.
        metrics: names of its further metrics, each a column of the trials. Fixed as the knobs are.
        identity: what the workload's results depend on beside its data, as
            ``models.identity.identity_of`` gives it; None in runs of older versions.
        soundness: what was found about the workload before the clock was set; None until then, and
            in runs of older versions.
        own_knobs: names of the workload's own knobs among ``knob_columns``.
        importance: of each knob its share in what the best trials have in common; see
            ``tuning.study.samplers.importance``.
    """

    version: str
    created_at: datetime
    config: Mapping[str, Any]
    knob_columns: Mapping[str, KnobKind]
    space_fingerprint: str = ""
    workload_fingerprint: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    calibration: CostTable | None = None
    target: Target | None = None
    sampler: SamplerChoice | None = None
    refused_forms: Mapping[str, str] = field(default_factory=dict)
    timed_again: Mapping[str, CostTable] = field(default_factory=dict)
    clock_from: str = ""
    timing_seconds: float = 0.0
    memory: Memory | None = None
    at_once: AtOnce | None = None
    metric: Metric = LOSS
    metrics: tuple[str, ...] = ()
    identity: Mapping[str, Any] | None = None
    soundness: Soundness | None = None
    own_knobs: tuple[str, ...] = ()
    importance: Mapping[str, float] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        """Refuse knob kinds that no column can have, and a time without a zone."""
        wrong = {name: kind for name, kind in self.knob_columns.items() if kind not in KNOB_KINDS}
        if wrong:
            raise ValueError(f"a knob column must be one of {list(KNOB_KINDS)}, but got {wrong}")
        if self.created_at.tzinfo is None:
            raise ValueError(f"created_at must have a time zone, but got {self.created_at!r}")

    def to_json(self) -> str:
        """The description as JSON text, the inverse of ``from_json``."""
        data = dataclasses.asdict(self) | {"created_at": self.created_at.isoformat()}
        return json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> RunInfo:
        """The description that ``to_json`` wrote.

        Raises:
            BadInput: the text is not such a description, or one of a schema that this version does
                not read.
        """
        try:
            data = json.loads(text, parse_float=_finite, parse_constant=_finite)
            schema = int(data["schema_version"])
        except (ValueError, TypeError, KeyError) as error:
            raise BadInput(
                f"run.json must describe a run, but reading it failed: {error!r}"
            ) from None
        if schema != SCHEMA_VERSION:
            raise BadInput(_schema_message(schema, str(data.get("version"))))
        try:
            return built(cls, data)
        except ValueError as error:
            raise BadInput(
                f"run.json must describe a run, but reading it failed: {error}"
            ) from None

    def facts(self) -> dict[str, Any]:
        """What a reader is shown: every field but the identity, with the soundness in words."""
        facts = {
            name: each for name, each in dataclasses.asdict(self).items() if name != "identity"
        }
        if self.soundness is not None:
            facts["soundness"] = self.soundness.warnings or "every rule was kept"
        return facts

    def clock_of(self, origin: str, seed: int) -> CostTable | None:
        """The cost table by which a trial of this origin and seed is charged; None until
        calibrated.
        """
        costs = self.calibration
        if costs is None or not is_a_confirmations(origin, seed, self.config.get("seed", 0)):
            return costs
        again = {name: _over(costs.forms.get(name), it) for name, it in self.timed_again.items()}
        return dataclasses.replace(costs, forms={**costs.forms, **again})

    @property
    def forks(self) -> bool:
        """Whether trials share snapshots: that is asked for, and the workload allows it."""
        return bool(self.config["forks"]) and self.goes_on

    @property
    def goes_on(self) -> bool:
        """Whether a trial that was stopped goes on where it was; otherwise it begins anew."""
        return self.soundness is None or self.soundness.forks

    def require_version(self, version: str) -> None:
        """Refuse to go on with a run of another version of the project; reading it is fine.

        Raises:
            BadInput: the versions differ.
        """
        if self.version != version:
            raise BadInput(
                f"a run is resumed by the version that started it ({self.version}), but this is "
                f"{version}; "
                f"install {self.version} to go on with it, or start a new run"
            )


def _over(before: CostTable | None, again: CostTable) -> CostTable:
    """The table of what was timed again, with the forms of ``before`` that were not."""
    known = {} if before is None else before.forms
    return dataclasses.replace(again, forms={**known, **again.forms})


def _finite(number: str) -> float:
    """A number of run.json, into which only finite ones are written."""
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"a finite number must hold, but got {number}")
    return value


def _schema_message(schema: int, version: str) -> str:
    age = "newer" if schema > SCHEMA_VERSION else "older"
    return (
        f"run.json must have schema_version {SCHEMA_VERSION}, but got {schema}: the run was "
        f"written by a {age} "
        f"version of this project ({version}); read it with that version"
    )


HEADROOM = 1.25
"""A trial is expected to need so many times the memory of a full step, because other forms of the
model take more.
"""


def that_fit(memory: Memory) -> int:
    """How many trials the device's memory holds, at least the one that was measured.

    >>> that_fit(Memory(free_bytes=24 * 2**30, trial_bytes=4 * 2**30))
    4
    """
    return max(1, math.floor(memory.free_bytes / (HEADROOM * memory.trial_bytes)))


def memory_share(info: RunInfo) -> float:
    """The share of a GPU's memory that a trial may take; 0 where there is no GPU."""
    resources = info.config["resources"]
    if resources.get("fills") and info.memory is not None:
        return 1 / min(int(resources["concurrency"]), that_fit(info.memory))
    return float(resources["gpus_per_trial"])
