"""What a search was asked to do, and everything that can be wrong with that."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from models.by_path import divided, is_path
from models.levers import optimizer
from policies.base import Scalar
from search_spaces.base import HORIZON, SearchSpace
from search_spaces.narrow import applied, narrow, unheeded
from tuning.config import option
from tuning.config.option import Rule, choice, is_finite, number, whole
from tuning.config.own import (
    declared_faults,
    ends,
    is_workload,
    known_as,
    name_faults_of,
    no_range,
    range_faults,
    space_for,
    without_range,
)
from tuning.config.resources import Machine, Resources, resource_faults, share
from tuning.config.spaces import is_own, longer, space_named
from tuning.elsewhere.place import places
from tuning.layout import RUN_JSON, no_text, resume_option, too_long

SAMPLERS = ("auto", "tpe", "gp", "nsga2", "random")
DRIVERS = ("ray", "serial")
OBJECTIVES = ("pareto", "time-to-quality")
CALIBRATE = "new"
"""Stands in place of the run whose clock is taken: the search calibrates a clock of its own."""
RUNGS = (0.0, 0.125, 0.25, 0.5)
"""The shares of a horizon that a rung may last; 0 stands for no rungs. The others are powers of
two, so that a horizon divided by one is exactly what was multiplied by it.
"""
MAX_SEED = 2**62 - 1
"""Further seeds are counted up from it, and every one must fit a column of 64 bits."""
FindWorkload = Callable[[str, Path | None], object]
"""(name, corpus) -> workload, raising ValueError: ``models.registry.find_workload``."""
_TEXT = Rule(
    lambda value: value is None or isinstance(value, str), "{name} must be text, but got {value!r}"
)
_TARGET = Rule(
    lambda value: value == "auto" or is_finite(value),
    "{name} must be a finite loss or auto, but got {value!r}",
)


@dataclass(frozen=True)
class SearchConfig:
    """Every option of a search, declared once; ``tuning.config.option`` says what follows from it.

    None means: chosen from the machine (resources), or without (the others). Options that have no
    flag:

    Attributes:
        knobs: ranges in place of the space's own, as ``search_spaces.narrow`` reads them.
        device_choices: knob -> the choices left of it, where the device or the model the search
            began with can not do all; found then (``tuning.session.search.fitted_to_device``),
            never given by the user, and kept by a resume.
        pretrained: whether the model comes with its weights: they are the same for every seed;
            found and kept likewise.
    """

    run: str = option.option(
        metavar="DIR",
        meaning="run directory to create",
        default_text="runs/<UTC time>-<workload>-<space>",
        rule=_TEXT,
    )
    workload: str = option.option(
        "byte_lm",
        metavar="W",
        meaning="what is trained: a built-in's name, package.module:factory or "
        "path/to/file.py:factory",
        identity=True,
    )
    space: str = option.option(
        "recipe",
        metavar="S",
        meaning="which knobs are searched: a search space's name, package.module:SPACE or "
        "path/to/file.py:SPACE",
        identity=True,
    )
    trials: int = option.option(
        32,
        metavar="N",
        meaning="trials in all, baselines included; a count",
        changes=True,
        **whole(1, text="a whole number {} >= 1"),
    )
    seed: int = option.option(
        0,
        metavar="K",
        meaning="seed of the sampler and of what is trained; a whole number",
        identity=True,
        **whole(0, MAX_SEED, text="a whole number 0 <= {} < 2**62"),
    )
    target: float | str = option.option(
        "auto",
        metavar="LOSS",
        meaning="value of the workload's metric, a validation loss say, that counts as reached, or "
        "auto: the median final one of full_update over seeds",
        identity=True,
        kind=float,
        rule=_TARGET,
    )
    sampler: str = option.option(
        "auto",
        metavar="NAME",
        meaning="tpe, gp, nsga2, random, or auto: gp where a trial takes much longer than one of "
        "its asks, else tpe",
        identity=True,
        **choice(*SAMPLERS),
    )
    warm_start: str | None = option.option(
        None,
        metavar="RUN",
        meaning="directory of another run, of any workload or device, whose finished trials the "
        "sampler is to know; they do not become trials of this search",
        default_text="none",
        identity=True,
        rule=_TEXT,
    )
    clock: str | None = option.option(
        None,
        metavar="RUN",
        meaning="directory of another run, of the same workload, device and threads, whose "
        "calibrated clock this search takes: it does not calibrate, and the seconds of both "
        f"compare; or {CALIBRATE}: it calibrates",
        default_text="that of the newest run beside this one of which it holds, else calibrate",
        identity=True,
        rule=_TEXT,
    )
    replicates: float = option.option(
        0.1,
        metavar="SHARE",
        meaning="share of the trials after the baselines that re-run members of the front on other "
        "seeds, to tell luck from merit; a fraction from 0 (none) to 0.5",
        identity=True,
        **number(lambda v: 0 <= v <= 0.5, text="a share 0 <= {} <= 0.5"),
    )
    stop_confidence: float | None = option.option(
        0.95,
        metavar="P",
        meaning="stop a trial that cannot reach the front any more; the probability that one which "
        "would is not stopped, above 0 and below 1",
        identity=True,
        **number(lambda v: 0 < v < 1, text="a number 0 < {} < 1", optional=True),
    )
    rung: float = option.option(
        0.0,
        metavar="SHARE",
        meaning="share of its horizon for which a recipe that is sampled is trained first, to see "
        "whether it is worth the rest: 0.5, 0.25, 0.125, or 0 to train each to its end at once; "
        "with the objective time-to-quality only",
        identity=True,
        **number(lambda v: v in RUNGS, text="a share {} of 0, 0.125, 0.25 or 0.5"),
    )
    longer: float = option.option(
        1.0,
        metavar="FACTOR",
        meaning="how many times the space's own the horizons are that are searched: 2 for recipes "
        "of twice the time, 0.5 for those of half",
        identity=True,
        **number(lambda v: v > 0, text="a number {} > 0"),
    )
    concurrency: int | None = option.option(
        None,
        metavar="N",
        meaning="trials at once; a count",
        default_text="on one GPU as many as measuring shows to pay, 8 at most; else as many as the "
        "cores or GPUs hold",
        changes=True,
        **whole(1, text="a whole number {} >= 1", optional=True),
    )
    gpus_per_trial: float | None = option.option(
        None,
        metavar="F",
        meaning="GPUs of a trial; a fraction or a count",
        default_text="on one GPU as --concurrency finds, on several 0.25, else 0",
        changes=True,
        **number(
            lambda v: v >= 0 and (v < 1 or v == int(v)),
            text="a number 0 <= {} < 1 or a whole number of GPUs",
            optional=True,
        ),
    )
    cpus_per_trial: float | None = option.option(
        None,
        metavar="F",
        meaning="cores of a trial; a fraction or a count, rounded down to its threads",
        default_text="1, less where more trials run at once than there are cores",
        changes=True,
        **number(lambda v: v > 0, text="a finite number {} > 0", optional=True),
    )
    time_budget: float | None = option.option(
        None,
        metavar="SECONDS",
        meaning="stop after so many wall seconds and save the trials in flight",
        default_text="no limit",
        changes=True,
        **number(lambda v: v > 0, text="a finite number of seconds {} > 0", optional=True),
    )
    driver: str = option.option(
        "ray",
        metavar="NAME",
        meaning="ray, or serial: one process, for debugging",
        changes=True,
        **choice(*DRIVERS),
    )
    address: str | None = option.option(
        None,
        metavar="ADDR",
        meaning="address of a Ray cluster to join",
        default_text="this machine alone",
        changes=True,
        rule=_TEXT,
    )
    forks: bool = option.option(
        True, metavar=None, meaning="whether trials start from the trunk; --no-forks: they do not"
    )
    corpus: str | None = option.option(
        None,
        metavar="DIR",
        meaning="directory of text to train on",
        default_text="the workload's own",
        identity=True,
        rule=_TEXT,
    )
    objective: str = option.option(
        "time-to-quality",
        metavar="NAME",
        meaning="time-to-quality: the own control's seconds at a trial's loss over its seconds; or "
        "pareto: seconds against loss",
        identity=True,
        **choice(*OBJECTIVES),
    )
    log: str | None = option.option(
        None,
        metavar="KIND:WHERE",
        meaning="tell every trial elsewhere too when it ends: tensorboard:DIR, mlflow:sqlite:///"
        "FILE, wandb:PROJECT, optuna:sqlite:///FILE or csv:FILE; several with commas between",
        default_text="nowhere",
        changes=True,
        rule=_TEXT,
    )
    knobs: Mapping[str, Any] = field(
        default_factory=dict,
        metadata={"option": option.Option("ranges of the space's knobs", None, identity=True)},
    )
    device_choices: Mapping[str, list[Scalar]] = field(
        default_factory=dict,
        metadata={"option": option.Option("what the device left of them", None, identity=True)},
    )
    pretrained: bool = field(
        default=False,
        metadata={"option": option.Option("whether the weights are given", None, identity=True)},
    )

    def __post_init__(self) -> None:
        """Make paths in ``workload`` and ``space`` absolute, since other processes may work in
        another directory, and replace a workload given as an object by the name under which they
        find it.

        Raises:
            ValueError: it cannot be pickled.
        """
        if not isinstance(self.workload, str) and is_workload(self.workload):
            object.__setattr__(self, "workload", known_as(self.workload))
        for name in ("workload", "space"):
            value = getattr(self, name)
            if isinstance(value, str) and is_path(value):
                path, inside = divided(value)
                object.__setattr__(self, name, f"{path.absolute()}:{inside}")

    def to_json(self) -> dict[str, Any]:
        """The configuration as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchConfig:
        """The inverse of ``to_json``.

        Raises:
            TypeError: an option that this version does not have.
        """
        return cls(**data)

    def search_space(self) -> SearchSpace:
        """The space with the workload's own knobs, this search's own ranges, less what the device
        could not do when it began.

        Raises:
            ValueError: there is no such space.
        """
        space = applied(self._space(), self._overrides)[0]
        return space.for_pretrained() if self.pretrained else space

    def _space(self) -> SearchSpace:
        """The space with the workload's own knobs and the horizons asked for, before any of the
        user's ranges.
        """
        space = space_for(space_named(self.space), self.workload)
        return longer(space, self.longer) if is_finite(self.longer) else space

    def resources(self, machine: Machine) -> Resources:
        """What each trial has, on ``machine``."""
        return share(machine, self.concurrency, self.cpus_per_trial, self.gpus_per_trial)

    def faults(
        self,
        machine: Machine | None = None,
        find_workload: FindWorkload | None = None,
        *,
        resuming: bool = False,
        replacing: bool = False,
    ) -> list[str]:
        """Every fault of the configuration, except those that another run has to be read for.

        Args:
            machine: what trials may use; this machine if None.
            find_workload: (name, corpus) -> workload, raising ValueError; ``models.registry``'s if
                None.
            resuming: the run exists, as it should, and goes on with what it began with.
            replacing: the run directory exists, and a new search takes its place.
        """
        rules = option.faults(self)
        if strange := _bytes_faults(self):
            return [*strange, *rules]
        there = resuming or replacing or not isinstance(self.run, str)
        faults = [] if there else _run_faults(Path(self.run))
        faults += _workload_faults(self, find_workload)
        faults += self.space_faults()
        if not (faults or resuming):
            faults += unheeded(self._space(), self.knobs) or self._faults_at_ends()
        faults += rules
        if not resuming:
            faults += _without_effect(self)
        if isinstance(self.log, str):
            faults += [fault for place in places(self.log) for fault in place.faults("--log")]
        if not rules and self.address is None:
            machine = machine or Machine.here()
            faults += resource_faults(
                machine, self.concurrency, self.cpus_per_trial, self.gpus_per_trial
            )
        return faults

    def space_faults(self) -> list[str]:
        """Faults of the space's name and of the ranges given for its knobs."""
        if not isinstance(self.space, str):
            return [f"space must be a name, but got {self.space!r}"]
        if not isinstance(self.knobs, Mapping):
            return [f"knobs must be a table, but got {self.knobs!r}"]
        try:
            space = self._space()
        except ValueError as error:
            return [str(error)]
        faults = name_faults_of(self.workload) + self._horizon_faults()
        if self._is_known(space):
            return faults
        wanted = without_range(space, self.workload, self._overrides)
        given = {name: value for name, value in self._overrides.items() if name not in wanted}
        narrowed, found = narrow(space, given)
        faults += map(no_range, wanted)
        return [*faults, *found, *range_faults(narrowed, self.workload)]

    def _horizon_faults(self) -> list[str]:
        """The fault of asking for horizons in two ways."""
        if self.longer == 1 or HORIZON not in self.knobs:
            return []
        return [
            f"one of --longer and [knobs] {HORIZON} must be given, but got both "
            f"({self.longer!r}, {self.knobs[HORIZON]!r})"
        ]

    def _is_known(self, space: SearchSpace) -> bool:
        """Whether ``space`` is an embedded one, which is known to be sound, or such a one less some
        of its choices: every point that is left is a point of the embedded one. Checking again
        would take seconds.
        """
        if self.knobs or is_own(self.space):
            return False
        values = {k.name: k.values() for k in space.knobs}
        return all(
            name in values and set(choices) <= set(values[name])
            for name, choices in self.device_choices.items()
        )

    def _faults_at_ends(self) -> list[str]:
        """Faults of the workload with each of its own knobs at each end of its range."""
        return [
            fault
            for own in ends(self.search_space())
            for fault in declared_faults(self.workload, self.corpus, own)
        ]

    @property
    def _overrides(self) -> dict[str, object]:
        left = {
            name: choices[0] if name in optimizer.NUMBERS else {"choices": choices}
            for name, choices in self.device_choices.items()
        }
        return {**self.knobs, **left}


