"""Makes the optimizer that the lever asks for out of the workload's own, and turns its rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.optim import LBFGS, AdamW, Optimizer

from models.application.muon import MuonAdamW
from models.application.roles import ROLES, Place, Role, places
from models.levers.optimizer import ADAMW, MUON, OWN, Optimization, remember

RATE, BETAS, WEIGHT_DECAY, EPS = 1e-3, (0.9, 0.999), 0.01, 1e-8
"""AdamW's, where the workload's own optimizer has no betas and its numbers mean something else."""
ADAMWS = ("lr", "weight_decay", "betas", "eps")
"""Numbers of a group that AdamW has."""
Group = dict[str, Any]


def make_optimizer(
    model: nn.Module,
    blocks: Sequence[nn.Module],
    own: Optimizer,
    lever: Optimization,
    stage_of: Sequence[int] = (),
) -> Optimizer:
    """The optimizer that ``lever`` asks for; with a neutral one ``own`` itself.

    Args:
        model: whose parameters ``own`` holds.
        blocks: the model's.
        own: the workload's, as it makes it, before its first step; it may be changed in place.
        lever: what is asked for.
        stage_of: the stage in which each block comes in (``Depth.stage_of``), where they differ;
            groups are divided by it, and say theirs as ``group["stage"]``.

    Raises:
        ValueError: the workload's own optimizer has no such number to turn, or cannot be divided
            into groups; the message names every one.
    """
    stages = _stages(blocks, stage_of)
    # The very object, so that a neutral lever changes no bit.
    if not lever.turns_numbers and not stages:
        return own
    if lever.optimizer == OWN and (faults := own_faults(own, lever)):
        raise ValueError("; ".join(faults))
    if lever.optimizer != OWN and any(group.get("maximize") for group in own.param_groups):
        raise ValueError(
            "the workload's own optimizer must minimise for another to take its place, but has "
            "maximize=True: negate the loss, and leave that out"
        )
    place_of = places(model, blocks)
    groups = _divided(own.param_groups, _roles(lever, place_of), stages)
    # Groups without decay (norms, biases) are left so on purpose, unless no group has any.
    added_to_all = not any(group.get("weight_decay") for group in own.param_groups)
    # A rate of SGD's means nothing to AdamW; only how its groups' rates compare is kept.
    own_rates = [group["lr"] for group in own.param_groups if "betas" not in group]
    peak = float(max(own_rates, default=1.0)) or 1.0
    turned = [_turned(group, lever, role, added_to_all, peak) for role, group in groups]
    if lever.optimizer == OWN:
        return _regrouped(own, turned)
    if lever.optimizer == ADAMW:
        return AdamW([_only(group, *ADAMWS) for group in turned], fused=True)
    matrices = {p: place.matrices for p, place in place_of.items() if place.matrices is not None}
    return MuonAdamW(
        [_for_muon(group, role, lever) for (role, _), group in zip(groups, turned, strict=True)],
        matrices=matrices,
    )


def own_faults(own: Optimizer, lever: Optimization) -> list[str]:
    """Numbers of ``lever`` that the workload's own optimizer does not have."""
    has = set.intersection(*(set(group) for group in own.param_groups))
    kind = type(own).__name__
    wanted = {
        "weight_decay": (lever.weight_decay_factor, lever.weight_decay_added) != (1.0, 0.0),
        "betas or momentum": lever.beta1_memory != 1.0,
        "betas": lever.beta2_memory != 1.0,
    }
    return [
        f"the workload's own optimizer must have {name} for that to be turned, but {kind} has none"
        for name, turned in wanted.items()
        if turned and not has & set(name.split(" or "))
    ]


def _stages(blocks: Sequence[nn.Module], stage_of: Sequence[int]) -> dict[nn.Parameter, int]:
    """The stage of each parameter that comes in after the start."""
    later = [(block, stage) for block, stage in zip(blocks, stage_of, strict=False) if stage]
    return {parameter: stage for block, stage in later for parameter in block.parameters()}


def _roles(
    lever: Optimization, place_of: Mapping[nn.Parameter, Place]
) -> Callable[[nn.Parameter], Role]:
    """The role by which a parameter's group is divided; one for all where nothing depends on it."""
    if lever.optimizer != MUON and len({lever.rate_of(role) for role in ROLES}) == 1:
        return lambda parameter: "rest"
    return lambda parameter: place_of[parameter].role if parameter in place_of else "rest"


def _divided(
    groups: Sequence[Group],
    role_of: Callable[[nn.Parameter], Role],
    stages: Mapping[nn.Parameter, int],
) -> list[tuple[Role, Group]]:
    """Each group divided into those of one role and stage; all else in it is copied."""
    found: list[tuple[Role, Group]] = []
    for group in groups:
        members: dict[tuple[Role, int], list[nn.Parameter]] = {}
        for parameter in group["params"]:
            key = role_of(parameter), stages.get(parameter, 0)
            members.setdefault(key, []).append(parameter)
        for (role, stage), parameters in members.items():
            found.append((role, {**group, "params": parameters, "stage": stage}))
    return found


