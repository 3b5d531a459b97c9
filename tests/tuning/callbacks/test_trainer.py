"""A recipe in Hugging Face's Trainer: the plain loop to the bit, stopped and gone on anywhere."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from tests.tuning.callbacks.recipes import RECIPES, STEPS, assert_same_weights, recipe
from tuning.callbacks.trainer import RecipeCallback

BATCH, LENGTH, VOCABULARY, EXAMPLES = 4, 8, 17, 20


def make_model() -> Any:
    """A GPT-2 of three blocks, without dropout."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=8, n_layer=3, n_head=2,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def examples(count: int = EXAMPLES) -> list[dict[str, torch.Tensor]]:
    """Random tokens that stand for text, the same each time."""
    generator = torch.Generator().manual_seed(1)
    every = torch.randint(VOCABULARY, (count, LENGTH), generator=generator)
    return [{"input_ids": each, "labels": each} for each in every]


class Ordered(Trainer):
    """Takes its examples in order, and says what each step's loss was."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return None

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """Keep the loss."""
        loss = super().training_step(*args, **kwargs)
        self.seen = [*getattr(self, "seen", []), loss.item()]
        return loss


def make_trainer(folder: Path, **told: Any) -> Any:
    """A Trainer on the CPU that is quiet and saves nothing, but for what is told."""
    arguments: dict[str, Any] = {
        "per_device_train_batch_size": BATCH,
        "max_steps": STEPS,
        "learning_rate": 1e-2,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_strategy": "no",
    }
    args = TrainingArguments(str(folder), **arguments | told)
    return Ordered(make_model(), args, train_dataset=examples(), eval_dataset=examples(4))


def plain(
    knobs: dict[str, Any],
    trainer: Any,
    steps: int = STEPS,
    micro: int = 1,
    *,
    mixed: bool = False,
) -> tuple[nn.Module, list[float]]:
    """The same in a plain loop: the model at its end, and the loss of each micro-batch.

    The loss is the sum over all tokens of the step's micro-batches by their number, as there.
    """
    model = make_model()
    optimizer = torch.optim.AdamW(_groups(model, trainer), lr=1e-2, fused=True)
    run = recipe(knobs).apply(model, model.transformer.h, optimizer, total_steps=steps)
    losses = []
    own = int(BATCH / run.levered.course.form.batch)
    every = torch.stack([each["input_ids"] for each in examples()])
    for batch in run.batches(torch.split(every, own)):
        with run.step() as step:
            whole = []
            for tokens in batch.chunk(micro):
                items = torch.tensor(BATCH * LENGTH)
                with torch.autocast("cpu", torch.bfloat16) if mixed else contextlib.nullcontext():
                    loss = model(tokens, labels=tokens, num_items_in_batch=items).loss
                loss.backward()
                losses.append(loss.item())
                whole.append(loss)
            step.observe(sum(whole[1:], whole[0]))
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    run.levered.settle()
    return model, losses


def _groups(model: Any, trainer: Any) -> list[dict[str, Any]]:
    decayed = trainer.get_decay_parameter_names(model)
    named = list(model.named_parameters())
    return [
        {"params": [p for n, p in named if n in decayed], "weight_decay": 0.0},
        {"params": [p for n, p in named if n not in decayed], "weight_decay": 0.0},
    ]


@pytest.mark.parametrize("name", RECIPES)
def test_trainer_equals_the_plain_loop(name: str, tmp_path: Path) -> None:
    """Every step's loss and the weights at the end, clipping included."""
    trainer = make_trainer(tmp_path)
    RecipeCallback(recipe(RECIPES[name]), "transformer.h").add_to(trainer)
    trainer.train()
    model, losses = plain(RECIPES[name], trainer)
    assert trainer.seen == losses
    assert trainer.state.global_step == len(losses)
    assert_same_weights(trainer.model, model)


def test_bf16_stays_the_trainers(tmp_path: Path) -> None:
    """Its autocast in the plain loop: every step's loss and the weights at the end."""
    trainer = make_trainer(tmp_path, bf16=True)
    RecipeCallback(recipe(RECIPES["growing"]), "transformer.h").add_to(trainer)
    trainer.train()
    model, losses = plain(RECIPES["growing"], trainer, mixed=True)
    assert trainer.seen == losses
    assert losses != plain(RECIPES["growing"], trainer)[1]
    assert_same_weights(trainer.model, model)


