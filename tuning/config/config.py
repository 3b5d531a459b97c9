"""What a search was asked to do, and everything that can be wrong with that."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from policies.base import Scalar
from search_spaces.base import SearchSpace
from search_spaces.narrow import applied, narrow
from search_spaces.registry import find_space
from tuning.config.resources import Machine, Resources, resource_faults, share
from tuning.errors import BadInput

SAMPLERS = ("auto", "tpe", "gp", "nsga2", "random")
DRIVERS = ("ray", "serial")
OBJECTIVES = ("pareto", "time-to-quality")
IDENTITY = (
    "workload",
    "corpus",
    "space",
    "knobs",
    "device_choices",
    "seed",
    "target",
    "sampler",
    "warm_start",
    "clock",
    "objective",
    "replicates",
    "stop_confidence",
)
RUN_FILE = "run.json"
MAX_SEED = 2**62 - 1
"""Further seeds are counted up from it, and every one must fit a column of 64 bits."""


FindWorkload = Callable[[str, Path | None], object]
"""(name, corpus) -> workload, raising ValueError: ``models.registry.find_workload``."""


@dataclass(frozen=True)
class SearchConfig:
    """Every option of a search. None means: chosen from the machine (resources), or without (the
    others).

    Attributes:
        run: the run directory, to be created.
        workload: a built-in's name or ``package.module:factory``.
        space: a search space's name.
        trials: rows the search ends with, baselines included.
        seed: of the sampler, and of the trials' weights and batches.
        target: the loss that counts as reached, or ``auto``.
        warm_start: directory of another run, whose trials the sampler is to know.
        clock: directory of another run, whose calibrated clock is taken; None: one is calibrated.
        concurrency: trials at once.
        gpus_per_trial, cpus_per_trial: shares of a trial; fractions are allowed.
        replicates: share of the trials after the baselines that re-run members of the front on
            other seeds.
        stop_confidence: that a trial which would reach the front is not stopped early; None: none
            is.
        time_budget: wall seconds after which the search stops and saves the trials in flight.
        address: of a Ray cluster to join.
        forks: whether trials start from the trunk.
        corpus: directory of text in place of the workload's own.
        knobs: ranges in place of the space's own, as ``search_spaces.narrow`` reads them.
        device_choices: knob -> the choices left of it, where the device or the model the search
            began with can not do all; found then (``tuning.session.search.fitted_to_device``),
            never given by the user, and kept by a resume.
    """

    run: str
    workload: str = "byte_lm"
    space: str = "dynamic_suffix"
    trials: int = 32
    seed: int = 0
    target: float | str = "auto"
    sampler: str = "auto"
    warm_start: str | None = None
    clock: str | None = None
    replicates: float = 0.1
    stop_confidence: float | None = 0.95
    concurrency: int | None = None
    gpus_per_trial: float | None = None
    cpus_per_trial: float | None = None
    time_budget: float | None = None
    driver: str = "ray"
    address: str | None = None
    forks: bool = True
    corpus: str | None = None
    objective: str = "pareto"
    knobs: Mapping[str, Any] = field(default_factory=dict)
    device_choices: Mapping[str, list[Scalar]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchConfig:
        """The inverse of ``to_json``.

        Raises:
            TypeError: an option that this version does not have.
        """
        return cls(**data)

    def search_space(self) -> SearchSpace:
        """The space with this search's own ranges, less what the device could not do when it began.

        Raises:
            ValueError: there is no such space.
        """
        return applied(find_space(self.space), self._overrides)[0]

    def resources(self, machine: Machine) -> Resources:
        """What each trial has, on ``machine``."""
        return share(machine, self.concurrency, self.cpus_per_trial, self.gpus_per_trial)

    def faults(
        self,
        machine: Machine | None = None,
        find_workload: FindWorkload | None = None,
        *,
        resuming: bool = False,
    ) -> list[str]:
        """Every fault, in the order of the command line's flags. A resumed run's directory is not
        checked.

        Args:
            machine: what trials may use; this machine if None.
            find_workload: (name, corpus) -> workload, raising ValueError; ``models.registry``'s if
                None.
            resuming: the run directory exists, as it should.
        """
        numbers = _number_faults(self)
        faults = [] if resuming else _run_faults(Path(self.run))
        faults += _workload_faults(self, find_workload)
        faults += self.space_faults()
        faults += numbers
        faults += _choice_faults(self)
        if not numbers and self.address is None:
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
            space = find_space(self.space)
        except ValueError as error:
            return [str(error)]
        return narrow(space, self._overrides)[1]

    @property
    def _overrides(self) -> dict[str, object]:
        left = {name: {"choices": choices} for name, choices in self.device_choices.items()}
        return {**self.knobs, **left}


def differences(
    old: SearchConfig, new: SearchConfig, data: Iterable[tuple[str, str, str]] = ()
) -> list[str]:
    """What keeps ``new`` from going on with a run made by ``old``; empty where nothing does.

    Args:
        old: as stored with the run.
        new: as asked for now.
        data: further things that must not change, each (name, old, new): fingerprints of the corpus
            and of the space.
    """
    compared = [(name, getattr(old, name), getattr(new, name)) for name in IDENTITY]
    return [
        f"a resumed search must keep its {name}, which was {before!r}, but got {after!r}: "
        "leave it out, or start a new run"
        for name, before, after in [*compared, *data]
        if before != after
    ]


def default_run(now: datetime, workload: str, space: str) -> str:
    """``runs/<UTC time>-<workload>-<space>``, with characters that a path should not have made
    dashes.
    """
    name = f"{now:%Y%m%dT%H%M%SZ}-{workload}-{space}"
    return str(Path("runs") / re.sub(r"[^A-Za-z0-9._-]+", "-", name))


def _run_faults(run: Path) -> list[str]:
    if run.is_symlink() or run.exists():
        advice = (
            f"to go on with that search: --resume {run}"
            if (run / RUN_FILE).is_file()
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
    if find is None:
        from models.registry import find_workload

        find = find_workload
    try:
        find(config.workload, None if config.corpus is None else Path(config.corpus))
    except ValueError as error:
        return [str(error)]
    return []


def _choice_faults(config: SearchConfig) -> list[str]:
    allowed = {"sampler": SAMPLERS, "driver": DRIVERS, "objective": OBJECTIVES}
    return [
        f"{name} must be one of {', '.join(choices)}, but got {getattr(config, name)!r}"
        for name, choices in allowed.items()
        if getattr(config, name) not in choices
    ]


def _number_faults(config: SearchConfig) -> list[str]:
    faults = []
    for name, rule in NUMBERS.items():
        value = getattr(config, name)
        if not (value is None and rule.optional) and not rule.holds(value):
            faults.append(
                f"{rule.text.format(name.replace('_', '-'))} must hold, but got {value!r}"
            )
    if not (config.target == "auto" or _is_finite(config.target)):
        faults.append(f"target must be a finite loss or auto, but got {config.target!r}")
    return faults


@dataclass(frozen=True)
class _Rule:
    """What a number must keep: ``text`` with its name at ``{}``, and ``holds``."""

    text: str
    holds: Callable[[Any], bool]
    optional: bool = False


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


NUMBERS = {
    "trials": _Rule("a whole number {} >= 1", lambda v: _is_whole(v) and v >= 1),
    "seed": _Rule("a whole number 0 <= {} < 2**62", lambda v: _is_whole(v) and 0 <= v <= MAX_SEED),
    "replicates": _Rule("a share 0 <= {} <= 0.5", lambda v: _is_finite(v) and 0 <= v <= 0.5),
    "stop_confidence": _Rule(
        "a number 0 < {} < 1", lambda v: _is_finite(v) and 0 < v < 1, optional=True
    ),
    "concurrency": _Rule(
        "a whole number {} >= 1", lambda v: _is_whole(v) and v >= 1, optional=True
    ),
    "gpus_per_trial": _Rule(
        "a number 0 <= {} < 1 or a whole number of GPUs",
        lambda v: _is_finite(v) and v >= 0 and (v < 1 or v == int(v)),
        optional=True,
    ),
    "cpus_per_trial": _Rule(
        "a finite number {} > 0", lambda v: _is_finite(v) and v > 0, optional=True
    ),
    "time_budget": _Rule(
        "a finite number of seconds {} > 0", lambda v: _is_finite(v) and v > 0, optional=True
    ),
}


CHANGEABLE = (
    "trials",
    "concurrency",
    "gpus_per_trial",
    "cpus_per_trial",
    "time_budget",
    "driver",
    "address",
)


@dataclass(frozen=True)
class Resume:
    """A search to go on with.

    Attributes:
        run: its directory.
        changes: options it is to have from now on; only ``CHANGEABLE`` ones.
        given: the other options given, which must agree with those the run was made with.
        retry_failed: whether its failed trials run again.
    """

    run: Path
    changes: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    retry_failed: bool = False


def resumed(old: SearchConfig, request: Resume, machine: Machine | None = None) -> SearchConfig:
    """The configuration with which a run made by ``old`` goes on.

    Raises:
        BadInput: names each difference from the run, and every fault of what is to change.
    """
    new = dataclasses.replace(old, **{**request.changes, **request.given})
    faults = differences(old, new)
    faults += dataclasses.replace(old, **request.changes).faults(machine, _unchecked, resuming=True)
    if faults:
        raise BadInput(faults)
    return new


def _unchecked(name: str, corpus: Path | None) -> None:
    """A resumed run's workload is compared with the stored one, not looked up again."""


