"""A Hugging Face GPT-2, at random weights, on a text file.

python -m tuning.check  --workload examples/gpt2_text.py:make
python -m tuning.search --workload examples/gpt2_text.py:make --run runs/gpt2
"""

from __future__ import annotations

import pydoc_data.topics
from pathlib import Path

from transformers import GPT2Config, GPT2LMHeadModel

from models.adapters import Examples, Windows, bring
from models.workload import Workload

TEXT = Path(pydoc_data.topics.__file__)
"""Any file of text: this one comes with Python."""


def make() -> Workload:
    """Next bytes; the loss is in nats a byte."""
    config = GPT2Config(
        vocab_size=256, n_positions=32, n_embd=32, n_layer=4, n_head=2,
        bos_token_id=0, eos_token_id=0,  # a byte of the vocabulary
    )  # fmt: skip
    return bring(
        "gpt2_text",
        model=lambda: GPT2LMHeadModel(config),
        data=Examples(Windows(TEXT.read_text(), length=32), held_out=0.02, batch_size=8),
        optimizer=3e-3,
        steps=400,
    )
