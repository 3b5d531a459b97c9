"""Tiny workloads whose training depends on state that no ``state_dict`` holds."""

from __future__ import annotations

import copy
import functools
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from models.workload import Workload
from tests.support import tiny


class Schedule:
    """A temperature that falls with every call."""

    def __init__(self) -> None:
        self.calls = 0

    def next(self) -> float:
        self.calls += 1
        return 1.0 / self.calls


class Noisy(tiny.ResidualMLP):
    """Adds noise to its input while it trains, in a way that the subclass says."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + self.noise(x)) if self.training else super().forward(x)

    def noise(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Counts(Noisy):
    """A number."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def noise(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.full_like(x, 0.3 / self.calls)


class Nested(Noisy):
    """An object of the user's own within a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: dict[str, Any] = {"schedule": Schedule()}

    def noise(self, x: Tensor) -> Tensor:
        return torch.full_like(x, self.parts["schedule"].next())


class Draws(Noisy):
    """Python's and NumPy's global generators."""

    def noise(self, x: Tensor) -> Tensor:
        return torch.full_like(x, random.random() + float(np.random.rand()))


class OwnGenerators(Noisy):
    """Generators of its own, of every kind."""

    def __init__(self) -> None:
        super().__init__()
        self.torchs = torch.Generator().manual_seed(1)
        self.pythons = random.Random(2)
        self.new, self.old = np.random.default_rng(3), np.random.RandomState(4)

    def noise(self, x: Tensor) -> Tensor:
        scale = self.pythons.random() + float(self.new.random()) + float(self.old.rand())
        return scale * torch.randn(x.shape, generator=self.torchs)


class Collects(Noisy):
    """A queue, a counter, a set, an array and a tensor, each with what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.last: deque[float] = deque([0.0], maxlen=3)
        self.times: Counter[str] = Counter()
        self.seen: set[int] = set()
        self.array, self.mean = np.zeros(2), torch.zeros(tiny.FEATURES)

    def noise(self, x: Tensor) -> Tensor:
        self.last.append(float(x[0, 0]))
        self.times["all"] += 1
        self.seen.add(self.times["all"] // 2)
        self.array += sum(self.last)
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return 0.1 * self.mean + float(self.array[1]) / 50 + len(self.seen) / self.times["all"]


class Buffered(Noisy):
    """A buffer that is not persistent."""

    ema: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("ema", torch.zeros(tiny.FEATURES), persistent=False)

    def noise(self, x: Tensor) -> Tensor:
        self.ema.mul_(0.9).add_(x.mean(0))
        return self.ema.expand_as(x)


class Averaged(Noisy):
    """An average of its own weights in a copy that nobody registered, as deep as models are."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.Linear(tiny.FEATURES, tiny.FEATURES)
        self.net = nn.Sequential(nn.Sequential(nn.Sequential(nn.Sequential(layer))))
        self.average = [copy.deepcopy(self.net).requires_grad_(False)]

    def noise(self, x: Tensor) -> Tensor:
        pairs = zip(self.average[0].parameters(), self.net.parameters(), strict=True)
        for mean, parameter in pairs:
            mean.lerp_(parameter.detach(), 0.1)
        return self.net(x) - self.average[0](x)  # type: ignore[no-any-return]


class Carried(Noisy):
    """A count and a mean that a parameter carries beside its values."""

    def __init__(self) -> None:
        super().__init__()
        vars(self.head.weight)["calls"] = 0

    def noise(self, x: Tensor) -> Tensor:
        held: Any = self.head.weight
        held.calls += 1
        held.mean = x.mean(0) if held.calls == 1 else held.mean.lerp(x.mean(0), 0.1)
        return held.mean.expand_as(x) / held.calls  # type: ignore[no-any-return]


def fading(schedule: Schedule, gradient: Tensor) -> Tensor:
    """A gradient with what a schedule still adds to it."""
    return gradient + schedule.next()


class Derived(tiny.ResidualMLP):
    """A count behind a hook of each parameter, bound to a function."""

    def __init__(self) -> None:
        super().__init__()
        for parameter in self.parameters():
            hook = functools.partial(fading, Schedule())
            parameter.register_hook(hook)  # type: ignore[no-untyped-call]


class Replaced(tiny.ResidualMLP):
    """A count that a forward closes over, which stands in the place of a block's own."""

    def __init__(self) -> None:
        super().__init__()
        for block in self.blocks:
            block.forward = self.rising(block.forward)

    def rising(self, forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        schedule = Schedule()
        return lambda x: forward(x) + (schedule.next() if self.training else 0.0)


class Unregistered(Noisy):
    """A layer in a plain list, which its optimizer trains and no ``state_dict`` names."""

    def __init__(self) -> None:
        super().__init__()
        self.more = [nn.Linear(tiny.FEATURES, tiny.FEATURES)]

    def noise(self, x: Tensor) -> Tensor:
        return self.more[0](x)  # type: ignore[no-any-return]


class Slotted:
    """A count in a slot."""

    __slots__ = ("calls",)

    def __init__(self) -> None:
        self.calls = 0


class Table(dict[str, Any]):
    """A table whose attributes are its keys, as configurations often are."""

    __getattr__ = dict.__getitem__


class Elsewhere(Noisy):
    """Slots, a table and a list of classes of their own, a generator within a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.slotted, self.table, self.seen = Slotted(), Table(calls=0), _Seen()
        self.generators: dict[str, Any] = {
            "torch": torch.Generator().manual_seed(1),
            "mine": [_Random(2)],
        }

    def noise(self, x: Tensor) -> Tensor:
        self.slotted.calls += 1
        self.table["calls"] += self.slotted.calls
        self.seen.append(self.table["calls"])
        mine: random.Random = self.generators["mine"][0]
        scale = mine.random() / (len(self.seen) + self.seen[-1])
        return scale * torch.randn(x.shape, generator=self.generators["torch"])


class _Seen(list[int]):
    """A list of its own class."""


class _Random(random.Random):
    """Likewise."""


class Hooked(Noisy):
    """A count that a hook and a function close over, and one in a partial's argument."""

    def __init__(self) -> None:
        super().__init__()
        calls, last = [0], 0.0

        def count(module: nn.Module, args: Any) -> None:
            nonlocal last
            calls[0] += module.training
            last = last / 2 + calls[0]

        self.register_forward_pre_hook(count)
        self.read: Callable[[], float] = lambda: last / (1 + calls[0]) ** 2
        self.grow = functools.partial(_grow, {"size": 0.1})

    def noise(self, x: Tensor) -> Tensor:
        return torch.full_like(x, self.read() + self.grow())


def _grow(table: dict[str, float]) -> float:
    table["size"] *= 1.1
    return table["size"]


class Everything(Noisy):
    """All of these in one model."""

    def __init__(self) -> None:
        super().__init__()
        self.noises = [Counts(), Nested(), Draws(), OwnGenerators(), Collects(), Buffered()]

    def noise(self, x: Tensor) -> Tensor:
        return 0.2 * sum((each.noise(x) for each in self.noises), torch.zeros_like(x))


class Scheduled(Noisy):
    """A schedule of learning rates, of an optimizer that only it has."""

    def __init__(self) -> None:
        super().__init__()
        self.rates = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(self.rates, 0.9)

    def noise(self, x: Tensor) -> Tensor:
        self.rates.step()
        self.schedule.step()
        return torch.full_like(x, self.rates.param_groups[0]["lr"])


class Rests(tiny.ResidualMLP):
    """Lays its norm to rest in its third step, and turns its dropout up."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.dropout, self.calls = nn.BatchNorm1d(tiny.FEATURES), nn.Dropout(0.1), 0

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
            if self.calls == 3:
                self.norm.eval()
                self.dropout.p = 0.2
        return super().forward(self.dropout(self.norm(x)))


STATEFUL: dict[str, type[tiny.ResidualMLP]] = {
    kind.__name__: kind
    for kind in (
        Counts,
        Nested,
        Draws,
        OwnGenerators,
        Collects,
        Buffered,
        Averaged,
        Carried,
        Derived,
        Replaced,
        Unregistered,
        Elsewhere,
        Hooked,
        Scheduled,
        Rests,
    )
}


def workload(
    kind: Callable[[], nn.Module], make_optimizer: Callable[[nn.Module], Any] | None = None
) -> Workload:
    """``tiny`` with another model."""

    def make_model(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return kind()

    return replace(
        tiny.tiny(),
        make_model=make_model,
        make_optimizer=make_optimizer or optimizer,
        fingerprint=getattr(kind, "__name__", ""),
    )


def everything() -> Workload:
    """A workload with state wherever it can be."""
    return replace(workload(Everything), name="everything")


def optimizer(model: nn.Module) -> Optimizer:
    """AdamW over every parameter, those in plain lists too."""
    more = getattr(model, "more", ())
    return AdamW([*model.parameters(), *(p for layer in more for p in layer.parameters())], lr=1e-2)


def _fading() -> Iterator[float]:
    """Nothing to see in the first steps."""
    for step in itertools.count():
        yield float(step > 100)


class Fades(Noisy):
    """A running generator, which nothing can save, and which shows late what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.fading = _fading()

    def noise(self, x: Tensor) -> Tensor:
        return torch.full_like(x, next(self.fading))


class Late(Noisy):
    """Makes something in its fifth step that a new model does not have; kinds of it by subclass."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.made = 0, self.begin()

    def begin(self) -> Any:
        return None

    def noise(self, x: Tensor) -> Tensor:
        self.calls += 1
        return torch.full_like(x, self.draw() if self.calls > 4 else 0.0)

    def draw(self) -> float:
        raise NotImplementedError


class LateObject(Late):
    """An object of the user's own."""

    def draw(self) -> float:
        self.made = self.made or Schedule()
        return float(self.made.next())


class LateGenerator(Late):
    """A generator."""

    def draw(self) -> float:
        self.made = self.made or random.Random(0)
        return float(self.made.random())


class LateKind(Late):
    """An object of another class in the place of one with the same attributes."""

    def begin(self) -> Any:
        return Slower()

    def draw(self) -> float:
        self.made = self.made if type(self.made) is Schedule else Schedule()
        return float(self.made.next())


class LateItems(Late):
    """Ever more objects in a list."""

    def begin(self) -> Any:
        return []

    def draw(self) -> float:
        self.made.append(Schedule())
        return float(sum(each.next() for each in self.made))


class LateLoss(Late):
    """One object less."""

    def begin(self) -> Any:
        return [Schedule(), Schedule()]

    def draw(self) -> float:
        self.made[1:] = []
        return float(len(self.made))


class LateItem(Late):
    """Another number beside an object in a tuple."""

    def begin(self) -> Any:
        return Schedule(), 0.5

    def draw(self) -> float:
        self.made = self.made[0], self.made[1] / 2
        return float(self.made[1])


class Decay(NamedTuple):
    """Beside an object, as configurations and the state of an optimizer often are."""

    schedule: Schedule
    size: float


class LateNamed(LateItem):
    """Likewise in a named tuple."""

    def begin(self) -> Any:
        return Decay(Schedule(), 0.5)

    def draw(self) -> float:
        self.made = self.made._replace(size=self.made.size / 2)
        return float(self.made.size)


class Slower(Schedule):
    """A temperature that falls slower."""

    def next(self) -> float:
        return float(super().next() ** 0.5)


LATE: dict[str, type[Late]] = {
    kind.__name__: kind
    for kind in (LateObject, LateGenerator, LateKind, LateItems, LateLoss, LateItem, LateNamed)
}
"""What no snapshot can bring back to a new model, because it is not there."""
