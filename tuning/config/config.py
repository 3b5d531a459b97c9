"""What a search was asked to do: every option, declared once."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from models.by_path import divided, is_path
from models.levers import optimizer
from policies.base import Scalar
from search_spaces.base import SearchSpace
from search_spaces.narrow import applied
from tuning.config import option
from tuning.config.option import Rule, choice, is_finite, number, whole
from tuning.config.own import is_workload, known_as, space_for
from tuning.config.resources import Machine, Resources, share
from tuning.config.spaces import longer, space_named

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
        space = applied(self.whole_space(), self.overrides)[0]
        return space.for_pretrained() if self.pretrained else space

    def whole_space(self) -> SearchSpace:
        """The space with the workload's own knobs and the horizons asked for, before any of the
        user's ranges.

        Raises:
            ValueError: there is no such space.
        """
        space = space_for(space_named(self.space), self.workload)
        return longer(space, self.longer) if is_finite(self.longer) else space

    def resources(self, machine: Machine) -> Resources:
        """What each trial has, on ``machine``."""
        return share(machine, self.concurrency, self.cpus_per_trial, self.gpus_per_trial)

    @property
    def overrides(self) -> dict[str, object]:
        """What stands in place of the space's own ranges: the user's, and what the device left."""
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
