"""A recipe in a user's own loop, the search's loop to the bit.

::

    run = load_recipe("recipe.toml").apply(model, blocks, optimizer, total_steps=2000)
    for batch in run.batches(loader):
        with run.step() as step:
            loss = loss_fn(model, batch)
            loss.backward()
            step.observe(loss)
    with run.averaged():
        evaluate(model)

Leaving ``run.step()`` steps the optimizer and drops the gradients: when that is done decides which
weights are averaged, what the clock has counted and which rates the next step has, so it is not
left to the loop. What is to be done to gradients (clipping) goes inside, after ``observe``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from models.application.batches import OfSeed, Stream
from models.batches import Batch
from models.levers.approximation import Approximation
from models.levers.batch import BatchSize
from models.levers.cached_prefix import CachedPrefix
from models.levers.input import InputSize
from models.levers.shaping import NEEDS_INPUTS
from models.making import parts_at_rest
from models.several import as_one
from policies.apply import Step
from policies.rules import Scalar
from tuning.training.levered import Levered, Shrink, Subject
from tuning.training.own_groups import OwnGroups, not_held, optimizer_faults, other_numbers
from tuning.training.own_loop import InOrder, OwnLoop
from tuning.trial.course import Course
from tuning.trial.recipe_file import RecipeFile, parse


class RecipeRun:
    """A recipe at work in a loop; made by ``LoadedRecipe.apply``.

    Args:
        levered: the model under the recipe.
        own: the loop's optimizer; what steps may be another.
        needs_batches: whether the recipe says what a step sees.

    Attributes:
        levered: the same, for loops that step the optimizer themselves.
    """

    def __init__(self, levered: Levered, own: Optimizer, *, needs_batches: bool) -> None:
        self.levered, self._needs_batches = levered, needs_batches
        self._given = False
        self._loop = OwnLoop(levered, own)

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer that takes the steps: the user's own or the recipe's. It may be replaced by
        another during the run.
        """
        return self.levered.optimizer

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return self.levered.course.steps

    @property
    def fraction(self) -> float:
        """Share of the run that is over, in [0, 1]."""
        return self.levered.course.fraction

    @property
    def finished(self) -> bool:
        """Whether the run is over."""
        return self.levered.course.finished

    @property
    def model_blocks(self) -> int:
        """How many blocks the model has at present; the weights of blocks above them were never
        trained.
        """
        return self.levered.updater.model_blocks

    @property
    def evaluation_due(self) -> bool:
        """Whether the trial was evaluated at this step: every ``eval_every`` steps, and at its
        end.
        """
        return self.levered.course.evaluation_due

    def batches(self, source: Iterable[Batch] | None = None) -> Iterator[Batch]:
        """One batch for each step until the run is over, on the model's device.

        Args:
            source: batches one after the other, gone through again when they end; those that a
                resumed run has seen are passed over. Without it those of ``batch_at``.

        Raises:
            ValueError: there is neither; batches that cannot be cut or joined; or none are left.
            RuntimeError: a batch was asked for before a step was taken with the last one.
        """
        batch_at = self.levered.subject.batch_at
        if source is None and batch_at is None:
            raise ValueError(
                "batches must come from somewhere: give run.batches(loader), or batch_at to apply"
            )
        if source is not None:
            batch_at = InOrder(source)
        assert batch_at is not None
        return self._batches(Stream(batch_at))

    def _batches(self, stream: Stream) -> Iterator[Batch]:
        while not self.finished:
            if self._given:
                raise RuntimeError("each batch must be used in one 'with run.step()'")
            self.levered.prepare()
            batch = self.levered.batch(stream)
            self._given = True
            yield batch

    @contextlib.contextmanager
    def step(self, scaler: Any = None) -> Iterator[Step]:
        """Take one step: forward, backward and ``step.observe(loss)`` go inside.

        Args:
            scaler: the ``torch.amp.GradScaler`` of a loop in float16; the step is its ``step`` and
                ``update``, and one that it skips counts as taken. What is observed is the loss
                itself, with ``grad_scale=scaler.get_scale()``.

        Raises:
            RuntimeError: the run is over, or the recipe says what a step sees and the batch is not
                of ``batches``; the loop does beside the step what would make it another, see
                ``OwnLoop``; and see ``BlockUpdater.step``.
        """
        if self.finished:
            raise RuntimeError(f"the run is over: its {self.steps} steps have been taken")
        if self._needs_batches and not self._given:
            raise RuntimeError(
                "a step's batch must come from run.batches(...), as the recipe says what it holds"
            )
        self._loop.begins()
        self.levered.prepare()
        with self.levered.step(scaler) as update, self._loop.inside(update):
            yield update
        self._given = False
        self._loop.ended()
        if self.finished:
            self.levered.updater.thaw()

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the model has the weights to evaluate: the average's, where the recipe
        has one.
        """
        with self._loop.averaged():
            yield

    def settle(self) -> None:
        """Leave the model with the weights to evaluate, for good: the run is over."""
        self._loop.refuse_averaged("run.settle()")
        if not self.finished:
            warnings.warn(
                f"the run stands at {self.steps} of its steps, {self.fraction:.0%} of the way: its "
                "rates have not come down, nor has it all its blocks or its average; "
                "run.batches(loader) goes on until it is over",
                stacklevel=2,
            )
        self.levered.settle()

    def state_dict(self) -> dict[str, Any]:
        """All of the run, between two steps: model, optimizer and generators too.

        Raises:
            RuntimeError: inside ``averaged``.
        """
        self._loop.refuse_averaged("run.state_dict()")
        return {**self.levered.state_dict(), "terms": self.levered.terms()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state_dict`` was taken, in a run that was applied anew.

        Raises:
            ValueError: the state is of another recipe, or another optimizer took its steps.
        """
        here, there = self.levered.terms(), state.get("terms", {})
        others = [
            f"{name}: {there[name]} (here {here[name]})"
            for name in here
            if name in there and there[name] != here[name]
        ]
        said = f"the run that is gone on with was made with another {'; another '.join(others)}"
        if there.get("optimizer", here["optimizer"]) != here["optimizer"]:
            raise ValueError(f"{said}: apply the same recipe to such an optimizer")
        if others:
            warnings.warn(f"{said}; it goes on by what it is here", stacklevel=2)
        self.levered.load_state_dict(state)


