"""LoRA by peft: a small GPT-2 whose weights are frozen, but for low-rank parts beside its layers.

python -m tuning.check  --workload examples/lora.py:make
python -m tuning.search --workload examples/lora.py:make --run runs/lora
"""

from __future__ import annotations

import pydoc_data.topics
from pathlib import Path

from peft import LoraConfig, PeftModel, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel

from models.adapters import Examples, Windows, bring
from models.workload import Workload

TEXT = Path(pydoc_data.topics.__file__)


def model() -> PeftModel:
    """At random weights here; in earnest ``GPT2LMHeadModel.from_pretrained(...)``."""
    config = GPT2Config(
        vocab_size=256, n_positions=32, n_embd=32, n_layer=4, n_head=2,
        bos_token_id=0, eos_token_id=0,  # a byte of the vocabulary
    )  # fmt: skip
    lora = LoraConfig(r=8, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True)
    pretrained = GPT2LMHeadModel(config)
    pretrained.train(False)  # as pretrained models come
    return get_peft_model(pretrained, lora)


def make() -> Workload:
    """Next bytes; the loss is in nats a byte."""
    data = Examples(Windows(TEXT.read_text(), length=32), held_out=0.02, batch_size=8)
    return bring("lora", model, data, steps=200, optimizer=1e-2)
