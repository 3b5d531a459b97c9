"""Tiny workloads that each break one rule, by what breaks it."""

from __future__ import annotations

import collections
import functools
import itertools
import math
import random
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Optimizer

from models.workload import Workload
from tests.support import stateful, tiny

Output = collections.namedtuple("Output", "loss logits")


class Weird:
    """A value that no checkpoint holds."""

    def __init__(self) -> None:
        self.count = 0


def strange_state(model: nn.Module) -> Optimizer:
    """An optimizer with such a value in its state."""

    class Strange(SGD):
        def step(self, closure: Any = None) -> Any:
            for group in self.param_groups:
                for parameter in group["params"]:
                    self.state[parameter].setdefault("weird", Weird()).count += 1
            return super().step(closure)

    return Strange(model.parameters(), lr=1e-2, momentum=0.9)


def with_function(model: nn.Module) -> Optimizer:
    """A group's own setting that cannot be written down."""
    return SGD([{"params": list(model.parameters()), "rule": lambda rate: rate}], lr=1e-2)


class Opaque(stateful.Noisy):
    """Noise from an iterator: nobody can say where it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = itertools.count(1)

    def noise(self, x: Tensor) -> Tensor:
        return torch.full_like(x, 1 / next(self.calls))


CALLS = {"all": 0}
METER = types.SimpleNamespace(loss=0)
CACHE: dict[int, Tensor] = {}


def counted(model: nn.Module, batch: Any) -> Tensor:
    """The tiny loss; a count of its calls, which nothing depends on, and a cache of batches."""
    METER.loss += 1
    CACHE[METER.loss] = batch[0]
    return tiny.loss(model, batch)


class Annealed:
    """A loss with a term that fades in after so many calls, which it counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        self.calls += 1
        weight = min(1.0, max(0.0, (self.calls - 40) / 10))
        return tiny.loss(model, batch) * (1 + weight)


def late_batches() -> Callable[[int, int], Any]:
    """Others from the hundredth call on, which it counts in a list."""
    calls = [0]

    def batch_at(seed: int, step: int) -> Any:
        calls[0] += 1
        return tiny.batch_at(seed, step + 1 if calls[0] > 100 else step)

    return batch_at


class Tallied(stateful.Noisy):
    """A count in a table of the class, shared by all of its objects; noise after many calls."""

    tally: ClassVar[collections.Counter[str]] = collections.Counter()

    def noise(self, x: Tensor) -> Tensor:
        type(self).tally["calls"] += 1
        return torch.full_like(x, 0.3 if self.tally["calls"] > 40 else 0.0)


class Ticked(stateful.Noisy):
    """Likewise in an object of the class."""

    meter = stateful.Schedule()

    def noise(self, x: Tensor) -> Tensor:
        self.meter.next()
        return torch.full_like(x, 0.3 if self.meter.calls > 40 else 0.0)


class Listed(stateful.Noisy):
    """A list of the class that grows with every call; noise once it is long."""

    seen: ClassVar[list[float]] = []

    def noise(self, x: Tensor) -> Tensor:
        self.seen.append(float(x[0, 0]))
        return torch.full_like(x, 0.3 if len(self.seen) > 60 else 0.0)


def own_count(model: nn.Module, batch: Any) -> Tensor:
    """A count in the function's own attribute; the loss is doubled late."""
    vars(own_count)["calls"] = vars(own_count).get("calls", 0) + 1
    return tiny.loss(model, batch) * (2 if vars(own_count)["calls"] > 40 else 1)


IN_TENSOR, IN_ARRAY = torch.zeros(1), np.zeros(3)


def in_tensor(model: nn.Module, batch: Any) -> Tensor:
    """A count in a tensor, likewise."""
    IN_TENSOR.add_(1)
    return tiny.loss(model, batch) * (2 if float(IN_TENSOR) > 40 else 1)


def in_array(model: nn.Module, batch: Any) -> Tensor:
    """A count in an array, likewise."""
    IN_ARRAY[1] += 1
    return tiny.loss(model, batch) * (2 if IN_ARRAY[1] > 40 else 1)


SEEN: set[float] = set()
NAMED: dict[str, int] = {}


def gathered(model: nn.Module, batch: Any) -> Tensor:
    """A set of the examples seen so far; they count double once there are many."""
    SEEN.add(float(batch[0][0, 0]))
    return tiny.loss(model, batch) * (2 if len(SEEN) > 40 else 1)


