"""What an evaluation may return: a number, or what ``float`` makes one of."""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from models.measuring import metric_of
from models.workload import Workload
from tests.support import tiny


def measuring(value: Any) -> Workload:
    """The tiny workload with an evaluation that returns ``value``."""
    return dataclasses.replace(tiny.tiny(), evaluate=lambda model: value)


@pytest.mark.parametrize(
    "value",
    [0.5, np.float32(0.5), torch.tensor([0.5]), np.array(0.5), Fraction(1, 2), Decimal("0.5")],
)
def test_a_number_of_any_kind_is_one(value: Any) -> None:
    """Also of kinds that nobody listed."""
    workload = measuring(value)
    assert metric_of(workload, workload.make_model(0)) == 0.5


@pytest.mark.parametrize("value", [10**400, -(10**400)])
def test_a_whole_number_beyond_all_is_infinite(value: int) -> None:
    """It has a sign, and is refused where a number must be finite."""
    workload = measuring(value)
    assert metric_of(workload, workload.make_model(0)) == (math.inf if value > 0 else -math.inf)


@pytest.mark.parametrize(
    "value",
    [None, True, np.True_, torch.tensor(True), 1j, "0.5", {"loss": 0.5}, torch.zeros(2)],
)
def test_what_is_no_number_is_refused_with_its_place(value: Any) -> None:
    """With what was returned, and the file in which the evaluation stands."""
    workload = measuring(value)
    with pytest.raises(ValueError, match=r"must return one number.*test_measuring\.py"):
        metric_of(workload, workload.make_model(0))
