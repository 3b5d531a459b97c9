"""Noise over seeds, against the standard library and by hand."""

from __future__ import annotations

import math
import statistics

import pytest

from tests.support.stores import record
from tuning.findings.context import noise_of, noise_of_records


def test_noise_is_the_standard_deviation_over_seeds() -> None:
    """Five losses: the sample's deviation, and the limit of ISO 5725."""
    losses = [1.90, 1.92, 1.91, 1.89, 1.93]
    noise = noise_of(losses)
    assert noise is not None
    assert noise.deviation == statistics.stdev(losses)
    assert noise.limit == pytest.approx(1.96 * math.sqrt(2) * statistics.stdev(losses))
    assert noise.hides(1.90, 1.90 + 0.99 * noise.limit)
    assert not noise.hides(1.90, 1.90 - 1.01 * noise.limit)


def test_one_seed_shows_no_noise() -> None:
    """Fewer than two losses: None, not zero."""
    assert noise_of([1.9]) is None
    assert noise_of([]) is None


def test_only_finished_runs_count() -> None:
    """A run that failed has no final loss."""
    records = [record(i, val_loss=1.9 + i / 100) for i in range(3)]
    broken = record(3, val_loss=9.0, state="failed", error="NonFiniteLossError")
    assert noise_of_records([*records, broken]) == noise_of([1.9, 1.91, 1.92])