def named(model: nn.Module, batch: Any) -> Tensor:
    """Likewise, by name in a table."""
    NAMED[f"example {len(NAMED)}"] = 1
    return tiny.loss(model, batch) * (2 if len(NAMED) > 40 else 1)


HISTORY: list[float] = []


def noted(model: nn.Module, batch: Any) -> Tensor:
    """A log of the losses, from which nothing follows."""
    found = tiny.loss(model, batch)
    HISTORY.append(float(found.detach()))
    return found


class Tabled(tiny.ResidualMLP):
    """A cache and a setting in tables of the class, and a count on which nothing depends."""

    cache: ClassVar[dict[Any, Tensor]] = {}
    settings: ClassVar = {"scale": 1.0}
    calls: ClassVar = {"all": 0}

    def forward(self, x: Tensor) -> Tensor:
        self.calls["all"] += 1
        zeros = self.cache.setdefault(x.shape, torch.zeros_like(x))
        return super().forward(x * self.settings["scale"] + zeros)


THREADS_OWN = threading.local()


def threaded(model: nn.Module, batch: Any) -> Tensor:
    """A count that every thread has for itself."""
    THREADS_OWN.calls = getattr(THREADS_OWN, "calls", 0) + 1
    return tiny.loss(model, batch) * (2 if THREADS_OWN.calls > 40 else 1)


FOUND = types.SimpleNamespace(size=None)


def sized(seed: int, step: int) -> Any:
    """Divided by a number that is found out once, late, and is the same for ever."""
    x, y = tiny.batch_at(seed, step)
    if step == 4:
        FOUND.size = len(x)
    return x * (len(x) / (FOUND.size or len(x))), y


NUMBERS: dict[int, int] = {}


def numbered(seed: int, step: int) -> Any:
    """Words that have numbers in the order in which they first came."""
    x, y = tiny.batch_at(seed, step)
    words = (x[:, :1] * 10).round().int().flatten().tolist()
    numbers = [NUMBERS.setdefault(word, len(NUMBERS)) for word in words]
    return x + torch.tensor(numbers)[:, None] / 100, y


DRAWN, OWN_DRAWS = dict[float, float](), random.Random(0)


def drawn_for_each(model: nn.Module, batch: Any) -> Tensor:
    """A loss with a weight for each batch, drawn where it is first seen and kept."""
    weight = DRAWN.setdefault(batch[0].sum().item(), OWN_DRAWS.random())
    return tiny.loss(model, batch) * weight


def in_order_of_words() -> Workload:
    return with_batches(numbered)


def in_order_of_draws() -> Workload:
    return with_loss(drawn_for_each)


@functools.cache
def remembered(key: int) -> float:
    """Drawn when it is first asked for."""
    return random.random() + key


class Memo(stateful.Noisy):
    """Noise that is drawn once a process for each of many keys."""

    def noise(self, x: Tensor) -> Tensor:
        return torch.full_like(x, remembered(int(x.sum() * 1000)) % 1)


class Global(stateful.Noisy):
    """Noise that depends on how often any model of the process was called."""

    def noise(self, x: Tensor) -> Tensor:
        CALLS["all"] += 1
        return torch.full_like(x, 1 / CALLS["all"])


def with_loss(loss: Callable[[nn.Module, Any], Any]) -> Workload:
    return replace(tiny.tiny(), loss=loss)


def with_batches(batch_at: Callable[[int, int], Any]) -> Workload:
    return replace(tiny.tiny(), batch_at=batch_at)


def with_evaluation(evaluate: Callable[[nn.Module], Any]) -> Workload:
    return replace(tiny.tiny(), evaluate=evaluate)


def trains_in_evaluation(model: Any) -> float:
    with torch.no_grad():
        model.head.weight.mul_(0.9)
    return tiny.evaluate(model)


def unseeded(seed: int) -> nn.Module:
    model = tiny.make_model(seed)
    generator = np.random.default_rng()
    with torch.no_grad():
        model.head.weight.add_(float(generator.random()))
    return model


def short(seed: int, step: int) -> Any:
    return [tiny.batch_at(seed, at) for at in range(20)][step]


def stream() -> Callable[[int, int], Any]:
    batches: Iterator[Any] = (tiny.batch_at(0, step) for step in itertools.count())
    return lambda seed, step: next(batches)


def broken(model: nn.Module, batch: Any) -> Tensor:
    return tiny.loss(model, (batch[0][:, :3], batch[1]))


def cut(model: nn.Module, batch: Any) -> Tensor:
    return torch.tensor(float(tiny.loss(model, batch).detach()))


