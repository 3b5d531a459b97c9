"""The examination against workloads that break each rule, and against those that break none."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import torch
from torch import nn

from models.adapters import Cursor
from models.workload import Workload
from tests.support import odd_batches, stateful, tiny, unsound
from tests.support.victims import eventually
from tuning.training.examination.examine import examine
from tuning.training.examination.new_process import NewProcess, gone_on
from tuning.training.examination.subject import Elsewhere, Subject
from tuning.training.generators import generators_kept
from tuning.trial.soundness import Soundness

CPU = torch.device("cpu")


class Here:
    """Goes on in this process, for a test that is not about processes."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload

    @generators_kept()
    def ask(self, request: dict[str, Any]) -> None:
        self.found = gone_on(self.workload, request)

    def answer(self) -> dict[str, Any]:
        return self.found


def examined(workload: Workload, elsewhere: Elsewhere | None = None) -> Soundness:
    return examine(Subject(workload, CPU, elsewhere or Here(workload)))


@pytest.mark.parametrize("name", unsound.REFUSED)
def test_what_cannot_be_trained_is_refused(name: str) -> None:
    """One message with the rule, the value and what to do."""
    make, words = unsound.REFUSED[name]
    assert any(words in text for text in examined(make()).refusals), examined(make())


@pytest.mark.parametrize("name", unsound.UNFORKED)
def test_what_cannot_go_on_trains_alone(name: str) -> None:
    """It is trained, without forks, and what stands in their way is named."""
    make, words = unsound.UNFORKED[name]
    found = examined(make())
    assert not found.refusals
    assert not found.forks
    assert any(words in text for text in found.warnings), found


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", unsound.REMARKED)
def test_what_a_user_should_know_is_said(name: str) -> None:
    """And nothing follows from it."""
    make, words = unsound.REMARKED[name]
    found = examined(make())
    assert found.forks
    assert not found.refusals
    assert [words in text for text in found.warnings] == [True]


SOUND: dict[str, type[nn.Module]] = {
    "tiny": tiny.ResidualMLP,
    **{name: kind for name, kind in stateful.STATEFUL.items() if name != "Unregistered"},
}


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_workload_has_no_findings(name: str) -> None:
    """State in plain attributes is kept, so nothing has to be said of it."""
    assert examined(stateful.workload(SOUND[name])) == Soundness()


def test_how_far_a_stream_was_read_is_no_finding() -> None:
    """A training reads it on; what is asked for again is read again, so no loss depends on it."""
    tasks = tiny.tiny()
    stream = Cursor(lambda: (tasks.batch_at(0, step) for step in itertools.count()), [])
    assert examined(replace(tasks, batch_at=stream.batch_at)) == Soundness()


@pytest.mark.parametrize("kind", odd_batches.KINDS)
def test_batches_of_other_kinds_have_no_findings(kind: str) -> None:
    """Their values are seen, the same for a step and others for another; a loss may take them."""
    assert examined(odd_batches.workload(kind)) == Soundness()


def test_a_log_from_which_nothing_follows_has_no_findings() -> None:
    """A list outside that only grows: it is tried much longer, and is as it was afterwards."""
    unsound.HISTORY.clear()
    assert examined(unsound.with_loss(unsound.noted)) == Soundness()
    assert 0 < len(unsound.HISTORY) < 100


def test_a_new_process_goes_on() -> None:
    """A real one: a workload that is sound, and one whose weights depend on the process."""
    name = "tests.support.tiny:tiny"
    with NewProcess(name, None, 1) as elsewhere:
        assert examined(tiny.tiny(), elsewhere) == Soundness()


def test_a_new_process_that_fails_says_why() -> None:
    """It is given another workload than this process has."""
    with NewProcess("tests.support.tiny:not_a_workload", None, 1) as elsewhere:
        found = examined(tiny.tiny(), elsewhere)
    assert not found.forks
    assert "must return a Workload" in found.warnings[0]


BEGINS = """
import time
from tuning.training.examination.new_process import NewProcess
with NewProcess("tests.support.tiny:tiny", None, 1) as elsewhere:
    print(elsewhere.path, flush=True)
    time.sleep(600)
"""


def test_a_new_process_clears_up_after_one_that_was_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", BEGINS], stdout=PIPE, text=True) as killed:
        assert killed.stdout is not None
        folder = Path(killed.stdout.readline().strip())
        assert folder.is_dir()
        killed.kill()
    assert eventually(lambda: not folder.exists())


def test_data_that_another_process_gets_otherwise_are_refused() -> None:
    """Drawn without a seed when the workload is made: each worker would train on its own."""
    other = replace(tiny.tiny(), batch_at=lambda seed, step: tiny.batch_at(seed + 1, step))
    found = examined(other, Here(tiny.tiny()))
    assert any("must give the same batch in every process" in text for text in found.refusals)


@pytest.mark.parametrize(
    ("workload", "words"),
    [
        ("in_order_of_words", "batch_at(0, 1) must give the same batch in every process, but"),
        ("in_order_of_draws", "a training must be the same whatever its process did before, but"),
    ],
)
def test_what_hangs_on_what_a_process_did_before_is_refused(workload: str, words: str) -> None:
    """Two trainings in one process are the same: each finds what was there before both."""
    with NewProcess(f"tests.support.unsound:{workload}", None, 1) as elsewhere:
        found = examined(getattr(unsound, workload)(), elsewhere)
    assert any(words in text for text in found.refusals), found
