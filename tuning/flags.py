"""The flags of ``tuning.search``: names, the words for their values, and their help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Flag:
    """One option: its name in Python and TOML, the word for its value, its help with unit and default."""

    name: str
    metavar: str | None
    help: str

    @property
    def option(self) -> str:
        """As written on the command line."""
        return "--" + self.name.replace("_", "-")


FLAGS = (
    Flag("run", "DIR", "run directory to create (default: runs/<UTC time>-<workload>-<space>)"),
    Flag("resume", "DIR", "go on with the search in DIR; more --trials extend it (default: a new search)"),
    Flag("retry_failed", None, "with --resume: run the failed trials again (default: leave them as they are)"),
    Flag("workload", "W", "what is trained: a built-in's name or package.module:factory (default: byte_lm)"),
    Flag("space", "S", "which knobs are searched: a search space's name (default: dynamic_suffix)"),
    Flag("trials", "N", "trials in all, baselines included; a count (default: 32)"),
    Flag("seed", "K", "seed of the sampler and of what is trained; a whole number (default: 0)"),
    Flag(
        "target",
        "LOSS",
        "validation loss that counts as reached, in the workload's unit, or auto: the median final loss of "
        "full_update over seeds (default: auto)",
    ),
    Flag("sampler", "NAME", "auto, tpe, gp, nsga2 or random (default: auto)"),
    Flag("concurrency", "N", "trials at once; a count (default: as many as the cores or GPUs hold)"),
    Flag(
        "gpus_per_trial",
        "F",
        "GPUs of a trial; a fraction or a count (default: 0.25 where there are GPUs, else 0)",
    ),
    Flag(
        "cpus_per_trial",
        "F",
        "cores of a trial; a fraction or a count, rounded down to its threads (default: 1, less where more "
        "trials run at once than there are cores)",
    ),
    Flag("time_budget", "SECONDS", "stop after so many wall seconds and save the trials in flight (default: no limit)"),
    Flag("driver", "NAME", "ray, or serial: one process, for debugging (default: ray)"),
    Flag("address", "ADDR", "address of a Ray cluster to join (default: this machine alone)"),
    Flag("no_forks", None, "train every trial from its first step, without the shared trunk (default: fork)"),
    Flag("corpus", "DIR", "directory of text to train on (default: the workload's own)"),
    Flag(
        "objective",
        "NAME",
        "pareto: seconds against loss; or time-to-quality: seconds to the target (default: pareto)",
    ),
    Flag(
        "config",
        "FILE",
        "TOML file with any of these flags (underscores for dashes) and [knobs], which narrows, fixes or "
        "widens the space; flags given here win (default: none)",
    ),
)
HELP_SPACE = Flag("help_space", None, "print the knobs of --space with range, scale, unit and meaning, and exit")