@pytest.mark.parametrize(("name", "stop"), [*zip(RECIPES, [3, 6, 9, 2, 5], strict=True)])
def test_a_resumed_trainer_equals_the_straight_one(name: str, stop: int, tmp_path: Path) -> None:
    """Gone on from the Trainer's own checkpoint, in a new model, optimizer and callback."""
    knobs = RECIPES[name]
    saving = {"save_strategy": "steps", "save_steps": stop}
    straight = make_trainer(tmp_path / "one", **saving)
    RecipeCallback(recipe(knobs), "transformer.h").add_to(straight)
    straight.train()
    resumed = make_trainer(tmp_path / "two")
    RecipeCallback(recipe(knobs), "transformer.h").add_to(resumed)
    resumed.train(resume_from_checkpoint=str(tmp_path / "one" / f"checkpoint-{stop}"))
    assert resumed.seen == straight.seen[stop:]
    assert resumed.state.global_step == straight.state.global_step
    assert_same_weights(straight.model, resumed.model)


def test_accumulated_micro_batches_are_one_step(tmp_path: Path) -> None:
    """Two a step: the policy hears their sum, and the steps are the plain loop's."""
    trainer = make_trainer(tmp_path, per_device_train_batch_size=2, gradient_accumulation_steps=2)
    RecipeCallback(recipe({}), "transformer.h").add_to(trainer)
    trainer.train()
    assert len(trainer.seen) == 2 * trainer.state.global_step
    model, losses = plain({}, trainer, micro=2)
    assert trainer.seen == losses
    assert_same_weights(trainer.model, model)


def test_a_larger_batch_is_set(tmp_path: Path) -> None:
    """Twice the workload's: the Trainer takes eight examples where its arguments say four."""
    trainer = make_trainer(tmp_path, per_device_train_batch_size=2)
    knobs = {"batch_start": 2.0, "batch_end": 2.0}
    RecipeCallback(recipe(knobs), "transformer.h").add_to(trainer)
    trainer.train()
    model, losses = plain(knobs, trainer)
    assert trainer.args.per_device_train_batch_size == BATCH
    assert trainer.seen == losses
    assert_same_weights(trainer.model, model)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"blocks": "transformer.layers"}, "the name of a list .* 'transformer.layers'"),
        ({"recipe": recipe({"batch_start": 0.3, "batch_end": 0.3})}, "whole number .* gives 1.2"),
        ({"recipe": recipe({"approximation": "svd"})}, "approximation: it replaces parameters"),
    ],
)
def test_what_does_not_fit_is_said(told: dict[str, Any], said: str, tmp_path: Path) -> None:
    """Blocks of another name, examples that cannot be halved, matrices that come and go."""
    trainer = make_trainer(tmp_path)
    given: dict[str, Any] = {"recipe": recipe({}), "blocks": "transformer.h"}
    with pytest.raises(ValueError, match=said):  # noqa: PT012 - some are known by the model alone
        RecipeCallback(**given | told).add_to(trainer)
        trainer.train()


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing(reentrant: bool, tmp_path: Path) -> None:
    """Changes nothing, a reentrant one neither: GPT-2's embeddings see to gradients."""
    trainer = make_trainer(
        tmp_path,
        activation_checkpointing=True,
        activation_checkpointing_kwargs={"use_reentrant": reentrant},
    )
    RecipeCallback(recipe({}), "transformer.h").add_to(trainer)
    trainer.train()
    model, losses = plain({}, trainer)
    assert trainer.seen == losses
    assert_same_weights(trainer.model, model)


def test_all_that_cannot_be_done_is_named_at_once(tmp_path: Path) -> None:
    """Levers that a Trainer has no way to pull, and arguments that speak against the recipe."""
    knobs = {"batch_start": 0.5, "prefix": 0.5, "input_start": 0.5}
    trainer = make_trainer(tmp_path, warmup_steps=3, torch_compile=True)
    with pytest.raises(ValueError, match="Trainer cannot follow this recipe") as fault:
        RecipeCallback(recipe(knobs), "transformer.h").add_to(trainer)
    for said in ("cached_prefix:", "input:", "batch:", "0.5 → 1", "warmup_steps", "torch_compile"):
        assert said in str(fault.value)


def test_evaluations_see_the_average(tmp_path: Path) -> None:
    """At the last evaluation the model has the weights that it has when train() returns."""
    trainer = make_trainer(tmp_path, eval_strategy="steps", eval_steps=4)
    callback = RecipeCallback(recipe(RECIPES["muon, averaged"]), "transformer.h").add_to(trainer)
    trainer.train()
    last = [each["eval_loss"] for each in trainer.state.log_history if "eval_loss" in each][-1]
    assert callback.held is not None
    assert callback.held.averages
    assert trainer.evaluate()["eval_loss"] == last


def test_a_second_training_is_refused(tmp_path: Path) -> None:
    """The optimizer has the first one's rates and moments."""
    trainer = make_trainer(tmp_path)
    RecipeCallback(recipe({}), "transformer.h").add_to(trainer)
    trainer.train()
    with pytest.raises(RuntimeError, match="a recipe must be trained once"):
        trainer.train()
