"""A workload checked by itself, before any search: whether it is sound, what it is, what a search
costs.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.frames import told
from models.late_dynamo import compile_late
from tuning.config.config import SearchConfig
from tuning.config.resources import Machine, share, usable_cpus
from tuning.errors import BadInput
from tuning.loading import loading
from tuning.training.examination.new_process import NewProcess
from tuning.trial.anatomy import Anatomy
from tuning.trial.soundness import Finding, Soundness

TRIALS = SearchConfig("").trials
"""The number of trials of the search whose time is told."""


@dataclass(frozen=True)
class Checked:
    """The result of a check.

    Attributes:
        workload: its name, as given.
        soundness: what was found wrong with it.
        anatomy: its parts, costs and abilities; None where it is refused.
        search_seconds: about what a search of ``TRIALS`` trials takes here; None likewise.
        at_once: how many trials would run at once at most.
    """

    workload: str
    soundness: Soundness
    anatomy: Anatomy | None = None
    search_seconds: float | None = None
    at_once: int = 1

    def document(self) -> dict[str, Any]:
        """What ``--json`` writes."""
        plain = dataclasses.asdict(self)
        return {
            "workload": self.workload,
            "sound": not self.soundness.refusals,
            "forks": self.soundness.forks,
            "trials": TRIALS,
            "search_seconds": self.search_seconds,
            "at_once": self.at_once,
            "findings": plain["soundness"]["findings"],
            "anatomy": plain["anatomy"],
        }


def check(name: str, corpus: Path | None) -> Checked:
    """Examine the workload called ``name`` in this process, with another one beside it.

    Raises:
        BadInput: there is no such workload.
    """
    threads = share(Machine(usable_cpus())).threads
    text = None if corpus is None else str(corpus)
    with NewProcess(name, text, threads, tries=True) as elsewhere:
        with loading():
            compile_late()
            from models.device import run_device, set_threads
            from models.registry import find_workload
            from tuning.training.examination.examine import examine
            from tuning.training.examination.subject import Subject

        try:
            workload = find_workload(name, corpus)
        except ValueError as fault:
            raise BadInput(str(fault)) from None
        set_threads(threads)
        subject = Subject(workload, run_device(), elsewhere)
        found = examine(subject)
        levers = elsewhere.answer().get("levers", {}) if not found.refusals else {}
    if found.refusals:
        return Checked(name, found)
    at_once = share(Machine.here()).concurrency
    return _with_anatomy(Checked(name, found, at_once=at_once), subject, levers)


def _with_anatomy(checked: Checked, subject: Any, levers: dict[str, str | None]) -> Checked:
    from tuning.training.examination.anatomy import anatomy_of
    from tuning.trial.trial import SEEDS

    try:
        anatomy = anatomy_of(subject, levers)
    except Exception as fault:
        finding = Finding("costs", f"its steps could not be timed: {told(fault)}", "remark")
        return dataclasses.replace(
            checked, soundness=Soundness.of([*checked.soundness.findings, finding])
        )
    references = SEEDS if subject.workload.target == "auto" else 1
    seconds = anatomy.search_seconds(TRIALS, references, checked.at_once)
    return dataclasses.replace(checked, anatomy=anatomy, search_seconds=seconds)
