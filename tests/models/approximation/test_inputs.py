"""Second moments of inputs against NumPy on what the layers were given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.approximation.inputs import collect_inputs
from tests.models.approximation.cases import net, points


def test_moments_are_those_of_all_batches() -> None:
    """The stem's inputs are the points themselves, in two batches; XᵀX and the count in NumPy."""
    model, x = net(torch.float32), points(torch.float32)
    found = collect_inputs(model, ["stem", "head"], lambda: (model(x), model(2 * x)))
    rows = np.concatenate([x.numpy().reshape(-1, 5), 2 * x.numpy().reshape(-1, 5)]).astype(
        np.float64
    )
    assert list(found) == ["stem", "head"]
    assert found["stem"].samples == len(rows) == 40
    assert found["stem"].gram.dtype == torch.float64
    np.testing.assert_allclose(found["stem"].gram.numpy(), rows.T @ rows, rtol=1e-12)


def test_the_model_is_left_as_it_was() -> None:
    """No hook remains, even after a forward that fails, and no gradient is recorded."""
    model = net()

    def fails() -> Tensor:
        assert not model(points()).requires_grad
        raise RuntimeError("no more data")

    with pytest.raises(RuntimeError, match="no more data"):
        collect_inputs(model, ["*"], fails)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_a_layer_never_reached_has_no_samples() -> None:
    assert collect_inputs(net(), ["head"], lambda: None)["head"].samples == 0
