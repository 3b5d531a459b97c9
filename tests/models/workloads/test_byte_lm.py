"""The byte workload: indexed batches, a fixed evaluation, and the corpora it refuses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.workloads.byte_lm import VALIDATION_BYTES, Recipe, byte_lm, shrink
from models.workloads.byte_lm_narrow import NARROW, byte_lm_narrow
from models.workloads.corpus import load_corpus

SMALL = Recipe(depth=2, width=16, heads=1, window=32, batch=4, steps=12, warmup_steps=2)
SEEDS = st.integers(0, 2**31)
STEPS = st.integers(0, 10**6)


class TestBatches:
    @settings(deadline=None)  # a busy machine is no fault
    @given(SEEDS, STEPS)
    def test_pure(self, seed: int, step: int) -> None:
        """The same seed and step give the same bytes, whatever else was drawn between."""
        workload = byte_lm(recipe=SMALL)
        batch = workload.batch_at(seed, step)
        workload.batch_at(seed + 1, step + 1)
        torch.rand(3)
        assert torch.equal(batch, workload.batch_at(seed, step))

    @settings(deadline=None)  # a busy machine is no fault
    @given(SEEDS, STEPS)
    def test_differ_over_steps_and_seeds(self, seed: int, step: int) -> None:
        """Neighbours in step and in seed, and the two swapped, are other bytes."""
        batch_at = byte_lm(recipe=SMALL).batch_at
        batch = batch_at(seed, step)
        assert not torch.equal(batch, batch_at(seed, step + 1))
        assert not torch.equal(batch, batch_at(seed + 1, step))
        assert seed == step or not torch.equal(batch, batch_at(step, seed))

    def test_are_windows_of_the_training_files(self) -> None:
        """Each row is found, whole, in the training bytes; its type and shape are as documented."""
        batch = byte_lm(recipe=SMALL).batch_at(0, 0)
        assert batch.shape == (SMALL.batch, SMALL.window + 1)
        assert batch.dtype == torch.int64
        text = load_corpus().train.numpy().tobytes()
        assert all(bytes(row.tolist()) in text for row in batch)

    def test_global_generator_is_untouched(self) -> None:
        before = torch.get_rng_state()
        byte_lm(recipe=SMALL).batch_at(0, 0)
        assert torch.equal(before, torch.get_rng_state())


class TestTraining:
    def test_starts_at_ln_256_and_learns(self) -> None:
        """The first loss is that of guessing among 256 bytes; a few steps take it well below."""
        workload = byte_lm(recipe=SMALL)
        model = workload.make_model(0)
        optimizer = workload.make_optimizer(model)
        first = workload.evaluate(model)
        for step in range(SMALL.steps):
            workload.loss(model, workload.batch_at(0, step)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        assert first == pytest.approx(math.log(256), rel=0.02)
        assert workload.evaluate(model) < first - 0.3

    def test_evaluation_is_deterministic_and_changes_nothing(self) -> None:
        """Twice the same number, no gradient left, and another workload object agrees."""
        model = byte_lm(recipe=SMALL).make_model(1)
        values = {byte_lm(recipe=SMALL).evaluate(model), byte_lm(recipe=SMALL).evaluate(model)}
        assert len(values) == 1
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_evaluation_is_the_mean_over_its_bytes(self) -> None:
        """A model that ignores its input has a constant guess's cross-entropy, exactly ln 256."""
        workload = byte_lm(recipe=SMALL)
        model = workload.make_model(0)
        with torch.no_grad():
            model.head[-1].weight.zero_()  # type: ignore[index, union-attr]
        assert workload.evaluate(model) == pytest.approx(math.log(256), rel=1e-6)

    def test_blocks_in_forward_order(self) -> None:
        """They run in the order in which they are listed."""
        workload = byte_lm(recipe=SMALL)
        model = workload.make_model(0)
        seen: list[int] = []
        for index, block in enumerate(workload.blocks(model)):
            block.register_forward_hook(lambda *_, index=index: seen.append(index))
        workload.loss(model, workload.batch_at(0, 0))
        assert seen == list(range(SMALL.depth))

    def test_default_has_the_size_the_documentation_names(self) -> None:
        """Four blocks, so that a quarter, a half and three quarters are whole depths."""
        workload = byte_lm()
        assert len(workload.blocks(workload.make_model(0))) == 4
        assert workload.target == "auto"
        assert workload.fingerprint == load_corpus().fingerprint