@dataclass(frozen=True)
class Flag:
    """One option: its name in Python and TOML, the word for its value, its help with unit and
    default.
    """

    name: str
    metavar: str | None
    help: str

    @property
    def option(self) -> str:
        """As written on the command line."""
        return "--" + self.name.replace("_", "-")


FLAGS = (
    Flag("run", "DIR", "run directory to create (default: runs/<UTC time>-<workload>-<space>)"),
    Flag(
        "resume",
        "DIR",
        "go on with the search in DIR; more --trials extend it (default: a new search)",
    ),
    Flag(
        "retry_failed",
        None,
        "with --resume: run the failed trials again (default: leave them as they are)",
    ),
    Flag(
        "workload",
        "W",
        "what is trained: a built-in's name or package.module:factory (default: byte_lm)",
    ),
    Flag("space", "S", "which knobs are searched: a search space's name (default: dynamic_suffix)"),
    Flag("trials", "N", "trials in all, baselines included; a count (default: 32)"),
    Flag("seed", "K", "seed of the sampler and of what is trained; a whole number (default: 0)"),
    Flag(
        "target",
        "LOSS",
        "validation loss that counts as reached, in the workload's unit, or auto: the median final "
        "loss of "
        "full_update over seeds (default: auto)",
    ),
    Flag(
        "sampler",
        "NAME",
        "tpe, gp, nsga2, random, or auto: gp where a trial takes much longer than one of its asks, "
        "else tpe "
        "(default: auto)",
    ),
    Flag(
        "warm_start",
        "RUN",
        "directory of another run, of any workload or device, whose finished trials the sampler is "
        "to know; they do "
        "not become trials of this search (default: none)",
    ),
    Flag(
        "clock",
        "RUN",
        "directory of another run, of the same workload, device and threads, whose calibrated "
        "clock this search takes: "
        "it does not calibrate, and the seconds of both compare (default: calibrate)",
    ),
    Flag(
        "replicates",
        "SHARE",
        "share of the trials after the baselines that re-run members of the front on other seeds, "
        "to tell luck from "
        "merit; a fraction from 0 (none) to 0.5 (default: 0.1)",
    ),
    Flag(
        "stop_confidence",
        "P",
        "stop a trial that cannot reach the front any more; the probability that one which would "
        "is not stopped, "
        "above 0 and below 1 (default: 0.95)",
    ),
    Flag(
        "no_stopping",
        None,
        "train every trial to its horizon (default: stop as --stop-confidence says)",
    ),
    Flag(
        "concurrency",
        "N",
        "trials at once; a count (default: on one GPU as many as measuring shows to pay, 8 at "
        "most; else as many as "
        "the cores or GPUs hold)",
    ),
    Flag(
        "gpus_per_trial",
        "F",
        "GPUs of a trial; a fraction or a count (default: on one GPU as --concurrency finds, on "
        "several 0.25, else 0)",
    ),
    Flag(
        "cpus_per_trial",
        "F",
        "cores of a trial; a fraction or a count, rounded down to its threads (default: 1, less "
        "where more "
        "trials run at once than there are cores)",
    ),
    Flag(
        "time_budget",
        "SECONDS",
        "stop after so many wall seconds and save the trials in flight (default: no limit)",
    ),
    Flag("driver", "NAME", "ray, or serial: one process, for debugging (default: ray)"),
    Flag("address", "ADDR", "address of a Ray cluster to join (default: this machine alone)"),
    Flag(
        "no_forks",
        None,
        "train every trial from its first step, sharing nothing with others (default: fork)",
    ),
    Flag("corpus", "DIR", "directory of text to train on (default: the workload's own)"),
    Flag(
        "objective",
        "NAME",
        "pareto: seconds against loss; or time-to-quality: seconds to the target (default: pareto)",
    ),
    Flag(
        "config",
        "FILE",
        "TOML file with any of these flags (underscores for dashes) and [knobs], which narrows, "
        "fixes or "
        "widens the space; flags given here win (default: none)",
    ),
)


HELP_SPACE = Flag(
    "help_space", None, "print the knobs of --space with range, scale, unit and meaning, and exit"
)
