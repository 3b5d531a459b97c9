"""Averages of late weights: what they are, that nothing else is touched, resuming."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from models.application.averages import Average
from models.levers.averaging import Averaging
from tests.models.application.nets import ConvBlock, Net, same, train, values

STEPS = 20


@dataclass
class Taken:
    """What a course keeps of an average: how often weights were taken in, and when last."""

    lever: Averaging
    average: Average
    count: int = 0
    last: float = 0.0

    def update(self, step: int) -> None:
        """After ``step`` steps of ``STEPS``."""
        before, now = (step - 1) / STEPS, step / STEPS
        if self.lever.due(before, now):
            self.average.take(self.lever.weight_of(self.count, self.last, now))
            self.count, self.last = self.count + 1, now


def drive(lever: Averaging, steps: int = STEPS) -> tuple[Net, Taken, list[torch.Tensor]]:
    """Train, average, and keep one weight of every step."""
    model = Net(depth=1)
    taken, optimizer = Taken(lever, Average(model)), torch.optim.SGD(model.parameters(), 0.1)
    history = []
    for step in range(steps):
        train(model, optimizer, range(step, step + 1))
        taken.update(step + 1)
        history.append(model.stem.weight.detach().clone())
    return model, taken, history


def evaluated(model: Net, taken: Taken) -> torch.Tensor:
    with taken.average.in_place() if taken.count else contextlib.nullcontext():
        return model.stem.weight.detach().clone()


def test_the_moving_average() -> None:
    """Against the formula, from five windows before the end on."""
    model, average, history = drive(Averaging("ema", 0.1))
    expected = history[9]
    for weights in history[10:]:
        expected = torch.lerp(expected, weights, 1 - torch.tensor(-0.5).exp())
    torch.testing.assert_close(evaluated(model, average), expected)


def test_the_mean_of_the_last() -> None:
    """Five snapshots over the last fifth: after steps 16 to 20."""
    model, average, history = drive(Averaging("last", 0.2, averaging_count=5))
    torch.testing.assert_close(evaluated(model, average), torch.stack(history[15:]).mean(0))


@pytest.mark.parametrize("lever", [Averaging(), Averaging("ema", 0.01), Averaging("last", 0.1)])
def test_before_it_begins_the_weights_themselves(lever: Averaging) -> None:
    """Nothing is in their place, and without the lever never is."""
    model, average, history = drive(lever, steps=10)
    assert torch.equal(evaluated(model, average), history[-1])


def test_training_is_not_touched() -> None:
    """Weights, moments and buffers to the bit as without it, also after evaluations."""
    plain, averaged = Net(depth=1), Net(depth=1)
    average = Average(averaged)
    for model, each in ((plain, None), (averaged, average)):
        optimizer = torch.optim.AdamW(model.parameters())
        for step in range(4):
            train(model, optimizer, range(step, step + 1))
            if each is not None:
                each.take(1 / (step + 1))
                with each.in_place():
                    model(torch.tensor([[1]]))
    assert same(plain, averaged)


def test_an_error_inside_puts_the_weights_back() -> None:
    """To the bit."""
    model, taken, _ = drive(Averaging("ema", 1.0))
    before = values(model)
    with pytest.raises(KeyError), taken.average.in_place():
        raise KeyError
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_buffers_are_the_trained_models() -> None:
    """Batch statistics are not averaged."""
    model = nn.Sequential(ConvBlock())
    average = Average(model)
    for step in range(3):
        model(torch.randn(2, 4, 3, 3))
        average.take(1 / (step + 1))
    block = model[0]
    assert isinstance(block, ConvBlock)
    statistics = block.norm.running_mean
    assert statistics is not None
    before = statistics.clone()
    with average.in_place():
        assert torch.equal(statistics, before)


@pytest.mark.parametrize("lever", [Averaging("ema", 0.1), Averaging("last", 0.3)])
@pytest.mark.parametrize("stop", [3, 13, 17])
def test_saved_and_loaded_anywhere(lever: Averaging, stop: int) -> None:
    """Through a file that holds tensors and plain values alone."""
    model, taken, _ = drive(lever)
    expected = evaluated(model, taken)
    model, first, _ = drive(lever, steps=stop)
    file = io.BytesIO()
    torch.save(first.average.state_dict(), file)
    file.seek(0)
    second = Taken(lever, Average(model), first.count, first.last)
    second.average.load_state_dict(torch.load(file, weights_only=True))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for step in range(stop, STEPS):
        train(model, optimizer, range(step, step + 1))
        second.update(step + 1)
    assert torch.equal(evaluated(model, second), expected)


def test_parameters_that_come_or_go_meanwhile_are_told() -> None:
    """Whoever asks for the average next, in one message."""
    model = Net(depth=1)
    average = Average(model)
    average.take(1.0)
    model.late = nn.Parameter(torch.zeros(2))
    stack = contextlib.ExitStack()
    acts: list[Callable[[], object]] = [
        lambda: average.take(0.5),
        average.put,
        lambda: stack.enter_context(average.in_place()),
    ]
    for act in acts:
        with pytest.raises(RuntimeError, match=r"must keep its .* parameters while they are aver"):
            act()
    del model.late
    average.take(0.5)