class TestShrink:
    @given(st.floats(0.001, 1.0))
    def test_the_beginning_of_every_window(self, share: float) -> None:
        """A share of the bytes predicted, rounded, at least one; at 1 the whole batch."""
        batch = byte_lm(recipe=SMALL).batch_at(0, 0)
        shorter = shrink(batch, share)
        assert shorter.shape == (SMALL.batch, 1 + max(1, round(share * SMALL.window)))
        assert torch.equal(shorter, batch[:, : shorter.shape[1]])

    def test_whole_is_the_whole_batch(self) -> None:
        batch = byte_lm(recipe=SMALL).batch_at(0, 0)
        assert torch.equal(shrink(batch, 1.0), batch)

    def test_the_model_takes_them(self) -> None:
        """Its loss is that of the first bytes of the whole windows."""
        workload = byte_lm(recipe=SMALL)
        model, batch = workload.make_model(0), workload.batch_at(0, 0)
        with torch.no_grad():
            logits = model(batch[:, :-1])[:, :8]
        expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:9].flatten())
        assert workload.loss(model, shrink(batch, 0.25)).item() == pytest.approx(
            expected.item(), rel=1e-5
        )

    def test_is_offered_to_the_lever(self) -> None:
        assert byte_lm(recipe=SMALL).shrink is shrink


class TestNarrow:
    def test_is_byte_lm_at_its_own_shape(self) -> None:
        """Eight blocks of width 16; the same batches, bit for bit, as a byte_lm of that recipe."""
        narrow, same = byte_lm_narrow(), byte_lm(recipe=NARROW)
        model = narrow.make_model(0)
        assert len(narrow.blocks(model)) == 8
        assert model.get_submodule("stem").weight.shape == (256, 16)
        assert torch.equal(narrow.batch_at(3, 5), same.batch_at(3, 5))
        assert narrow.evaluate(model) == same.evaluate(same.make_model(0))
        assert narrow.fingerprint == byte_lm().fingerprint

    def test_its_tables_numbers(self) -> None:
        """What the pages' tables were made with."""
        narrow = byte_lm_narrow()
        group = narrow.make_optimizer(narrow.make_model(0)).param_groups[0]
        assert (group["lr"], group["betas"], group["weight_decay"]) == (1.5e-2, (0.9, 0.95), 0.1)
        assert (narrow.steps, narrow.eval_every) == (600, 60)
        assert (narrow.warmup_steps, narrow.decay_fraction) == (40, 0.3)
        assert narrow.batch_at(0, 0).shape == (32, 33)


class TestCorpus:
    def test_users_own(self, tmp_path: Path) -> None:
        """Text of one letter is trained on as it is, and has another fingerprint."""
        for name in ("one.txt", "two.txt"):
            (tmp_path / name).write_text(name + "a" * VALIDATION_BYTES)
        workload = byte_lm(tmp_path, SMALL)
        assert workload.fingerprint != byte_lm(recipe=SMALL).fingerprint
        assert set(workload.batch_at(0, 0).unique().tolist()) <= set(b"onetw.txa")

    def test_too_small_for_a_window_or_a_validation_batch(self, tmp_path: Path) -> None:
        """Both shortages in one message."""
        for name in ("one.txt", "two.txt"):
            (tmp_path / name).write_text(name)
        with pytest.raises(
            ValueError, match=r"training files must hold at least 33 .*; the validation files"
        ):
            byte_lm(tmp_path, SMALL)