@dataclasses.dataclass(frozen=True)
class LoadedRecipe:
    """A recipe that was loaded from a file.

    Attributes:
        file: the file's content: policy, levers, facts of the trial, its schedule and clock.
    """

    file: RecipeFile

    # Many arguments, but all are the loop's own things; only the first three are always needed.
    def apply(
        self,
        model: nn.Module,
        blocks: Sequence[nn.Module],
        optimizer: Any,
        *,
        total_steps: int | None = None,
        seed: int | None = None,
        batch_at: Callable[[int, int], Batch] | None = None,
        examples_at: Callable[[int, int], torch.Tensor] | None = None,
        shrink: Shrink | None = None,
        loss: Callable[[nn.Module, Batch], Any] | None = None,
    ) -> RecipeRun:
        """The recipe at work on a model, which is put into training mode.

        Args:
            model: changed in place.
            blocks: its blocks in forward order, as many as the trial's model had.
            optimizer: the loop's own, before its first step, its rates at their peak: the recipe
                turns them, so that no scheduler belongs beside it. Several in a list.
            total_steps: how long the run is, in steps of what the trial took on average; by default
                as long as the trial. Fractions grow with it; what is counted in steps (warm-up,
                recovery, probes, evaluations) stays, as at another horizon of the search.
            seed: of ``batch_at``, ``examples_at`` and layer dropout; by default the trial's. The
                process's generators are left alone.
            batch_at: (seed, step) -> batch, as a workload's; so are the next three.
            examples_at: where a prefix is kept.
            shrink: where examples are smaller at first.
            loss: where matrices are fitted to data; with it no first step is needed to see what
                runs when.

        Raises:
            ValueError: arguments that do not fit the recipe; names all that are missing.
        """
        number = self.seed if seed is None else seed
        given = {
            "batch_at": batch_at, "examples_at": examples_at, "shrink": shrink, "loss": loss
        }  # fmt: skip
        optimizer = as_one(optimizer)
        self._refuse(
            len(blocks),
            total_steps,
            {name for name, each in given.items() if each},
            optimizer_faults(model, optimizer),
        )
        for part in parts_at_rest(model).values():
            part.train()
        own = OwnGroups(model, optimizer)
        if others := other_numbers(optimizer, self.file.baseline):
            warnings.warn(
                f"the recipe was found with {', '.join(others)}; its factors multiply what is here",
                stacklevel=2,
            )
        subject = Subject(
            model,
            blocks=lambda _: blocks,
            own_optimizer=own.renewed,
            batch_at=None if batch_at is None else OfSeed(batch_at, number),
            examples_at=None if examples_at is None else partial(examples_at, number),
            shrink=shrink,
            loss=None if loss is None else partial(loss, model),
        )
        levers = self.file.levers
        levered = Levered(subject, self.file.policy, levers, self.course(total_steps), number)
        if left := not_held(model, levered.optimizer):
            warnings.warn(
                f"{len(left)} parameters that require a gradient are not in the optimizer and will "
                f"stay as they are, {left[0]} for one: make it of all of model.parameters(), after "
                "the model has all its parts, or freeze them (requires_grad_(False))",
                stacklevel=2,
            )
        sees = any(levers.of(kind).on for kind in (BatchSize, InputSize, CachedPrefix))
        return RecipeRun(levered, optimizer, needs_batches=sees)

    @property
    def seed(self) -> int:
        """The trial's seed, from which its model, its batches and what it drew came."""
        return int(self.file.facts["seed"])

    @property
    def steps(self) -> int:
        """The number of steps of the trial."""
        return int(self.file.facts["steps"])

    @property
    def threads(self) -> int:
        """The number of threads of the process that trained the trial, on which the last bits of a
        CPU's sums depend.
        """
        assert self.file.costs is not None, "parsing refuses a file without"
        return self.file.costs.threads

    @property
    def batch_factor(self) -> float:
        """Examples that a step sees at first, in batches of the workload."""
        return self.file.levers.of(BatchSize).stages()[0]

    @property
    def own(self) -> Mapping[str, Scalar]:
        """The workload's own knobs that are turned, as arguments of its factory: the model has to
        be built with them.
        """
        return self.file.own

    def course(self, total_steps: int | None = None) -> Course:
        """The course of a run of ``total_steps`` steps (by default as many as the trial's): how far
        it is, its rates and forms, step by step.
        """
        facts, timetable, costs = self.file.facts, self.file.timetable, self.file.costs
        assert timetable is not None, "parsing refuses a file without"
        assert costs is not None, "parsing refuses a file without"
        horizon = float(facts["horizon"])
        if total_steps not in (None, facts["steps"]):
            horizon *= total_steps / facts["steps"]
        return Course(timetable, costs, horizon, self.file.levers)

    def _refuse(
        self, blocks: int, total_steps: int | None, given: set[str], others: Iterable[str]
    ) -> None:
        costs, faults = self.file.costs, [*others]
        if total_steps is not None and not (isinstance(total_steps, int) and total_steps >= 1):
            faults.append(f"total_steps >= 1 must hold, but got total_steps={total_steps!r}")
        if costs is not None and blocks != costs.num_blocks:
            faults.append(
                f"blocks must be {costs.num_blocks}, as many as the trial's model had and its "
                f"clock knows, but got {blocks}: load_policy and BlockUpdater take any number"
            )
        faults += [
            f"{name} must be given for the lever {lever}, but was not"
            for lever, names in self._needs().items()
            for name in names
            if name not in given
        ]
        if faults:
            raise ValueError("; ".join(faults))

    def _needs(self) -> dict[str, tuple[str, ...]]:
        """The arguments that each pulled lever needs beside the model, by lever."""
        levers = self.file.levers
        needs: dict[str, tuple[str, ...]] = {}
        if levers.of(CachedPrefix).on:
            needs["cached_prefix"] = ("examples_at",)
        if levers.of(InputSize).on:
            needs["input"] = ("shrink",)
        if levers.of(Approximation).approximation in NEEDS_INPUTS:
            needs["approximation"] = ("batch_at", "loss")
        return needs


def load_recipe(path: str | Path) -> LoadedRecipe:
    """The recipe that ``tuning.export`` wrote to ``path``.

    Raises:
        ValueError: the file cannot be read or is none; names every fault.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"a recipe must be a readable file, but {path} is not: {error}") from error
    return LoadedRecipe(parse(text, str(path)))
