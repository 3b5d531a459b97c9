"""The lever of what makes a step of a gradient: whose rule, and with which numbers. Pure; no torch.

Every number but Muon's two is relative to the workload's own, so that 1 (a factor) and 0 (what is
added) leave a run as it is, whatever the workload:

    rate          r · rate                     of hidden matrices; r · rate · rate_GROUP of a group
    weight decay  w · weight_decay_factor + weight_decay_added
    beta          1 − (1 − b) / memory         so that memory 2 averages over twice as many steps
    warm-up       s · warmup_factor + warmup_added · steps of the baseline
    decay         d · decay_factor + decay_added      a share above 1 begins below the peak
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from models.levers.form import Form
from models.levers.lever import Lever
from policies.rules import setting

OWN, ADAMW, MUON = "own", "adamw", "muon"
KINDS = (OWN, ADAMW, MUON)
GROUPS = ("embeddings", "head", "rest")
"""Groups of parameters beside the hidden matrices, to whose rate theirs are relative."""
COURSE = ("warmup_factor", "warmup_added", "decay_factor", "decay_added", "final_rate")
"""Settings of the learning rate's course."""
NUMBERS = (
    "rate",
    *(f"rate_{group}" for group in GROUPS),
    "weight_decay_factor",
    "weight_decay_added",
    "beta1_memory",
    "beta2_memory",
    *COURSE,
)
"""Settings that turn the workload's own optimizer, whichever it is."""