def root_of_zero(model: Any, batch: Any) -> Tensor:
    """Finite, with a gradient that is not."""
    root: Tensor = (model.head.weight * 0).sum().sqrt()
    return tiny.loss(model, batch) + root


class Skips(tiny.ResidualMLP):
    """Its second block is never run."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for index, block in enumerate(self.blocks):
            x = x if index == 1 else block(x)
        return self.head(x)  # type: ignore[no-any-return]


class Around(nn.Module):
    """A model within another, as adapters of pretrained ones are."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.blocks = inner, inner.blocks

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)  # type: ignore[no-any-return]


def within(inner: nn.Module) -> nn.Module:
    return Around(inner)


class SlowWeights(SGD):
    """Every so many steps all weights are set to the middle of themselves and a slow copy."""

    def __init__(self, parameters: Any, every: int) -> None:
        super().__init__(parameters, lr=1e-2)
        self.every, self.count = every, 0

    def step(self, closure: Any = None) -> Any:
        found = super().step(closure)
        self.count += 1
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                slow = self.state[parameter].setdefault("slow", parameter.detach().clone())
                if self.count % self.every == 0:
                    parameter.copy_(slow.lerp_(parameter, 0.5))
        return found


class Decaying(SGD):
    """All weights become smaller, with a gradient and without."""

    def step(self, closure: Any = None) -> Any:
        found = super().step(closure)
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter.mul_(0.999)
        return found


def explosive(model: nn.Module) -> Optimizer:
    """A rate at which nothing stays finite."""
    return SGD(model.parameters(), lr=1e30)


def best_so_far() -> Callable[[nn.Module], float]:
    """An evaluation that gives the least of all that it has seen."""
    seen: list[float] = []

    def evaluate(model: nn.Module) -> float:
        seen.append(tiny.evaluate(model))
        return min(seen)

    return evaluate


DATA = torch.randn(64, tiny.FEATURES, generator=torch.Generator().manual_seed(0))


def view(seed: int, step: int) -> tuple[Tensor, Tensor]:
    """A batch that is a part of the data, not a copy."""
    x = DATA[step % 2 * 32 :][:32]
    return x, x.sum(1, keepdim=True)


def in_place(model: nn.Module, batch: Any) -> Tensor:
    """Noise that stays in the data."""
    return tiny.loss(model, (batch[0].add_(0.1), batch[1]))


