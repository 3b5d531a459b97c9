"""A search that ends before its first trial leaves nothing in the way of the next try."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from models.workload import Workload
from tests.support import tiny
from tests.support.searches import config_of
from tests.support.watch import Remembering
from tuning.errors import BadInput, NothingTrained
from tuning.session.search import run_search
from tuning.training import clock_tasks


def fails_when_timed() -> Workload:
    """Its evaluation works wherever it is asked for but where the clock is set."""

    def evaluate(model: nn.Module) -> float:
        if any(frame.name == "calibrate" for frame in traceback.extract_stack()):
            raise RuntimeError("no more")
        return tiny.evaluate(model)

    return replace(tiny.tiny(target=1.0), evaluate=evaluate)


def returns_a_dict() -> Workload:
    """The loss is a dict."""
    return replace(tiny.tiny(target=1.0), loss=_as_dict)  # type: ignore[arg-type]


def _as_dict(model: nn.Module, batch: tiny.Pair) -> dict[str, torch.Tensor]:
    return {"loss": tiny.loss(model, batch)}


def test_a_loss_that_is_none_is_told_as_in_a_check(tmp_path: Path) -> None:
    """Before anything is created, with what to do and where."""
    run = tmp_path / "run"
    words = r'must return a scalar tensor .* return its \["loss"\] \(loss at test_search_failed.py:'
    with pytest.raises(BadInput, match=words):
        run_search(config_of(run, workload=f"{__name__}:returns_a_dict"), watcher=Remembering())
    assert not run.exists()


def test_a_run_whose_clock_cannot_be_set_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It failed while its steps were timed; the next search may have the directory."""
    monkeypatch.setattr(clock_tasks, "examine_run", lambda store: None)  # another process's seconds
    run = tmp_path / "run"
    with pytest.raises(NothingTrained, match=r"clock could not be calibrated: .*no more"):
        run_search(config_of(run, workload=f"{__name__}:fails_when_timed"), watcher=Remembering())
    assert not run.exists()


def test_a_directory_that_is_no_name_is_one_of_the_faults() -> None:
    """As ever, with what else is wrong, and no traceback of a path."""
    wrong = replace(config_of(Path("unused")), run=3, trials=0)  # type: ignore[arg-type]
    with pytest.raises(BadInput) as caught:
        run_search(wrong, watcher=Remembering())
    assert any("run" in fault for fault in caught.value.faults)
    assert any("trials" in fault for fault in caught.value.faults)
