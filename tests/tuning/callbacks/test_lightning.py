"""A recipe in Lightning's Trainer: the plain loop to the bit, stopped and gone on."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.support import tiny
from tests.tuning.callbacks.recipes import RECIPES, STEPS, assert_same_weights, recipe
from tuning.callbacks.lightning import RecipeCallback

BATCH, BATCHES = 8, 4
pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*' does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]


class Module(pl.LightningModule):
    """A residual MLP that says what each micro-batch's loss was."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = tiny.ResidualMLP(3)
        self.seen: list[float] = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """The mean squared error."""
        x, y = batch
        loss = nn.functional.mse_loss(self.net(x), y)
        self.seen.append(loss.item())
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """The same."""
        x, y = batch
        self.log("val_loss", nn.functional.mse_loss(self.net(x), y))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """At its peak rate."""
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def data(shuffle: bool = False, batch: int = BATCH) -> Any:
    """Four batches an epoch."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(BATCHES * BATCH, tiny.FEATURES, generator=generator)
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), batch, shuffle=shuffle)


QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
}


def make_trainer(folder: Path, callbacks: list[Any], **told: Any) -> Any:
    """A quiet Trainer on the CPU."""
    steps: dict[str, Any] = {"max_steps": STEPS, "gradient_clip_val": 1.0}
    steps["callbacks"] = callbacks
    return pl.Trainer(default_root_dir=folder, **QUIET | steps | told)


def plain(
    knobs: dict[str, Any], micro: int = 1, *, mixed: bool = False
) -> tuple[nn.Module, list[float]]:
    """The same in a plain loop, each batch in so many parts of which every loss is told."""
    module, losses = Module(), []
    optimizer = module.configure_optimizers()
    run = recipe(knobs).apply(module, list(module.net.blocks), optimizer, total_steps=STEPS)
    for x, y in run.batches(data()):
        with run.step() as step:
            whole = torch.zeros(())
            for some, wanted in zip(x.chunk(micro), y.chunk(micro), strict=True):
                with torch.autocast("cpu", torch.bfloat16) if mixed else contextlib.nullcontext():
                    loss = nn.functional.mse_loss(module.net(some), wanted)
                losses.append(loss.item())
                (loss / micro).backward()  # type: ignore[no-untyped-call]
                whole = whole + loss / micro
            step.observe(whole)
            # Lightning adds the norms up in the optimizer's order.
            held = [p for group in run.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(held, 1.0)
    run.levered.settle()
    return module, losses


@pytest.mark.parametrize("name", RECIPES)
def test_lightning_equals_the_plain_loop(name: str, tmp_path: Path) -> None:
    """Every step's loss and the weights at the end, clipping included."""
    module = Module()
    callback = RecipeCallback(recipe(RECIPES[name]), "net.blocks")
    make_trainer(tmp_path, [callback]).fit(module, data(), data())
    model, losses = plain(RECIPES[name])
    assert module.seen == losses
    assert_same_weights(module, model)


def test_bf16_stays_lightnings(tmp_path: Path) -> None:
    """Its autocast in the plain loop: every step's loss and the weights at the end."""
    module, knobs = Module(), RECIPES["muon, averaged"]
    callback = RecipeCallback(recipe(knobs), "net.blocks")
    make_trainer(tmp_path, [callback], precision="bf16-mixed").fit(module, data(), data())
    model, losses = plain(knobs, mixed=True)
    assert module.seen == losses
    assert losses != plain(knobs)[1]
    assert_same_weights(module, model)


@pytest.mark.parametrize("name", RECIPES)
def test_a_resumed_fit_equals_the_straight_one(name: str, tmp_path: Path) -> None:
    """Gone on from Lightning's own checkpoint of the first epoch, with examples in random order."""
    keep = ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
    straight = Module()
    torch.manual_seed(5)
    callback = RecipeCallback(recipe(RECIPES[name]), "net.blocks")
    told = {"enable_checkpointing": True}
    make_trainer(tmp_path, [callback, keep], **told).fit(straight, data(True), data())
    resumed, again = Module(), RecipeCallback(recipe(RECIPES[name]), "net.blocks")
    keep = ModelCheckpoint(tmp_path, filename="again-{epoch}", save_top_k=-1)
    make_trainer(tmp_path, [again, keep], **told).fit(
        resumed, data(True), data(), ckpt_path=tmp_path / "epoch=0.ckpt"
    )
    assert resumed.seen == straight.seen[BATCHES:]
    assert_same_weights(straight, resumed)


def test_accumulated_micro_batches_are_one_step(tmp_path: Path) -> None:
    """Two a step: the plain loop that goes through its batches in halves."""
    module, callback = Module(), RecipeCallback(recipe({}), "net.blocks")
    trainer = make_trainer(tmp_path, [callback], accumulate_grad_batches=2, max_steps=STEPS)
    trainer.fit(module, data(batch=BATCH // 2), data())
    model, losses = plain({}, micro=2)
    assert len(module.seen) == 2 * trainer.global_step
    assert module.seen == losses
    assert_same_weights(module, model)


def test_evaluations_see_the_average(tmp_path: Path) -> None:
    """The last validation has the weights that the module has when fit() returns."""
    module = Module()
    callback = RecipeCallback(recipe(RECIPES["muon, averaged"]), "net.blocks")
    trainer = make_trainer(tmp_path, [callback])
    trainer.fit(module, data(), data())
    last = trainer.callback_metrics["val_loss"].item()
    assert pl.Trainer(**QUIET).validate(module, data(), verbose=False)[0]["val_loss"] == last


class Scheduled(Module):
    """Brings a scheduler."""

    def configure_optimizers(self) -> Any:
        """With a rate that falls."""
        optimizer = torch.optim.AdamW(self.parameters())
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


def test_all_that_cannot_be_done_is_named_at_once(tmp_path: Path) -> None:
    """Levers that a Trainer has no way to pull, and a module that speaks against the recipe."""
    callback = RecipeCallback(recipe({"batch_start": 0.5, "input_start": 0.5}), "net.blocks")
    with pytest.raises(ValueError, match="Lightning cannot follow this recipe") as fault:
        make_trainer(tmp_path, [callback]).fit(Scheduled(), data(), data())
    for said in ("input:", "batch:", "batch_factor=1: give the loader", "return no scheduler"):
        assert said in str(fault.value)


class Broken(Module):
    """Fails in its fourth step."""

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Of the first epoch."""
        if len(self.seen) == 3:
            raise ArithmeticError("no more")
        return super().training_step(batch, batch_idx)


def test_a_fault_of_the_module_is_the_one_that_is_raised(tmp_path: Path) -> None:
    """Not one of the step that was given up, and the blocks are as they were."""
    module, callback = Broken(), RecipeCallback(recipe({}), "net.blocks")
    with pytest.raises(ArithmeticError, match="no more"):
        make_trainer(tmp_path, [callback]).fit(module, data(), data())