def with_own_schedule(model: nn.Module) -> Optimizer:
    """Its rate falls with every step that it takes."""
    optimizer = SGD(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    optimizer.register_step_post_hook(lambda *_: schedule.step())
    return optimizer


REFUSED: dict[str, tuple[Callable[[], Workload], str]] = {
    "weights": (
        lambda: replace(tiny.tiny(), make_model=unseeded),
        "seeded with the seed (make_model at unsound.py:",
    ),
    "an iterator": (lambda: with_batches(lambda s, t: iter([1])), "got a list_iterator"),
    "an iterator in a batch": (
        lambda: with_batches(lambda s, t: (map(float, range(3)), torch.ones(3))),
        "got a tuple of (map, Tensor) with a map in it",
    ),
    "a stream": (lambda: with_batches(stream()), "must give the same batch each time"),
    "drawn batches": (
        lambda: with_batches(lambda s, t: (torch.randn(4, 8), torch.randn(4, 1))),
        "seeded with (seed, step) (batch_at at unsound.py:",
    ),
    "batches that a loss changes": (
        lambda: replace(tiny.tiny(), batch_at=view, loss=in_place),
        "loss(model, batch) must leave the data as they are, but after it batch_at(0, 0) gave",
    ),
    "arrays that are drawn": (
        lambda: with_batches(lambda s, t: {"x": np.random.default_rng().random(3)}),
        "must give the same batch each time",
    ),
    "too few batches": (lambda: with_batches(short), "at step 200 raised IndexError"),
    "an output": (
        lambda: with_loss(lambda m, b: Output(tiny.loss(m, b), None)),
        "got a Output of (Tensor, NoneType): return its .loss",
    ),
    "a dict": (
        lambda: with_loss(lambda m, b: {"loss": tiny.loss(m, b)}),
        "got a dict with 'loss': return its [\"loss\"] (loss at unsound.py:",
    ),
    "a number": (
        lambda: with_loss(lambda m, b: tiny.loss(m, b).item()),
        "return the tensor before .item()",
    ),
    "no gradient": (lambda: with_loss(cut), "has no gradient: leave out detach()"),
    "a loss a row": (
        lambda: with_loss(lambda m, b: (m(b[0]) - b[1]) ** 2),
        "a tensor of shape (32, 1) and torch.float32: take its mean",
    ),
    "a complex loss": (
        lambda: with_loss(lambda m, b: tiny.loss(m, b) + 1j),
        "but got a complex number (torch.complex64): return .abs() or .real of it (loss at",
    ),
    "no loss": (lambda: with_loss(lambda m, b: None), "but got None"),
    "NaN": (lambda: with_loss(lambda m, b: tiny.loss(m, b) * float("nan")), "but got nan"),
    "a user's error": (lambda: with_loss(broken), "unsound.py:"),
    "no evaluation": (
        lambda: with_evaluation(lambda m: None),
        "but got None: is a return missing?",
    ),
    "evaluated to a dict": (
        lambda: with_evaluation(lambda m: {"loss": 1.0}),
        "a dict with 'loss': return one of its values (evaluate at unsound.py:",
    ),
    "evaluated to NaN": (
        lambda: with_evaluation(lambda m: float("nan")),
        "but got nan before any training",
    ),
    "evaluated by chance": (
        lambda: with_evaluation(lambda m: float(np.random.default_rng().random())),
        "must give the same number each time",
    ),
    "an evaluation that remembers": (
        lambda: with_evaluation(best_so_far()),
        "evaluate(model) must depend on the model alone, but of a new one it gave",
    ),
    "evaluation that trains": (
        lambda: with_evaluation(trains_in_evaluation),
        "must leave the model as it is, but changed head.weight",
    ),
    "a further metric that trains": (
        lambda: replace(tiny.tiny(), metrics={"moves": trains_in_evaluation}),
        "evaluate(model) and metrics must leave the model as it is, but changed head.weight",
    ),
    "a further metric that is no number": (
        lambda: replace(tiny.tiny(), metrics={"f1": lambda model: {"f1": 0.5}}),  # type: ignore[dict-item, return-value]
        "metrics['f1'](model) must return one number, but got a dict with 'f1': return its ['f1']",
    ),
    "a further metric that fails": (
        lambda: replace(tiny.tiny(), metrics={"ratio": lambda model: 1 / 0}),
        "division by zero",
    ),
    "a block that is not run": (lambda: stateful.workload(Skips), "never got any: 1 of 4"),
    "gradients that are not finite": (lambda: with_loss(root_of_zero), "gradients must be finite"),
    "a loss that becomes infinite": (
        lambda: stateful.workload(tiny.ResidualMLP, explosive),
        "losses must be finite",
    ),
    "draws that are remembered": (
        lambda: stateful.workload(Memo),
        "took others from Python's generator: something drawn is kept from one training to the",
    ),
    "state of the process": (
        lambda: stateful.workload(Global),
        "What changes while it trains and is not saved: tests.support.unsound.CALLS",
    ),
    "nothing to train": (
        lambda: stateful.workload(lambda: tiny.ResidualMLP().requires_grad_(False)),
        "no parameter requires a grad",
    ),
    "slow weights": (
        lambda: replace(tiny.tiny(), make_optimizer=lambda m: SlowWeights(m.parameters(), 50)),
        "but SlowWeights moves stem.weight, stem.bias, blocks.0.up.weight and 17 more in steps in",
    ),
    "a decay of everything": (
        lambda: replace(tiny.tiny(), make_optimizer=lambda m: Decaying(m.parameters(), lr=1e-2)),
        "let its step leave out those whose grad is None, use another optimizer",
    ),
    "another model's optimizer": (
        lambda: replace(tiny.tiny(), make_optimizer=lambda m: SGD(tiny.ResidualMLP().parameters())),
        "was made for another model",
    ),
    "a scheduler too": (
        lambda: replace(tiny.tiny(), make_optimizer=lambda m: (tiny.make_optimizer(m), 3)),
        "return the optimizer alone",
    ),
    "no blocks": (lambda: replace(tiny.tiny(), blocks=lambda m: []), "but got none"),
    "a loss that counts and shows it late": (
        lambda: with_loss(Annealed()),
        "Annealed.calls, which stays as it is from one trial to the next, and losses depend on it",
    ),
    "a class's table that counts": (
        lambda: stateful.workload(Tallied),
        "unsound.Tallied.tally, which stays as it is from one trial to the next, and losses depend",
    ),
    "a class's list that grows": (
        lambda: stateful.workload(Listed),
        "unsound.Listed.seen, which stays as it is from one trial to the next, and losses depend",
    ),
    "a count of the function's own": (lambda: with_loss(own_count), "own_count.calls, which"),
    "a count in a tensor": (lambda: with_loss(in_tensor), "losses depend on it"),
    "a count in an array": (lambda: with_loss(in_array), "losses depend on it"),
    "a set that grows": (
        lambda: with_loss(gathered),
        "unsound.SEEN, which stays as it is from one trial to the next, and losses depend",
    ),
    "a table that grows": (
        lambda: with_loss(named),
        "unsound.NAMED, which stays as it is from one trial to the next, and losses depend",
    ),
    "a class's object that counts": (
        lambda: stateful.workload(Ticked),
        "unsound.Ticked.meter.calls, which stays as it is from one trial to the next, and losses",
    ),
    "a thread's own count": (
        lambda: with_loss(threaded),
        "unsound.THREADS_OWN.calls, which stays as it is from one trial to the next, and losses",
    ),
    "batches that change late": (lambda: with_batches(late_batches()), "and losses depend on it"),
}
"""Nothing is trained: a workload, and words of the message."""
UNFORKED: dict[str, tuple[Callable[[], Workload], str]] = {
    "saved as a pickle": (
        lambda: stateful.workload(tiny.ResidualMLP, strange_state),
        "['weird'] is a tests.support.unsound.Weird",
    ),
    "an iterator's place": (
        lambda: stateful.workload(Opaque),
        "What changes while it trains and is not saved: calls",
    ),
    "a function in a group": (
        lambda: replace(tiny.tiny(), make_optimizer=with_function),
        "'rule'] is a builtins.function",
    ),
    "what shows late": (lambda: stateful.workload(stateful.Fades), "cannot hold fading"),
}
"""Trials train alone."""
REMARKED: dict[str, tuple[Callable[[], Workload], str]] = {
    "a count in a class": (lambda: stateful.workload(Tabled), "unsound.Tabled.calls"),
    "a count outside": (lambda: with_loss(counted), "unsound.METER.loss"),
    "a number that is found out once": (lambda: with_batches(sized), "unsound.FOUND.size"),
    "evaluation mode": (
        lambda: stateful.workload(lambda: tiny.ResidualMLP().eval()),
        "returned the model in evaluation mode",
    ),
    "a part in evaluation mode": (
        lambda: stateful.workload(lambda: within(tiny.ResidualMLP().eval())),
        "returned inner in evaluation mode, as pretrained models come: it is put into training",
    ),
    "a schedule of its own": (
        lambda: replace(tiny.tiny(), make_optimizer=with_own_schedule),
        "SGD changes its learning rates when it steps",
    ),
    "one batch": (
        lambda: with_batches(lambda s, t: tiny.batch_at(0, 0)),
        "the same batch for every step",
    ),
    "blocks upside down": (
        lambda: replace(tiny.tiny(), blocks=lambda m: tiny.blocks(m)[::-1]),
        "those listed as [0, 1, 2, 3] first ran as [3, 2, 1, 0]",
    ),
    "drawn evaluation": (
        lambda: with_evaluation(lambda m: tiny.evaluate(m) + random.random()),
        "draws from the process's random generators",
    ),
    "an accuracy that is minimised": (
        lambda: replace(tiny.tiny(), metric="top-1 accuracy"),
        "'top-1 accuracy' sounds as if higher were better, but maximize is False",
    ),
    "few held-out examples": (
        lambda: replace(tiny.tiny(), held_out=25),
        "evaluate measures 25 held-out answers: by chance a share told right of so few strays by "
        "about 10.0%",
    ),
    "a further metric that is not finite": (
        lambda: replace(tiny.tiny(), metrics={"f1": lambda model: math.nan}),
        "metrics['f1'](model) gave nan before any training; a trial that ends with such a value "
        "has none recorded",
    ),
    "targets of another size": (
        lambda: with_loss(lambda m, b: functional.mse_loss(m(b[0]), b[1][:, 0])),
        "each prediction is compared with every target (loss at unsound.py:",
    ),
    "no fingerprint": (lambda: replace(tiny.tiny(), fingerprint=""), "fingerprint is empty"),
    "parameters left out": (
        lambda: replace(tiny.tiny(), make_optimizer=lambda m: SGD(m.blocks.parameters(), lr=1e-3)),  # type: ignore[union-attr]
        "the optimizer does not hold stem.weight, stem.bias, head.weight and 1 more",
    ),
}
"""It is said."""
