"""A recipe in a Lightning ``Trainer``.

::

    trainer = Trainer(callbacks=[RecipeCallback("recipe.toml", "model.transformer.h")], ...)
    trainer.fit(module, loader)

Optimizer groups, rates, blocks, averages and the end of the run are the recipe's; data, clipping,
accumulation, mixed precision, validation and checkpoints stay the Trainer's. Where the run stands
is saved in its checkpoints, so that ``fit(..., ckpt_path=...)`` goes on to the bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from tuning.callbacks.held import Blocks, HeldRecipe, Recipe, blocks_of, loaded
from tuning.callbacks.refusals import batch_factor, other_batches, refuse, refuse_other_order
from tuning.training.generators import generators_state, set_generators
from tuning.training.state.encoding import PLAINLY

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ImportError as error:
    raise ImportError(
        "tuning.callbacks.lightning must have lightning: pip install 'time-to-quality[lightning]'"
    ) from error


class RecipeCallback(Callback):
    """Trains as a recipe says, in the ``Trainer`` whose callback it is.

    Args:
        recipe: ``recipe.toml``, or what was loaded from it.
        blocks: in forward order: the name of their list in the module (``model.transformer.h``),
            how the module gives them, or themselves.
        total_steps: how long the run is (see ``LoadedRecipe.apply``); by default as long as
            the Trainer's arguments say.
        seed: of layer dropout; by default the trial's. Where it is given, the process's generators
            are seeded with it too as the first step begins, as a trial's are.
        batch_factor: examples that a step sees, in batches of the workload that the recipe was
            found on. The loader is the caller's, so that this is to be said where it is not 1.
    """

    def __init__(
        self,
        recipe: Recipe,
        blocks: Blocks,
        *,
        total_steps: int | None = None,
        seed: int | None = None,
        batch_factor: float = 1.0,
    ) -> None:
        self._recipe, self._blocks = loaded(recipe), blocks
        self._total_steps, self._seed, self._batch_factor = total_steps, seed, batch_factor
        self._held: HeldRecipe | None = None
        self._averaged = contextlib.ExitStack()
        self._saved: dict[str, Any] = {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the module under the recipe, and hand its optimizer to the Trainer.

        Raises:
            ValueError: it cannot follow the recipe; all reasons are named.
        """
        levers = self._recipe.file.levers
        others = other_batches(levers, self._batch_factor)
        refuse("Lightning", levers, [*_faults(trainer, pl_module), *others])
        if self._saved:  # before the loader draws: the order of the next epoch's examples, say
            set_generators(self._saved["generators"], pl_module.device)
        self._held = HeldRecipe(
            self._recipe.apply(
                pl_module,
                blocks_of(pl_module, self._blocks),
                trainer.optimizers[0],
                total_steps=self._total_steps or _steps(trainer),
                seed=self._seed,
            ),
            self._seed,
        )
        if self._saved:
            self._held.load_state_dict(self._saved["recipe"])
        trainer.strategy.optimizers = [self._held.optimizer]
        _never_end(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the loader, which is there only now.

        Raises:
            ValueError: it gives a trial's examples in batches of another size.
        """
        data = getattr(trainer.train_dataloader, "dataset", None)
        refuse_other_order("Lightning", batch_factor(self._recipe.file.levers), data)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Begin a step, or its next micro-batch."""
        self._at_work.open()

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Take note of the loss."""
        self._at_work.heard(loss)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Read the gradients, which are whole and not clipped yet."""
        self._at_work.close()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Enter the step, where one was taken, and end the run where the recipe does."""
        if self._at_work.idle:
            self._at_work.stepped()
            trainer.should_stop = trainer.should_stop or self._at_work.finished

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the average in the weights' place where the recipe evaluates one."""
        if self._held is not None:
            self._averaged.enter_context(self._held.averaged())

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the trained weights back before they are saved."""
        self._averaged.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Give up the step under way."""
        self._averaged.close()
        if self._held is not None:
            self._held.abandon(exception)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the module with the weights that were evaluated last."""
        if self._at_work.finished:
            self._at_work.settle()

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands, with the state of the generators, which Lightning does not save."""
        if self._held is None:
            return self._saved
        generators = generators_state(self._held.device)
        return {
            "recipe": self._held.state_dict(),
            "generators": {name: PLAINLY.encode(each, name) for name, each in generators.items()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there when the fit starts."""
        self._saved = state_dict

    @property
    def _at_work(self) -> HeldRecipe:
        assert self._held is not None, "made at the start of the fit"
        return self._held


def _faults(trainer: Trainer, module: LightningModule) -> Iterator[str]:
    """Settings of Trainer and module that fit no recipe, each with what to do."""
    if not module.automatic_optimization or len(trainer.optimizers) != 1:
        yield (
            "it must step one optimizer by itself (automatic_optimization), but there are "
            f"{len(trainer.optimizers)}"
        )
    if trainer.lr_scheduler_configs:
        yield "the recipe sets the rates: return no scheduler from configure_optimizers"
    if trainer.world_size > 1:
        yield f"a recipe is for one device, but there are {trainer.world_size}"
    if trainer.precision == "16-mixed":
        yield "16-mixed scales the gradients that relevance is read from: take bf16-mixed"
    if getattr(module, "_compiler_ctx", None) is not None:
        yield (
            "torch.compile of the module hides which blocks run: search with compiled, which "
            "compiles the blocks"
        )


def _steps(trainer: Trainer) -> int:
    """How many steps the Trainer's arguments say."""
    steps = trainer.estimated_stepping_batches
    if steps == float("inf"):
        raise ValueError(
            "how long the run is must be said: give RecipeCallback(total_steps=...), or the "
            "Trainer max_steps"
        )
    return int(steps)


def _never_end(trainer: Trainer) -> None:
    """Lift the Trainer's bounds on epochs and steps: the recipe decides how long a run is."""
    loop = trainer.fit_loop
    loop.min_epochs, loop.max_epochs = 0, -1
    loop.epoch_loop.min_steps, loop.epoch_loop.max_steps = None, -1