def default_run(now: datetime, workload: str, space: str) -> str:
    """``runs/<UTC time>-<workload>-<space>``; characters that do not belong in a path become
    dashes.
    """
    whole = (workload, space)
    short = "-".join(divided(name)[0].stem if is_path(name) else name for name in whole)
    name = f"{now:%Y%m%dT%H%M%SZ}-{short}"
    return str(Path("runs") / re.sub(r"[^A-Za-z0-9._-]+", "-", name))


def _without_effect(config: SearchConfig) -> list[str]:
    """The fault of an option that another one leaves without effect."""
    if not (config.objective == "pareto" and config.rung in RUNGS and config.rung):
        return []
    return [
        "rung must come with the objective time-to-quality, but got "
        f"{config.rung!r} with pareto: leave one of them out"
    ]


def _bytes_faults(config: SearchConfig) -> list[str]:
    """Faults of names whose bytes are not valid UTF-8, which no record can hold."""
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return [
        f"{name} must be a name in UTF-8, but got {value!r}: rename it, or use a link to it"
        for name, value in values.items()
        if isinstance(value, str) and no_text(value)
    ]


def _run_faults(run: Path) -> list[str]:
    if too_long(run / RUN_JSON):
        return [f"run must be a name that the file system takes, but {run} is too long: shorten it"]
    if run.is_symlink() or run.exists():
        advice = (
            f"to go on with that search: {resume_option(run)}"
            if (run / RUN_JSON).is_file()
            else "choose another"
        )
        return [f"the run directory must not exist yet, but {run} does: {advice}"]
    parent = next(p for p in [*run.absolute().parents] if p.exists())
    if not parent.is_dir():
        return [f"a run directory must lie in a directory, but {parent} is a file"]
    if not os.access(parent, os.W_OK | os.X_OK):
        return [
            f"the run directory's parent must be writable, but {parent} is not: choose another "
            "with --run"
        ]
    return []


def _workload_faults(config: SearchConfig, find: FindWorkload | None) -> list[str]:
    if not isinstance(config.workload, str):
        return [f"workload must be a name, but got {config.workload!r}"]
    if not isinstance(config.corpus, (str, type(None))):
        return []  # its own rule names it
    if find is None:
        from models.registry import find_workload

        find = find_workload
    try:
        find(config.workload, None if config.corpus is None else Path(config.corpus))
    except ValueError as error:
        return [str(error)]
    return []
