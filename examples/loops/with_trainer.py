"""A recipe in Hugging Face's Trainer: a small GPT-2 at random weights on the bytes of a text.

``python examples/loops/with_trainer.py recipe.toml`` takes a recipe that was found on four blocks.
"""

import sys
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from tuning.callbacks.trainer import RecipeCallback

TEXT = Path(torch.__file__).with_name("functional.py").read_bytes()[:20_000]
LENGTH, BATCH = 32, 8

tokens = torch.frombuffer(bytearray(TEXT), dtype=torch.uint8).long()
windows = tokens[: len(tokens) // LENGTH * LENGTH].view(-1, LENGTH)
examples = [{"input_ids": window, "labels": window} for window in windows]

torch.manual_seed(0)
model = GPT2LMHeadModel(GPT2Config(vocab_size=256, n_positions=LENGTH, n_embd=32, n_layer=4,
                                   n_head=2, bos_token_id=0, eos_token_id=0))  # fmt: skip
arguments = TrainingArguments(
    "checkpoints",
    max_steps=40,
    per_device_train_batch_size=BATCH,
    learning_rate=3e-3,  # the peak: the recipe makes the schedule
    save_steps=20,
    logging_steps=5,
    report_to=[],
    use_cpu=not torch.cuda.is_available(),
    disable_tqdm=True,
)
trainer = Trainer(model, arguments, train_dataset=examples)
RecipeCallback(sys.argv[1], "transformer.h").add_to(trainer)  # the one line
trainer.train()  # train(resume_from_checkpoint=True) goes on from the last checkpoint

losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
print(f"{trainer.state.global_step} steps, loss {losses[0]:.3f} -> {losses[-1]:.3f}")
