"""A recipe in a plain loop: a small GPT-2 at random weights on the bytes of a text.

``python examples/loops/plain.py recipe.toml`` takes a recipe that was found on four blocks.
"""

import sys
from pathlib import Path

import torch
from torch.utils.data import DataLoader, TensorDataset
from transformers import GPT2Config, GPT2LMHeadModel

from tuning import load_recipe

TEXT = Path(torch.__file__).with_name("functional.py").read_bytes()[:20_000]
LENGTH, BATCH = 32, 8

tokens = torch.frombuffer(bytearray(TEXT), dtype=torch.uint8).long()
windows = tokens[: len(tokens) // LENGTH * LENGTH].view(-1, LENGTH)
loader = DataLoader(TensorDataset(windows), BATCH, shuffle=True)

torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(vocab_size=256, n_positions=LENGTH, n_embd=32, n_layer=4,
                                   n_head=2, bos_token_id=0, eos_token_id=0))  # fmt: skip
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)

recipe = load_recipe(sys.argv[1])
run = recipe.apply(model, list(model.transformer.h), optimizer, total_steps=40)
losses = []
for (batch,) in run.batches(loader):
    with run.step() as step:
        loss = model(batch, labels=batch).loss
        loss.backward()
        step.observe(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    losses.append(loss.item())
    if run.steps == 20:
        torch.save(run.state_dict(), "run.pt")  # run.load_state_dict goes on from it

with run.averaged():  # the weights to evaluate: an average, where the recipe has one
    model.save_pretrained("model")
print(f"{run.steps} steps, loss {losses[0]:.3f} -> {losses[-1]:.3f}")
