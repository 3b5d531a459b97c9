"""The parts of ``benchmarks.gpu`` that need no search: they end in rows on any device."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from benchmarks.gpu import _tried, by_share, memory, sharing
from benchmarks.quality.models.byte_lm_large import CARD, SMALL
from benchmarks.quality.models.hungry import TOO_MUCH, make


def test_a_part_that_fails_is_a_row_that_says_so(tmp_path: Path) -> None:
    """No part takes the others with it: not without a card, not past its seconds."""
    (row,) = _tried(memory, "cpu", 10.0, tmp_path)
    assert "a CPU has no caps" in row["not measured"]
    (row,) = _tried(sharing, "cpu", 0.01, tmp_path)
    assert "took more than 0 s" in row["not measured"]


def test_a_row_for_each_share_of_the_card() -> None:
    """Baselines, whose knob is empty, among those that take none; a reason where one failed."""
    frame = pd.DataFrame(
        {
            "knob_share": [None, 0.0, TOO_MUCH, TOO_MUCH],
            "state": ["finished", "finished", "failed", "failed"],
            "error": [None, None, "out of memory", "out of memory"],
        }
    )
    none, much = by_share(frame)
    assert (none["trials"], none["finished"], none["reason"]) == (2, 2, None)
    assert (much["trials"], much["failed"], much["reason"]) == (2, 2, "out of memory")


def test_who_takes_no_share_of_a_card_trains_as_its_own_model() -> None:
    """On a CPU nothing is taken, whatever the knob says."""
    for share in (0.0, TOO_MUCH):
        workload = make(share=share)
        model = workload.make_model(0)
        assert torch.isfinite(workload.loss(model, workload.batch_at(0, 0)))
    assert CARD.steps == SMALL.steps
