"""A trial trained again from its recipe, in a loop of your choice, beside the loss it recorded.

    python -m tuning.export runs/mine --trial best -o recipe.toml
    python examples/again.py recipe.toml trainer     # or lightning, accelerate, plain

What makes it the same: the workload's model and optimizer from the trial's seed, its examples in
the trial's order, the generators seeded as the trial's were, and nothing clipped. Then the loss is
the trial's to the bit, on the machine and with the versions of the recipe.
"""

from __future__ import annotations

import tuning  # isort: skip  # before models: a folder of yours may have a package of that name

import sys
import tempfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from models.adapters import TrialOrder
from models.application.batches import batch_size
from models.registry import find_workload
from models.workload import Workload
from tuning.training.plain_loop import LoadedRecipe


def plain(task: Workload, recipe: LoadedRecipe, rows: int) -> nn.Module:
    """In a loop of one's own, which can do all that a recipe can."""
    model = task.make_model(recipe.seed)
    torch.manual_seed(recipe.seed)  # what dropout draws
    run = recipe.apply(
        model, task.blocks(model), task.make_optimizer(model),
        batch_at=task.batch_at, examples_at=task.examples_at, shrink=task.shrink, loss=task.loss,
    )  # fmt: skip
    for batch in run.batches():
        with run.step() as step:
            loss = task.loss(model, batch)
            loss.backward()
            step.observe(loss)
    run.settle()
    return model


def trainer(task: Workload, recipe: LoadedRecipe, rows: int) -> nn.Module:
    """In Trainer of transformers, for a model whose forward makes the loss."""
    from transformers import Trainer, TrainingArguments

    from tuning.callbacks.trainer import RecipeCallback

    if not isinstance(task.batch_at(recipe.seed, 0), Mapping):
        sys.exit("Trainer needs batches that are a model's arguments by name: choose another loop")
    model: Any = task.make_model(recipe.seed)
    arguments = TrainingArguments(
        tempfile.mkdtemp(), max_steps=recipe.steps, per_device_train_batch_size=rows,
        max_grad_norm=0, save_strategy="no", report_to=[], disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )  # fmt: skip
    made = Trainer(
        model,
        arguments,
        train_dataset=TrialOrder(task, recipe.seed, recipe.batch_factor),
        optimizers=(task.make_optimizer(model), None),
    )
    made.model_accepts_loss_kwargs = False  # the model's own mean, as in the trial
    RecipeCallback(recipe, task.blocks(model), seed=recipe.seed).add_to(made)
    made.train()
    return model  # type: ignore[no-any-return]


def lightning(task: Workload, recipe: LoadedRecipe, rows: int) -> nn.Module:
    """In Trainer of Lightning."""
    from lightning.pytorch import LightningModule, Trainer

    from tuning.callbacks.lightning import RecipeCallback

    class Module(LightningModule):
        """The workload's model, loss and optimizer."""

        def __init__(self) -> None:
            super().__init__()
            self.model = task.make_model(recipe.seed)

        def training_step(self, batch: Any, index: int) -> Tensor:
            """The loss."""
            return task.loss(self.model, batch)

        def configure_optimizers(self) -> Any:
            """At its peak rates, and no scheduler."""
            return task.make_optimizer(self.model)

    module, size = Module(), recipe.batch_factor
    callback = RecipeCallback(
        recipe, task.blocks(module.model), seed=recipe.seed, batch_factor=size
    )
    made = Trainer(
        callbacks=[callback], max_steps=recipe.steps, accelerator="auto", devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    made.fit(module, DataLoader(TrialOrder(task, recipe.seed, size), round(rows * size)))
    return module.model


def accelerate(task: Workload, recipe: LoadedRecipe, rows: int) -> nn.Module:
    """In a loop of accelerate."""
    from accelerate import Accelerator

    from tuning.callbacks.accelerate import follow

    accelerator, model, size = Accelerator(), task.make_model(recipe.seed), recipe.batch_factor
    loader = DataLoader(TrialOrder(task, recipe.seed, size), round(rows * size))
    run = follow(
        recipe, accelerator, model, task.blocks(model), task.make_optimizer(model),
        seed=recipe.seed, batch_factor=size,
    )  # fmt: skip
    for batch in run.batches(accelerator.prepare(loader)):
        with accelerator.accumulate(run.model):
            accelerator.backward(task.loss(run.model, batch))
            run.optimizer.step()
            run.optimizer.zero_grad()
    run.settle()
    return model


LOOPS = {"plain": plain, "trainer": trainer, "lightning": lightning, "accelerate": accelerate}

if __name__ == "__main__":
    recipe = tuning.load_recipe(sys.argv[1])
    facts = recipe.file.facts
    torch.set_num_threads(recipe.threads)
    task = find_workload(str(facts["workload"]), None, recipe.own)
    rows = batch_size(task.batch_at(recipe.seed, 0))
    model = LOOPS[sys.argv[2]](task, recipe, rows)
    found = task.evaluate(model.eval())
    trial = float(facts["val_loss"]) * (-1 if task.maximize else 1)
    print(f"{recipe.steps} steps: {task.metric} {found!r}, the trial's {trial!r}")
    same = found == trial
