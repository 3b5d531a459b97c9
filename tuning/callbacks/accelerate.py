"""A recipe in a loop of Hugging Face's accelerate.

::

    run = follow("recipe.toml", accelerator, model, "blocks", optimizer, total_steps=2000)
    for x, y in run.batches(loader):
        with accelerator.accumulate(run.model):
            loss = loss_fn(run.model(x), y)
            accelerator.backward(loss)
            run.optimizer.step()
            run.optimizer.zero_grad()

``follow`` stands in place of ``accelerator.prepare(model, optimizer)``. Data, clipping (after the
backward), accumulation, mixed precision and checkpoints stay accelerate's: ``save_state`` holds
where the run stands, and ``load_state`` goes on to the bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from functools import wraps
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from tuning.callbacks.held import Blocks, HeldRecipe, Recipe, blocks_of, loaded
from tuning.callbacks.refusals import other_batches, refuse, refuse_other_order

try:
    from accelerate import Accelerator
    from accelerate.utils import DynamoBackend
except ImportError as error:
    raise ImportError(
        "tuning.callbacks.accelerate must have accelerate: pip install 'time-to-quality[hf]'"
    ) from error


# Many arguments, but all are the loop's own things; only the first five are always needed.
def follow(
    recipe: Recipe,
    accelerator: Accelerator,
    model: nn.Module,
    blocks: Blocks,
    optimizer: Optimizer,
    *,
    total_steps: int | None = None,
    seed: int | None = None,
    batch_factor: float = 1.0,
) -> AcceleratedRun:
    """Prepare a model and its optimizer, and put them under a recipe.

    Args:
        recipe: ``recipe.toml``, or what was loaded from it.
        accelerator: of one process.
        model: not yet prepared.
        blocks: in forward order: themselves, or the name of their list (``transformer.h``).
        optimizer: not yet prepared, before its first step, its rates at their peak. No
            scheduler belongs beside it.
        total_steps: how long the run is (see ``LoadedRecipe.apply``); by default as the trial.
        seed: of layer dropout; by default the trial's. Where it is given, the process's generators
            are seeded with it too as the first step begins, as a trial's are.
        batch_factor: examples that a step sees, in batches of the workload that the recipe was
            found on. The loader is the caller's, so that this is to be said where it is not 1.

    Raises:
        ValueError: it cannot follow the recipe; all reasons are named.
    """
    found = loaded(recipe)
    levers = found.file.levers
    refuse("accelerate", levers, [*_faults(accelerator), *other_batches(levers, batch_factor)])
    model = accelerator.prepare(model)
    run = found.apply(
        model, blocks_of(model, blocks), optimizer, total_steps=total_steps, seed=seed
    )
    return AcceleratedRun(HeldRecipe(run, seed), accelerator, model, batch_factor)


class AcceleratedRun:
    """A recipe at work in a loop of accelerate; made by ``follow``.

    Args:
        held: the recipe at work.
        accelerator: whose ``accumulate`` and ``backward`` say from now on what happens.
        model: as it was prepared.
        batch_factor: how many examples a step sees, in batches of the workload.

    Attributes:
        model: the same.
        optimizer: what takes the steps, prepared: the caller's own, or the recipe's.
    """

    def __init__(
        self, held: HeldRecipe, accelerator: Accelerator, model: nn.Module, batch_factor: float
    ) -> None:
        self._held, self._accelerator, self.model = held, accelerator, model
        self._batch_factor = batch_factor
        self._seen, self._past = 0, 0  # batches, and those of epochs that are over
        self.optimizer: Any = accelerator.prepare_optimizer(held.optimizer)
        for owner, name in ((accelerator, "accumulate"), (accelerator, "backward"),
                            (self.optimizer, "step")):  # fmt: skip
            method = getattr(owner, name)
            setattr(owner, name, wraps(method)(getattr(self, f"_{name}")(method)))
        accelerator.register_for_checkpointing(self)

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return self._held.steps

    @property
    def finished(self) -> bool:
        """Whether the run is over."""
        return self._held.finished

    def batches(self, loader: Iterable[Any]) -> Iterator[Any]:
        """The loader's batches, epoch after epoch until the run is over. A resumed run skips those
        of its epoch that it has seen.

        Raises:
            ValueError: there is none, or they are those of a trial with another size of batch.
        """
        data = getattr(loader, "dataset", None)
        refuse_other_order("accelerate", self._batch_factor, data)
        while not self.finished:
            before = self._seen, self._past
            yield from self._epoch(loader)
            # An epoch that was resumed after its last batch gives no more, and ends only now.
            if (self._seen, self._past) == before and not self.finished:
                raise ValueError("batches must last for the run, but an epoch had none")

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Within the block the model has the weights to evaluate: their average, where there is
        one.
        """
        return self._held.averaged()

    def settle(self) -> None:
        """Leave the model with the weights to evaluate, for good: the run is over."""
        self._held.settle()

    def state_dict(self) -> dict[str, Any]:
        """Where the run stands. ``accelerator.save_state`` calls this."""
        return {"recipe": self._held.state_dict(), "seen": self._seen, "past": self._past}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where ``state`` was taken. ``accelerator.load_state`` calls this."""
        self._held.load_state_dict(state["recipe"])
        self._seen, self._past = state["seen"], state["past"]

    def _epoch(self, loader: Any) -> Iterator[Any]:
        length = _length(loader)
        epoch, before = divmod(self._seen, length) if length else (0, self._seen - self._past)
        if hasattr(loader, "set_epoch"):
            loader.set_epoch(epoch)
        rest = self._accelerator.skip_first_batches(loader, before) if before else loader
        for batch in rest:
            if self.finished:
                return
            self._seen += 1
            yield batch
        self._past = self._seen

    def _accumulate(self, accumulate: Any) -> Any:
        @contextlib.contextmanager
        def around(*models: Any) -> Iterator[None]:
            self._held.open()
            try:
                with accumulate(*models):
                    yield
            except BaseException as error:
                self._held.abandon(error)
                raise

        return around

    def _backward(self, backward: Any) -> Any:
        def heard(loss: Tensor, **kwargs: Any) -> None:
            if self._held.idle:
                raise RuntimeError(
                    "under a recipe forward and backward must be inside 'with "
                    "accelerator.accumulate(model)', one backward each, but this one is not"
                )
            backward(loss, **kwargs)
            self._held.heard(loss / self._accelerator.gradient_accumulation_steps)
            if self._accelerator.sync_gradients:
                self._held.close()

        return heard

    def _step(self, step: Any) -> Any:
        def stepped(*args: Any, **kwargs: Any) -> None:
            step(*args, **kwargs)
            if self._accelerator.sync_gradients:
                self._held.stepped()

        return stepped


def _faults(accelerator: Accelerator) -> Iterator[str]:
    """Settings of the accelerator that fit no recipe, each with what to do."""
    if accelerator.num_processes > 1:
        yield f"a recipe is for one process, but there are {accelerator.num_processes}"
    if accelerator.mixed_precision == "fp16":
        yield "fp16 scales the gradients that relevance is read from: take bf16"
    if accelerator.state.dynamo_plugin.backend != DynamoBackend.NO:
        yield ("dynamo hides which blocks run: search with compiled, which compiles the blocks")


def _length(loader: Any) -> int | None:
    """The number of batches in an epoch; None where the loader does not say."""
    try:
        return len(loader)
    except TypeError:  # of a loader over a stream, which has a __len__ all the same
        return None
