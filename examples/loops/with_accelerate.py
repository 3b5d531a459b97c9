"""A recipe in a loop of accelerate: a small GPT-2 at random weights on the bytes of a text.

``python examples/loops/with_accelerate.py recipe.toml`` takes a recipe that was found on four
blocks.
"""

import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.utils.data import DataLoader, TensorDataset
from transformers import GPT2Config, GPT2LMHeadModel

from tuning.callbacks.accelerate import follow

TEXT = Path(torch.__file__).with_name("functional.py").read_bytes()[:20_000]
LENGTH, BATCH = 32, 4

tokens = torch.frombuffer(bytearray(TEXT), dtype=torch.uint8).long()
windows = tokens[: len(tokens) // LENGTH * LENGTH].view(-1, LENGTH)

torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(vocab_size=256, n_positions=LENGTH, n_embd=32, n_layer=4,
                                   n_head=2, bos_token_id=0, eos_token_id=0))  # fmt: skip
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

accelerator = Accelerator(gradient_accumulation_steps=2)
loader = accelerator.prepare(DataLoader(TensorDataset(windows), BATCH, shuffle=True))
# The one line, in place of accelerator.prepare(model, optimizer):
run = follow(sys.argv[1], accelerator, model, "transformer.h", optimizer, total_steps=40)
losses = []
for (batch,) in run.batches(loader):
    with accelerator.accumulate(run.model):
        loss = run.model(batch, labels=batch).loss
        accelerator.backward(loss)
        if accelerator.sync_gradients:
            accelerator.clip_grad_norm_(run.model.parameters(), 1.0)
        run.optimizer.step()
        run.optimizer.zero_grad()
    losses.append(loss.item())
    if run.steps == 20 and accelerator.sync_gradients:
        accelerator.save_state("checkpoint")  # load_state goes on from it

with run.averaged():  # the weights to evaluate: an average, where the recipe has one
    accelerator.unwrap_model(run.model).save_pretrained("model")
print(f"{run.steps} steps, loss {losses[0]:.3f} -> {losses[-1]:.3f}")
