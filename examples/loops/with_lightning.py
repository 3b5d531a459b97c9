"""A recipe in Lightning: a small GPT-2 at random weights on the bytes of a text.

``python examples/loops/with_lightning.py recipe.toml`` takes a recipe that was found on four
blocks.
"""

import sys
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset
from transformers import GPT2Config, GPT2LMHeadModel

from tuning.callbacks.lightning import RecipeCallback

TEXT = Path(torch.__file__).with_name("functional.py").read_bytes()[:20_000]
LENGTH, BATCH = 32, 8

tokens = torch.frombuffer(bytearray(TEXT), dtype=torch.uint8).long()
windows = tokens[: len(tokens) // LENGTH * LENGTH].view(-1, LENGTH)
loader = DataLoader(TensorDataset(windows), BATCH, shuffle=True)


class Module(LightningModule):
    """Next-byte prediction."""

    def __init__(self) -> None:
        super().__init__()
        self.model = GPT2LMHeadModel(
            GPT2Config(vocab_size=256, n_positions=LENGTH, n_embd=32, n_layer=4, n_head=2,
                       bos_token_id=0, eos_token_id=0)
        )  # fmt: skip
        self.losses: list[float] = []

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """The loss of a batch of windows."""
        (tokens,) = batch
        loss: Tensor = self.model(tokens, labels=tokens).loss
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """At its peak rate, and no scheduler: the recipe makes the schedule."""
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


torch.manual_seed(0)
module = Module()
trainer = Trainer(
    callbacks=[RecipeCallback(sys.argv[1], "model.transformer.h")],  # the one line
    max_steps=40,
    gradient_clip_val=1.0,
    accelerator="auto",
    devices=1,
    logger=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(module, loader)  # fit(..., ckpt_path="last") goes on from a checkpoint

print(f"{trainer.global_step} steps, loss {module.losses[0]:.3f} -> {module.losses[-1]:.3f}")
losses = module.losses
