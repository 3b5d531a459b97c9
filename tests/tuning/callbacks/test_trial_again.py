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


def padded(texts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Texts padded to the longest of them, which a model without a mask sees."""
    ids = nn.utils.rnn.pad_sequence([each["input_ids"] for each in texts], batch_first=True)
    return {"input_ids": ids, "labels": ids}


def unlike() -> Examples:
    """Texts of unlike length."""
    lengths = [2 + i * i % (LENGTH - 1) for i in range(60)]
    texts = [{"input_ids": torch.arange(1, length + 1)} for length in lengths]
    return Examples(texts, batch_size=BATCH, collate=padded)


def workload(data: Examples | None = None) -> Workload:
    """A GPT-2 with the dropout that it comes with."""
    config = GPT2Config(
        vocab_size=128, n_positions=LENGTH, n_embd=8, n_layer=3, n_head=2,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    text = "".join(chr(97 + i * i % 23) for i in range(800))
    made = bring(
        "again",
        model=lambda: GPT2LMHeadModel(config),
        data=data or Examples(Windows(text, length=LENGTH), batch_size=BATCH),
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
        train_dataset=TrialOrder(task, found.seed, found.batch_factor),
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
    module, size = Module(task, found.seed), found.batch_factor
    callback = OfLightning(found, "model.transformer.h", seed=found.seed, batch_factor=size)
    trainer = pl.Trainer(
        default_root_dir=folder, callbacks=[callback], max_steps=found.steps, **QUIET
    )
    trainer.fit(module, DataLoader(TrialOrder(task, found.seed, size), round(BATCH * size)))
    return module.model


def in_accelerate(task: Workload, found: LoadedRecipe, folder: Path) -> nn.Module:
    AcceleratorState._reset_state(True)
    accelerator, model = Accelerator(cpu=True), task.make_model(found.seed)
    size = found.batch_factor
    order = TrialOrder(task, found.seed, size)
    loader = accelerator.prepare(DataLoader(order, round(BATCH * size)))
    run = follow(
        found, accelerator, model, "transformer.h", task.make_optimizer(model),
        seed=found.seed, batch_factor=size,
    )  # fmt: skip
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
    assert_repeated(again, workload(), recipe(RECIPES[name]), tmp_path)


@pytest.mark.parametrize(
    ("again", "factor"),
    [(in_trainer, 0.5), (in_trainer, 2.0), (in_lightning, 2.0), (in_accelerate, 0.5)],
)
def test_texts_are_padded_as_in_the_trial(again: Again, factor: float, tmp_path: Path) -> None:
    """To those of their own step: half of a padded batch would have the other half's padding."""
    found = recipe({"batch_start": factor, "batch_end": factor})
    assert_repeated(again, workload(unlike()), found, tmp_path)


def assert_repeated(again: Again, task: Workload, found: LoadedRecipe, folder: Path) -> None:
    """A trial of the recipe, and what another loop makes of it."""
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
    model = again(task, found, folder)
    assert task.evaluate(model.eval()) == trial.curve[-1].val_loss
    with trial._levered.averaged():
        assert_same_weights(trial.model, model)


@pytest.mark.parametrize("again", [in_trainer, in_lightning, in_accelerate])
def test_an_order_for_another_size_of_batch_is_told(
    again: Again, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows would be padded to texts that the trial's step had not."""
    own = TrialOrder
    monkeypatch.setitem(globals(), "TrialOrder", lambda task, seed, factor: own(task, seed))
    found = recipe({"batch_start": 0.5, "batch_end": 0.5})
    with pytest.raises(ValueError, match=r"takes 0\.5 ×.* order of 1 ×.*recipe\.batch_factor"):
        again(workload(unlike()), found, tmp_path)


def batches_of(batch: Any) -> Workload:
    """A workload whose every batch is this one."""
    return dataclasses.replace(workload(), batch_at=lambda seed, step: batch)


@pytest.mark.parametrize(
    "batch",
    [
        {"ids": torch.zeros(4, 3), "mask": torch.ones(3, 3)},
        {"ids": torch.zeros(4, 3), "scale": torch.tensor(2.0)},
        {"ids": torch.zeros(4, 3), "task": "one"},
        {"ids": torch.zeros(4, 3), "share": 0.5},
        {"ids": torch.zeros(4, 3), "labels": [1, 2, 3, 4]},
    ],
    ids=["mask", "number of the batch", "name of the batch", "share", "list of numbers"],
)
def test_what_a_loader_would_make_otherwise_is_told(batch: Any) -> None:
    """A mask of the whole batch would come stacked, a row for each example."""
    with pytest.raises(ValueError, match=r"by torch's own collate, but of batch 0 they make an"):
        next(iter(DataLoader(TrialOrder(batches_of(batch)), 4)))


def test_a_loader_makes_the_batch_again() -> None:
    """Words, values that are no numbers and nested parts too."""
    words = ["a", "b", "c", "d"]
    tensors = [
        torch.arange(12).view(4, 3),
        torch.tensor([float("nan"), 1.0, 2.0, 3.0]),
        torch.tensor([True, False, True, True]),
    ]
    batch = {"ids": tensors[0], "pair": tensors[1:], "words": words}
    found = next(iter(DataLoader(TrialOrder(batches_of(batch)), 4)))
    assert (found.keys(), found["words"]) == (batch.keys(), words)
    for one, other in zip([found["ids"], *found["pair"]], tensors, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


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
