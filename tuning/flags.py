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
    Flag(
        "sampler",
        "NAME",
        "tpe, gp, nsga2, random, or auto: gp where a trial takes much longer than one of its asks, else tpe "
        "(default: auto)",
    ),
    Flag(
        "warm_start",
        "RUN",
        "directory of another run, of any workload or device, whose finished trials the sampler is to know; they do "
        "not become trials of this search (default: none)",
    ),
    Flag(
        "clock",
        "RUN",
        "directory of another run, of the same workload, device and threads, whose calibrated clock this search takes: "
        "it does not calibrate, and the seconds of both compare (default: calibrate)",
    ),
    Flag(
        "replicates",
        "SHARE",
        "share of the trials after the baselines that re-run members of the front on other seeds, to tell luck from "
        "merit; a fraction from 0 (none) to 0.5 (default: 0.1)",
    ),
    Flag(
        "stop_confidence",
        "P",
        "stop a trial that cannot reach the front any more; the probability that one which would is not stopped, "
        "above 0 and below 1 (default: 0.95)",
    ),
    Flag("no_stopping", None, "train every trial to its horizon (default: stop as --stop-confidence says)"),
    Flag(
        "concurrency",
        "N",
        "trials at once; a count (default: on one GPU as many as measuring shows to pay, 8 at most; else as many as "
        "the cores or GPUs hold)",
    ),
    Flag(
        "gpus_per_trial",
        "F",
        "GPUs of a trial; a fraction or a count (default: on one GPU as --concurrency finds, on several 0.25, else 0)",
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
    Flag("no_forks", None, "train every trial from its first step, sharing nothing with others (default: fork)"),
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