@dataclass(frozen=True)
class Optimization(Lever):
    """The optimizer and its numbers."""

    name: ClassVar[str] = "optimizer"
    switches: ClassVar[tuple[str, ...]] = ("optimizer", *NUMBERS)

    optimizer: str = setting(
        OWN,
        choices=KINDS,
        meaning="the workload's own, AdamW, or Muon for hidden matrices with AdamW for the rest",
    )
    rate: float = setting(
        1.0,
        likely=1.5,
        unsure=0.2,
        low=1e-4,
        high=1e4,
        unit="× the workload's",
        meaning="learning rate of every parameter",
    )
    rate_embeddings: float = setting(
        1.0, low=0.0, high=1e4, unit="× rate", meaning="learning rate of matrices in the stem"
    )
    rate_head: float = setting(
        1.0, low=0.0, high=1e4, unit="× rate", meaning="learning rate of matrices in the head"
    )
    rate_rest: float = setting(
        1.0, low=0.0, high=1e4, unit="× rate", meaning="learning rate of norms, biases and the like"
    )
    weight_decay_factor: float = setting(
        1.0,
        likely=0.5,
        low=0.0,
        high=1e4,
        unit="× the workload's",
        meaning="weight decay",
    )
    weight_decay_added: float = setting(
        0.0, low=0.0, high=10.0, meaning="weight decay beside the workload's"
    )
    beta1_memory: float = setting(
        1.0,
        likely=1.0,
        low=0.01,
        high=100.0,
        unit="× the workload's",
        meaning="steps over which gradients are averaged, 1 / (1 − beta1)",
    )
    beta2_memory: float = setting(
        1.0,
        likely=1.0,
        low=0.01,
        high=100.0,
        unit="× the workload's",
        meaning="steps over which their squares are averaged, 1 / (1 − beta2)",
    )
    muon_momentum: float = setting(
        0.95,
        likely=0.95,
        low=0.0,
        high=0.9999,
        unit="fraction",
        meaning="Muon's momentum (Nesterov's)",
    )
    newton_schulz_steps: int = setting(
        5, low=1, high=20, unit="steps", meaning="by which Muon makes an update orthogonal"
    )
    warmup_factor: float = setting(
        1.0,
        likely=0.5,
        low=0.0,
        high=100.0,
        unit="× the workload's",
        meaning="length of the warm-up",
    )
    warmup_added: float = setting(
        0.0,
        low=0.0,
        high=1.0,
        unit="× baseline steps",
        meaning="steps of warm-up beside the workload's",
    )
    decay_factor: float = setting(
        1.0,
        low=0.0,
        high=100.0,
        unit="× the workload's",
        meaning="share of the horizon over which the learning rate falls",
    )
    decay_added: float = setting(
        0.0,
        likely=0.4,
        low=0.0,
        high=1.0,
        unit="fraction",
        meaning="share of decay beside the workload's",
    )
    final_rate: float = setting(
        0.0,
        likely=0.05,
        low=0.0,
        high=1.0,
        unit="fraction",
        meaning="of the peak, at the end of the decay",
    )

    def idle(self) -> frozenset[str]:
        """Muon's own numbers, where it is another."""
        muons = {"muon_momentum", "newton_schulz_steps"}
        return super().idle() | (set() if self.optimizer == MUON else muons)

    @property
    def turns_numbers(self) -> bool:
        """Whether the optimizer itself is another, or has other numbers.

        The course of the learning rate (warm-up, decay, final rate) does not count: the optimizer
        does not know it.
        """
        off = {name: value for name, value in self.off().items() if name not in COURSE}
        return any(getattr(self, name) != value for name, value in off.items())

    @property
    def divided(self) -> bool:
        """Whether parameters of different roles have different rates, so that groups are divided.

        >>> Optimization(rate=2.0).divided, Optimization(rate_head=0.5).divided
        (False, True)
        """
        return any(getattr(self, f"rate_{group}") != 1.0 for group in GROUPS)

    def shaped(self, form: Form, fraction: float = 0.0) -> Form:
        """``form`` with steps taken so; numbers alone change no cost."""
        muon = self.optimizer == MUON
        return replace(
            form,
            optimizer=self.optimizer,
            divided=self.divided and not muon,
            newton_schulz_steps=self.newton_schulz_steps if muon else 0,
        )

    def rate_of(self, group: str) -> float:
        """The factor on the workload's rate for ``hidden`` matrices or one of ``GROUPS``."""
        own = 1.0 if group == "hidden" else float(getattr(self, f"rate_{group}"))
        return self.rate * own

    def decay_of_weights(self, own: float) -> float:
        """Weight decay where the workload's is ``own``."""
        return own * self.weight_decay_factor + self.weight_decay_added

    def betas(self, own: tuple[float, float]) -> tuple[float, float]:
        """Adam's two betas where the workload's are ``own``.

        >>> [round(beta, 6) for beta in Optimization(beta1_memory=2.0).betas((0.9, 0.95))]
        [0.95, 0.95]
        """
        return remember(own[0], self.beta1_memory), remember(own[1], self.beta2_memory)

    def warmup_steps(self, own: int, steps: int) -> int:
        """Steps of warm-up where the workload's are ``own`` of ``steps``.

        >>> Optimization(warmup_factor=0.5, warmup_added=0.1).warmup_steps(40, 600)
        80
        """
        return round(own * self.warmup_factor + steps * self.warmup_added)

    def decay_fraction(self, own: float) -> float:
        """Share of decay where the workload's is ``own``."""
        return own * self.decay_factor + self.decay_added


def stand_in(form: Form) -> Optimization:
    """Settings whose steps cost what steps in ``form`` do.

    >>> form = Optimization("muon", newton_schulz_steps=3, rate=2.0).shaped(Form())
    >>> stand_in(form) == Optimization("muon", newton_schulz_steps=3)
    True
    """
    return Optimization(
        optimizer=form.optimizer,
        rate_head=0.5 if form.divided else 1.0,
        newton_schulz_steps=form.newton_schulz_steps or Optimization().newton_schulz_steps,
    )


def remember(beta: float, memory: float) -> float:
    """The beta whose average reaches ``memory`` times as far back; with 1 the same to the bit.

    Raises:
        ValueError: a memory so short that no beta has it.
    """
    if memory == 1.0:
        return beta
    changed = 1 - (1 - beta) / memory
    if changed < 0:
        raise ValueError(
            f"memory >= 1 − beta must hold, so that it reaches back at least one step, but got "
            f"(memory={memory:g}, beta={beta:g})"
        )
    return changed
