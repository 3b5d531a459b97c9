"""The synthetic workload: one teacher for all, batches indexed, a student that learns it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.workloads.teacher_student import (
    Recipe,
    inputs_of,
    make_student,
    make_teacher,
    outputs,
    teacher_student,
)

SMALL = Recipe(
    depth=3,
    width=16,
    hidden=16,
    teacher_depth=2,
    teacher_width=8,
    batch=32,
    steps=60,
    warmup_steps=5,
    validation=512,
)
WORKLOAD = teacher_student(SMALL)
SEEDS = st.integers(0, 2**31)
STEPS = st.integers(0, 10**6)


class TestBatches:
    @given(SEEDS, STEPS)
    def test_pure(self, seed: int, step: int) -> None:
        """The same to the bit from another workload object, whatever else was drawn between."""
        inputs, answers = WORKLOAD.batch_at(seed, step)
        WORKLOAD.batch_at(seed + 1, step + 1)
        torch.rand(3)
        again = teacher_student(SMALL).batch_at(seed, step)
        assert torch.equal(inputs, again[0])
        assert torch.equal(answers, again[1])

    @given(SEEDS, STEPS)
    def test_differ_over_steps_and_seeds_and_from_validation(self, seed: int, step: int) -> None:
        """No row of a batch is one of its neighbour's or of the evaluation's."""
        rows = WORKLOAD.batch_at(seed, step)[0]
        others = [WORKLOAD.batch_at(seed, step + 1)[0], WORKLOAD.batch_at(seed + 1, step)[0]]
        others.append(inputs_of((0, 0, 1), SMALL.validation, SMALL.features))
        for other in others:
            assert not set(rows[:, 0].tolist()) & set(other[:, 0].tolist())

    def test_answers_are_the_teachers(self) -> None:
        """Every seed has the same teacher; shapes and type are as documented."""
        teacher = make_teacher(SMALL)
        for seed in (0, 9):
            inputs, answers = WORKLOAD.batch_at(seed, 4)
            assert inputs.shape == (SMALL.batch, SMALL.features)
            assert answers.shape == (SMALL.batch, SMALL.targets)
            assert inputs.dtype == answers.dtype == torch.float32
            assert torch.equal(answers, teacher.answers(inputs))

    def test_global_generator_is_untouched(self) -> None:
        before = torch.get_rng_state()
        teacher_student(SMALL).batch_at(0, 0)
        WORKLOAD.make_model(3)
        assert torch.equal(before, torch.get_rng_state())


class TestTeacher:
    def test_its_answers_have_mean_0_and_variance_1(self) -> None:
        """On inputs of its own, within what a few thousand rows allow."""
        answers = make_teacher(SMALL).answers(inputs_of((1, 2), 8192, SMALL.features))
        assert answers.mean(0).abs().max() < 0.1
        assert (answers.var(0) - 1).abs().max() < 0.2

    def test_is_not_linear(self) -> None:
        """The best linear map, by least squares on half of the rows, leaves much of the other
        half's variance.
        """
        inputs = inputs_of((1, 2), 4096, Recipe().features)
        answers = make_teacher(Recipe()).answers(inputs)
        weights = torch.linalg.lstsq(inputs[:2048], answers[:2048]).solution
        assert (inputs[2048:] @ weights - answers[2048:]).square().mean() > 0.2

    def test_outputs_are_a_tanh_network(self) -> None:
        """Two layers of one weight each: 3 · tanh(2 · 0.5)."""
        layers = [torch.tensor([[2.0]]), torch.tensor([[3.0]])]
        assert outputs(layers, torch.tensor([[0.5]])).item() == pytest.approx(
            3 * torch.tanh(torch.tensor(1.0)).item()
        )

    def test_fingerprint_follows_the_teacher(self) -> None:
        """Other layers, another one; another student or number of steps, the same."""
        assert WORKLOAD.fingerprint == teacher_student(replace(SMALL, steps=7, depth=1)).fingerprint
        assert WORKLOAD.fingerprint != teacher_student(replace(SMALL, teacher_depth=3)).fingerprint
        assert WORKLOAD.fingerprint != teacher_student(replace(SMALL, teacher_gain=1.1)).fingerprint


class TestStudent:
    def test_starts_near_guessing_and_learns(self) -> None:
        """Guessing the mean has a loss of 1; a few steps explain a good part of the variance."""
        model = WORKLOAD.make_model(0)
        optimizer = WORKLOAD.make_optimizer(model)
        first = WORKLOAD.evaluate(model)
        for step in range(SMALL.steps):
            WORKLOAD.loss(model, WORKLOAD.batch_at(0, step)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        assert 1 < first < 4
        assert WORKLOAD.evaluate(model) < 0.8

    def test_weights_depend_on_the_seed_alone(self) -> None:
        """Twice the same to the bit, and others for another seed."""
        one, same, other = (list(make_student(SMALL, seed).parameters()) for seed in (5, 5, 6))
        assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
        assert not torch.equal(one[0], other[0])

    def test_a_block_adds_as_much_as_the_recipe_says(self) -> None:
        """The deviation of what the first block adds to the stream, whose own is 1."""
        recipe = replace(SMALL, width=256, hidden=512, branch=0.5)
        model = make_student(recipe, 0)
        stream = model.stem(inputs_of((1, 2), 512, recipe.features))
        added = model.blocks[0](stream) - stream
        assert stream.std().item() == pytest.approx(1.0, rel=0.1)
        assert added.std().item() == pytest.approx(0.5, rel=0.1)

    def test_evaluation_is_deterministic_and_changes_nothing(self) -> None:
        model = WORKLOAD.make_model(1)
        assert WORKLOAD.evaluate(model) == teacher_student(SMALL).evaluate(model)
        assert all(parameter.grad is None for parameter in model.parameters())

    def test_default_has_the_notes_levels(self) -> None:
        """24 blocks in forward order, so that half and three quarters of them are 12 and 18."""
        workload = teacher_student()
        model = workload.make_model(0)
        seen: list[int] = []
        for index, block in enumerate(workload.blocks(model)):
            block.register_forward_hook(lambda *_, index=index: seen.append(index))
        workload.loss(model, workload.batch_at(0, 0))
        assert seen == list(range(24))
        assert workload.target == "auto"
