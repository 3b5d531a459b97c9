"""A recipe in Hugging Face's ``Trainer``.

::

    RecipeCallback("recipe.toml", "transformer.h").add_to(trainer)
    trainer.train()

Optimizer groups, rates, blocks, averages and the end of the run are the recipe's; data, clipping,
accumulation, mixed precision, activation checkpointing, evaluation and checkpoints stay the
Trainer's. Where the run stands is saved with its scheduler, so that
``train(resume_from_checkpoint=...)`` goes on to the bit.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import wraps
from typing import Any, cast

from models.levers.batch import MISSING, whole_examples
from tuning.callbacks.held import Blocks, HeldRecipe, Recipe, blocks_of, loaded
from tuning.callbacks.refusals import batch_factor, refuse, refuse_other_order
from tuning.training.generators import generators_kept

try:
    from transformers import Trainer, TrainerCallback
    from transformers.trainer_utils import SchedulerType
except ImportError as error:
    raise ImportError(
        "tuning.callbacks.trainer must have transformers: pip install 'time-to-quality[hf]'"
    ) from error


class RecipeCallback(TrainerCallback):
    """Trains as a recipe says, in a ``Trainer`` that it is added to.

    Args:
        recipe: ``recipe.toml``, or what was loaded from it.
        blocks: in forward order: themselves, or the name of their list (``transformer.h``).
        total_steps: how long the run is (see ``LoadedRecipe.apply``); by default as long as
            the Trainer's arguments say.
        seed: of layer dropout; by default the trial's. Where it is given, the process's generators
            are seeded with it too as the first step begins, as a trial's are.

    Attributes:
        held: the recipe at work, once training has begun.
    """

    def __init__(
        self,
        recipe: Recipe,
        blocks: Blocks,
        *,
        total_steps: int | None = None,
        seed: int | None = None,
    ) -> None:
        self._recipe, self._blocks = loaded(recipe), blocks
        self._total_steps, self._seed = total_steps, seed
        self.held: HeldRecipe | None = None

    def add_to(self, trainer: Trainer) -> RecipeCallback:
        """Put ``trainer`` under the recipe, before it has trained.

        Raises:
            ValueError: it cannot follow the recipe; all reasons are named.
        """
        levers = self._recipe.file.levers
        refuse("Trainer", levers, list(_faults(trainer)))
        refuse_other_order("Trainer", batch_factor(levers), trainer.train_dataset)
        _scale_batch(trainer, batch_factor(levers))
        # First, so that the Trainer's own flow sees where the run ends.
        trainer.callback_handler.callbacks.insert(0, self)
        for owner, name, around in (
            (trainer, "create_optimizer", self._create_optimizer),
            (trainer, "set_initial_training_values", self._endless),
            (trainer, "training_step", self._training_step),
            (trainer.accelerator, "backward", self._backward),
            (trainer, "evaluate", self._evaluate),
        ):
            method = getattr(owner, name)
            setattr(owner, name, wraps(method)(around(trainer, method)))
        return self

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the Trainer from ending the run before the recipe does."""
        state.max_steps = max(state.max_steps, state.global_step + 2)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Enter the step that was taken."""
        self._at_work.stepped()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """End the run where the recipe does."""
        if self._at_work.finished:
            state.max_steps = state.global_step

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Leave the model with the weights that were evaluated last."""
        if self._at_work.finished:
            self._at_work.settle()

    @property
    def _at_work(self) -> HeldRecipe:
        assert self.held is not None, "made with the optimizer, before the first event"
        return self.held

    def _create_optimizer(self, trainer: Trainer, create: Callable[..., Any]) -> Any:
        def made(model: Any = None) -> Any:
            if self.held is not None:
                raise RuntimeError(
                    "a recipe must be trained once, but train() was called again: make a new "
                    "Trainer, and resume there by train(resume_from_checkpoint=...)"
                )
            model, optimizer = trainer.model, create(model)
            run = self._recipe.apply(
                model,
                blocks_of(model, self._blocks),
                optimizer,
                total_steps=self._total_steps or trainer.state.max_steps,
                seed=self._seed,
            )
            self.held = HeldRecipe(run, self._seed)
            trainer.lr_scheduler = cast(Any, Schedule(self.held))
            trainer.optimizer = self.held.optimizer
            return trainer.optimizer

        return made

    def _endless(self, trainer: Trainer, values: Callable[..., Any]) -> Any:
        """A replacement for the Trainer's ``values`` with no bound on the steps: the recipe decides
        how long a run is, so epochs must not end it.
        """
        return lambda *args: (sys.maxsize, *values(*args)[1:])

    def _training_step(self, trainer: Trainer, step: Callable[..., Any]) -> Any:
        def trained(*args: Any, **kwargs: Any) -> Any:
            held = self._at_work
            held.open()
            try:
                loss = step(*args, **kwargs)
            except BaseException as error:
                held.abandon(error)
                raise
            if trainer.accelerator.sync_gradients:
                held.close()
            return loss

        return trained

    def _backward(self, trainer: Trainer, backward: Callable[..., Any]) -> Any:
        def heard(loss: Any, **kwargs: Any) -> None:
            backward(loss, **kwargs)
            self._at_work.heard(loss / trainer.accelerator.gradient_accumulation_steps)

        return heard

    def _evaluate(self, trainer: Trainer, evaluate: Callable[..., Any]) -> Any:
        def evaluated(*args: Any, **kwargs: Any) -> Any:
            if self.held is None:
                return evaluate(*args, **kwargs)
            with generators_kept(), self.held.averaged():
                return evaluate(*args, **kwargs)

        return evaluated