def _turned(
    group: Group, lever: Optimization, role: Role, added_to_all: bool, peak: float
) -> Group:
    """The group with the lever's numbers; ``peak`` is the largest rate of groups without betas."""
    adam, other = "betas" in group, lever.optimizer != OWN
    rate = group["lr"] if adam or not other else RATE * (float(group["lr"]) / peak)
    turned = {**group, "lr": rate * lever.rate_of(role)}
    if "weight_decay" in group or other:
        own = group.get("weight_decay", 0.0)
        own = WEIGHT_DECAY if own and other and not adam else own
        turned["weight_decay"] = lever.decay_of_weights(own) if own or added_to_all else 0.0
    if adam or other:
        first, second, *more = group.get("betas", BETAS)
        # Adan has a third, and CAME and Adafactor have two numbers of another meaning in eps.
        turned["betas"] = (*lever.betas((first, second)), *(() if other else more))
        if other and not (adam and isinstance(group.get("eps"), (int, float))):
            turned["eps"] = EPS
    elif "momentum" in group:
        turned["momentum"] = remember(group["momentum"], lever.beta1_memory)
    return turned


def _regrouped(own: Optimizer, groups: list[Group]) -> Optimizer:
    """``own``, which has taken no step, with other groups.

    Raises:
        ValueError: it takes one group alone, or keeps tensors by a parameter's place, which would
            be another's then.
    """
    if isinstance(own, LBFGS) and len(groups) > 1:
        raise ValueError("LBFGS takes one group, so its rates cannot differ between parameters")
    divided = list(map(_members, groups)) != list(map(_members, own.param_groups))
    if divided and (name := _kept_by_place(own)):
        raise ValueError(
            f"the workload's own optimizer must keep what it has of a parameter in "
            f"self.state[parameter] for its groups to be divided, but {type(own).__name__} has a "
            f"list of tensors in {name}"
        )
    # In place: schedulers and wrappers may hold the list.
    own.param_groups[:] = groups
    return own


def _members(group: Group) -> list[int]:
    return list(map(id, group["params"]))


def _kept_by_place(own: Optimizer) -> str | None:
    """The name of a list of tensors, or of a table of them by number, outside of the state by
    parameter; None where there is none.
    """
    held_beside: dict[Any, Any] = {
        key: held for key, held in own.state.items() if not isinstance(key, Tensor)
    }
    for name, held in {**vars(own), **held_beside}.items():
        by_number = isinstance(held, dict) and all(isinstance(key, int) for key in held)
        values = list(held.values()) if by_number else held
        if isinstance(values, (list, tuple)) and any(isinstance(each, Tensor) for each in values):
            return str(name)
    return None


def _for_muon(group: Group, role: Role, lever: Optimization) -> Group:
    return {
        **_only(group, *ADAMWS),
        "muon": role == "hidden",
        "momentum": lever.muon_momentum,
        "newton_schulz_steps": lever.newton_schulz_steps,
    }


def _only(group: Group, *names: str) -> Group:
    """What our optimizers take of a group, whatever else its own one kept there."""
    return {name: group[name] for name in ("params", "stage", *names)}


class Rates:
    """An optimizer's learning rates, changed together: each is its initial peak times factors.

    Groups that name a ``stage`` hold blocks that are added at that stage.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self._now: list[float] = []

    @property
    def peaks(self) -> list[float]:
        """The distinct initial rates, ascending."""
        return sorted(set(self._peaks))

    def set(self, factor: float, of_stage: Callable[[int], float] = lambda stage: 1.0) -> None:
        """Every group's rate: peak × ``factor`` × what its stage has.

        Raises:
            RuntimeError: the optimizer has other groups than it was made with.
        """
        groups = self._groups()
        for group, peak in zip(groups, self._peaks, strict=True):
            group["lr"] = peak * factor * of_stage(cast(int, group.get("stage", 0)))
        self._now = [group["lr"] for group in groups]

    def _groups(self) -> list[Group]:
        groups = self._optimizer.param_groups
        if len(groups) != len(self._peaks):
            raise RuntimeError(
                f"the optimizer must keep its {len(self._peaks)} groups, whose peak rates are "
                f"known, but has {len(groups)}: call add_param_group before the recipe is applied"
            )
        return groups

    def other(self) -> tuple[float, float] | None:
        """A rate that somebody else has set since, and the one it had; None where none has.

        Raises:
            RuntimeError: the optimizer has other groups than it was made with.
        """
        pairs = zip(self._groups(), self._now, strict=False)  # of a step that has not begun none
        other = next(((group["lr"], rate) for group, rate in pairs if group["lr"] != rate), None)
        return None if other is None else (float(other[0]), other[1])

    def forget(self) -> None:
        """Take the present rates, loaded from a checkpoint say, for right."""
        self._now = []
