"""A BERT-like classifier from Hugging Face, at random weights: which module a line of Python's own
documentation is about.

    python -m tuning.check  --workload examples/bert_classifier.py:make
    python -m tuning.search --workload examples/bert_classifier.py:make --run runs/bert
"""

from __future__ import annotations

from pydoc_data.topics import topics
from typing import Any

import torch
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification

from models.adapters import Examples, accuracy, bring
from models.workload import Workload

LENGTH, CLASSES = 48, 4


def texts() -> Dataset:
    """Lines of four long topics, each with the number of its topic."""
    longest = sorted(topics, key=lambda name: -len(topics[name]))[:CLASSES]
    pairs = [(line, i) for i, name in enumerate(longest) for line in topics[name].splitlines()]
    lines, labels = zip(*[pair for pair in pairs if len(pair[0]) > 40], strict=True)
    return Dataset.from_dict({"text": lines, "labels": labels})


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Bytes for tokens, padded with zeros."""
    ids = [list(row["text"].encode())[:LENGTH] for row in rows]
    padded = torch.tensor([each + [0] * (LENGTH - len(each)) for each in ids])
    labels = torch.tensor([int(row["labels"]) for row in rows])
    return {"input_ids": padded, "attention_mask": (padded > 0).long(), "labels": labels}


def make() -> Workload:
    """The metric is the share of held-out lines told right."""
    config = BertConfig(
        vocab_size=256, hidden_size=32, num_hidden_layers=4, num_attention_heads=2,
        intermediate_size=64,
    )  # fmt: skip
    config.num_labels = CLASSES
    return bring(
        "bert_classifier",
        model=lambda: BertForSequenceClassification(config),
        data=Examples(texts(), held_out=0.2, batch_size=32, collate=collate),
        score=accuracy,
        optimizer=2e-3,
        steps=200,
    )