class Schedule:
    """What the Trainer takes for its scheduler. It reports the rates that the recipe sets, and its
    state is where the run stands.

    Args:
        held: the recipe at work.
    """

    def __init__(self, held: HeldRecipe) -> None:
        self._held = held

    def step(self) -> None:
        """Do nothing: each step's rates are set as it begins."""

    def get_last_lr(self) -> list[float]:
        """The rates of the last step, by group."""
        return [float(group["lr"]) for group in self._held.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands."""
        return self._held.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._held.load_state_dict(state)


def _faults(trainer: Trainer) -> Iterator[str]:
    """Settings of the Trainer that fit no recipe, each with what to do."""
    args = trainer.args
    if trainer.lr_scheduler is not None:
        yield "the recipe sets the rates, so optimizers=(..., None) must hold no scheduler"
    if args.lr_scheduler_type != SchedulerType.LINEAR or args.warmup_steps:
        yield "the recipe sets the rates: leave lr_scheduler_type and warmup_steps as they are"
    if args.torch_compile:
        yield (
            "torch_compile hides from the recipe which blocks run: search with compiled, which "
            "compiles the blocks"
        )
    if args.n_gpu > 1 or args.world_size > 1 or args.deepspeed or args.fsdp:
        yield "a recipe is for one device: show one, and leave deepspeed and fsdp out"
    if args.fp16:
        yield "fp16 scales the gradients that relevance is read from: take bf16"
    if args.auto_find_batch_size:
        yield "auto_find_batch_size begins the run anew: set per_device_train_batch_size"
    if args.load_best_model_at_end:
        yield "load_best_model_at_end takes weights from before the decay: leave it out"


def _scale_batch(trainer: Trainer, factor: float) -> None:
    """Let a step see ``factor`` times the examples that the arguments say.

    Raises:
        ValueError: that is no whole number.
    """
    own = trainer.args.per_device_train_batch_size
    size = whole_examples(Fraction(factor), own)
    if abs(own * factor - size) > MISSING or not size:
        raise ValueError(
            f"the recipe takes {factor:g} × the workload's batch, which must be a whole number of "
            f"examples, but per_device_train_batch_size={own} gives {own * factor:g}"
        )
    trainer.args.per_device_train_batch_size = trainer._train_batch_size = size
