"""A trial of the search's own loop trained again in the loops of others, to the bit.

The model draws dropout in every step, so that the generators have to stand where the trial's did.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from models.adapters import Examples, TrialOrder, Windows, bring, from_loader, supervised
from models.workload import Workload
from tests.tuning.callbacks.recipes import RECIPES, STEPS, assert_same_weights, recipe
from tests.tuning.callbacks.test_lightning import QUIET
from tuning.callbacks.accelerate import follow
from tuning.callbacks.lightning import RecipeCallback as OfLightning
from tuning.callbacks.trainer import RecipeCallback as OfTrainer
from tuning.training.loop import TrainingRun
from tuning.training.plain_loop import LoadedRecipe

BATCH, LENGTH = 4, 8
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated"),
]
Again = Callable[[Workload, LoadedRecipe, Path], nn.Module]


def workload() -> Workload:
    """A GPT-2 with the dropout that it comes with."""
    config = GPT2Config(
        vocab_size=128, n_positions=LENGTH, n_embd=8, n_layer=3, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    text = "".join(chr(97 + i * i % 23) for i in range(800))
    made = bring(
        "again",
        model=lambda: GPT2LMHeadModel(config),
        data=Examples(Windows(text, length=LENGTH), batch_size=BATCH),
        steps=STEPS,
        optimizer=1e-2,
    )
    # As the schedule in the recipes' file.
    return dataclasses.replace(made, eval_every=4, warmup_steps=2, decay_fraction=0.3)


def in_trainer(task: Workload, found: LoadedRecipe, folder: Path) -> nn.Module:
    model: Any = task.make_model(found.seed)
    arguments = TrainingArguments(
        str(folder), max_steps=found.steps, per_device_train_batch_size=BATCH, max_grad_norm=0,
        save_strategy="no", logging_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    trainer: Any = Trainer(
        model,
        arguments,
        train_dataset=TrialOrder(task, found.seed),
        optimizers=(task.make_optimizer(model), None),
    )
    trainer.model_accepts_loss_kwargs = False
    OfTrainer(found, task.blocks(model), seed=found.seed).add_to(trainer)
    trainer.train()
    return model  # type: ignore[no-any-return]


class Module(pl.LightningModule):
    """What a user would write about their workload."""

    def __init__(self, task: Workload, seed: int) -> None:
        super().__init__()
        self.task, self.model = task, task.make_model(seed)

    def training_step(self, batch: Any, index: int) -> Tensor:
        """The workload's loss."""
        return self.task.loss(self.model, batch)

    def configure_optimizers(self) -> Any:
        """The workload's optimizer."""
        return self.task.make_optimizer(self.model)


def in_lightning(task: Workload, found: LoadedRecipe, folder: Path) -> nn.Module:
    module = Module(task, found.seed)
    callback = OfLightning(found, "model.transformer.h", seed=found.seed)
    trainer = pl.Trainer(
        default_root_dir=folder, callbacks=[callback], max_steps=found.steps, **QUIET
    )
    trainer.fit(module, DataLoader(TrialOrder(task, found.seed), BATCH))
    return module.model


def in_accelerate(task: Workload, found: LoadedRecipe, folder: Path) -> nn.Module:
    AcceleratorState._reset_state(True)
    accelerator, model = Accelerator(cpu=True), task.make_model(found.seed)
    loader = accelerator.prepare(DataLoader(TrialOrder(task, found.seed), BATCH))
    run = follow(
        found, accelerator, model, "transformer.h", task.make_optimizer(model), seed=found.seed
    )
    for batch in run.batches(loader):
        with accelerator.accumulate(run.model):
            accelerator.backward(task.loss(run.model, batch))
            run.optimizer.step()
            run.optimizer.zero_grad()
    run.settle()
    return accelerator.unwrap_model(run.model)  # type: ignore[no-any-return]


@pytest.mark.parametrize("again", [in_trainer, in_lightning, in_accelerate])
@pytest.mark.parametrize("name", ["blocks alone", "muon, averaged"])
def test_a_trial_is_repeated(again: Again, name: str, tmp_path: Path) -> None:
    """Every weight at the end, and so the loss that the trial recorded."""
    task, found = workload(), recipe(RECIPES[name])
    trial = TrainingRun(
        task,
        found.file.policy,
        seed=found.seed,
        horizon=1.0,
        costs=found.file.costs,  # type: ignore[arg-type]
        device=torch.device("cpu"),
        levers=found.file.levers,
    )
    while not trial.finished:
        trial.advance()
    facts = {**found.file.facts, "steps": trial.steps}
    found = LoadedRecipe(dataclasses.replace(found.file, facts=facts))
    torch.manual_seed(99)  # whatever was drawn before
    model = again(task, found, tmp_path)
    assert task.evaluate(model.eval()) == trial.curve[-1].val_loss
    with trial._levered.averaged():
        assert_same_weights(trial.model, model)


def test_examples_in_order_are_for_one_process() -> None:
    """Two would each give all of them."""
    loader = DataLoader(TrialOrder(workload()), BATCH, num_workers=2)
    with pytest.raises(ValueError, match=r"must come from one process.*num_workers=2"):
        next(iter(loader))


def test_a_smaller_batch_at_an_epochs_end_is_told() -> None:
    """A loader of one size would go on with other batches than the trial's, without a word."""
    rows = TensorDataset(torch.arange(10.0)[:, None], torch.zeros(10, dtype=torch.int64))
    ends = from_loader(DataLoader(rows, batch_size=4), DataLoader(rows, batch_size=4))
    loss = supervised(torch.nn.functional.cross_entropy)
    task = bring("short", lambda: torch.nn.Linear(1, 2), ends, loss=loss, steps=6, optimizer=1e-3)
    loader = iter(DataLoader(TrialOrder(task), 4))
    for step in range(2):
        assert torch.equal(next(loader)[0], task.batch_at(0, step)[0])
    with pytest.raises(ValueError, match=r"batch 2 has 2 and the first 4: .* drop_last=True"):
        next(loader)
