"""The picture workload: examples that come again, an accuracy, smaller pictures."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from models.registry import find_workload
from models.workloads import digits as module
from models.workloads.digits import SMALLEST_SIDE, Recipe, digits, example_ids, examples_at, shrink
from models.workloads.pictures import Making, load_pictures

SMALL = Recipe(
    pictures=Making(held_out=1200, copies=2, held_out_copies=1),
    depth=2,
    width=8,
    batch=64,
    steps=72,
    learning_rate=1e-2,
    warmup_steps=2,
)
EXAMPLES = 2 * (1797 - 1200)
EPOCH = EXAMPLES // SMALL.batch
SEEDS = st.integers(0, 2**31)


class TestEpochs:
    @given(SEEDS, st.integers(0, 1000))
    def test_each_takes_an_example_at_most_once(self, seed: int, epoch: int) -> None:
        """Collect the ids of one epoch's batches: whole batches, fewer than one is left out."""
        steps = range(epoch * EPOCH, (epoch + 1) * EPOCH)
        seen = torch.cat([examples_at(SMALL, seed, step) for step in steps])
        assert len(seen) == len(set(seen.tolist())) > EXAMPLES - SMALL.batch
        assert 0 <= seen.min() <= seen.max() < EXAMPLES
        assert seen.dtype == torch.int64

    @given(SEEDS, st.integers(0, 1000))
    def test_the_order_is_drawn_from_seed_and_epoch(self, seed: int, step: int) -> None:
        """Asked again it is the same; the next epoch and the next seed have another."""
        order = example_ids(1000, 50, seed, step)
        assert torch.equal(order, example_ids(1000, 50, seed, step))
        assert not torch.equal(order, example_ids(1000, 50, seed, step + 20))
        assert not torch.equal(order, example_ids(1000, 50, seed + 1, step))

    @given(SEEDS, st.integers(0, 1000))
    def test_an_id_is_always_the_same_example(self, seed: int, step: int) -> None:
        """A batch is what its ids name, from another workload object too."""
        pictures, answers = digits(SMALL).batch_at(seed, step)
        ids_of = digits(SMALL).examples_at
        assert ids_of is not None
        ids = ids_of(seed, step)
        train = load_pictures(SMALL.pictures).train
        assert torch.equal(pictures, train.images[ids])
        assert torch.equal(answers, train.answers[ids])

    def test_a_batch_can_be_changed(self) -> None:
        """What a loop does to its batch in place reaches no later one."""
        batch_at = digits(SMALL).batch_at
        pictures, _ = batch_at(0, 0)
        kept = pictures.clone()
        pictures.zero_()
        examples_at(SMALL, 0, 0).zero_()
        assert torch.equal(batch_at(0, 0)[0], kept)

    def test_shapes_and_types(self) -> None:
        pictures, answers = digits(SMALL).batch_at(0, 0)
        assert pictures.shape == (SMALL.batch, 1, 12, 12)
        assert answers.shape == (SMALL.batch,)
        assert (pictures.dtype, answers.dtype) == (torch.float32, torch.int64)
        assert 0 <= pictures.min() <= pictures.max() <= 1
        assert set(answers.tolist()) == set(range(10))

    def test_global_generator_is_untouched(self) -> None:
        before = torch.get_rng_state()
        workload = digits(SMALL)
        workload.batch_at(0, 0)
        workload.make_model(3)
        assert torch.equal(before, torch.get_rng_state())


class TestShrink:
    def test_whole_is_the_batch_itself(self) -> None:
        batch = digits(SMALL).batch_at(0, 0)
        assert shrink(batch, 1.0) is batch

    @given(st.floats(0.01, 0.95))
    def test_pictures_keep_their_brightness_and_answers(self, share: float) -> None:
        """A share of the side in whole pixels; the mean stays nearly what it was."""
        pictures, answers = digits(SMALL).batch_at(0, 0)
        small, same = shrink((pictures, answers), share)
        side = max(SMALLEST_SIDE, round(share * 12))
        assert small.shape == (SMALL.batch, 1, side, side)
        assert small.mean().item() == pytest.approx(pictures.mean().item(), rel=0.05)
        assert torch.equal(same, answers)

    def test_the_model_takes_them(self) -> None:
        """Of every side."""
        workload = digits(SMALL)
        model, batch = workload.make_model(0), workload.batch_at(0, 0)
        losses = [workload.loss(model, shrink(batch, share)) for share in (0.3, 0.5, 0.75, 1.0)]
        assert all(loss.isfinite() for loss in losses)

    def test_is_offered_to_the_lever(self) -> None:
        assert digits(SMALL).shrink is shrink


class TestTraining:
    def test_starts_at_guessing_and_learns(self) -> None:
        """The first loss is that of guessing among ten; a few epochs tell many digits right."""
        workload = digits(SMALL)
        model = workload.make_model(0)
        optimizer = workload.make_optimizer(model)
        first = workload.loss(model, workload.batch_at(0, 0)).item()
        for step in range(SMALL.steps):
            workload.loss(model, workload.batch_at(0, step)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        assert first == pytest.approx(torch.tensor(10.0).log().item(), rel=0.02)
        assert 0.3 < workload.evaluate(model.eval()) < 1

    def test_accuracy_is_the_share_told_right(self) -> None:
        """A model that always says 3 is right where the answer is 3."""
        workload = digits(SMALL)
        answers = load_pictures(SMALL.pictures).held_out.answers
        assert len(answers) == SMALL.pictures.held_out

        class Three(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.scores = nn.Parameter(torch.eye(10)[3])

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return self.scores.expand(len(x), -1)

        assert workload.evaluate(Three()) == (answers == 3).sum().item() / len(answers)
        assert (workload.metric, workload.maximize) == ("accuracy", True)

    def test_evaluation_is_deterministic_and_changes_nothing(self) -> None:
        """Statistics of the norms included."""
        model = digits(SMALL).make_model(1).eval()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        assert digits(SMALL).evaluate(model) == digits(SMALL).evaluate(model)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    def test_weights_depend_on_the_seed_alone(self) -> None:
        """Twice the same to the bit, and others for another seed."""
        one, same, other = (
            list(module.make_net(SMALL, seed).state_dict().values()) for seed in (5, 5, 6)
        )
        assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
        assert not torch.equal(one[0], other[0])

    def test_blocks_keep_the_shape_and_run_in_order(self) -> None:
        """By default at least four; each hook notes its block's input and output."""
        workload = digits()
        model = workload.make_model(0)
        seen: list[int] = []
        for index, block in enumerate(workload.blocks(model)):

            def note(
                _: nn.Module, x: tuple[torch.Tensor], y: torch.Tensor, index: int = index
            ) -> None:
                assert x[0].shape == y.shape
                seen.append(index)

            block.register_forward_hook(note)
        workload.loss(model, workload.batch_at(0, 0))
        assert seen == list(range(Recipe().depth))
        assert len(seen) >= 4
        assert any(isinstance(part, nn.BatchNorm2d) for part in model.modules())


class TestPictures:
    def test_held_out_pictures_are_trained_on_by_nobody(self) -> None:
        """Without maps, no held-out picture is among the training ones, but for twins."""
        plain = Making(side=8, turn=0, stretch=0, shift=0, copies=1, held_out_copies=1)
        pictures = load_pictures(plain)
        assert len(pictures.train) + len(pictures.held_out) == 1797
        train = {bytes(image.numpy().tobytes()) for image in pictures.train.images}
        twins = sum(image.numpy().tobytes() in train for image in pictures.held_out.images)
        assert twins < 3

    def test_a_map_of_nothing_is_the_picture(self) -> None:
        """Unturned, unstretched, unmoved, on a side of 12: the picture with a rim of 2."""
        still = Making(turn=0, stretch=0, shift=0, copies=1)
        plain = load_pictures(replace(still, side=8)).train.images
        rimmed = load_pictures(still).train.images
        assert torch.allclose(rimmed[:, :, 2:-2, 2:-2], plain, atol=1e-5)
        assert rimmed[:, :, :2].abs().max() < 1e-5

    def test_shift_is_in_pixels(self) -> None:
        """The mean place of the ink moves by at most as many, and by about half of it."""
        still = Making(turn=0, stretch=0, shift=0, copies=1)
        moved = load_pictures(replace(still, shift=1.5)).train.images
        ways = (columns(moved) - columns(load_pictures(still).train.images)).abs()
        assert ways.max() < 1.51
        assert ways.mean() == pytest.approx(0.75, abs=0.1)

    def test_fingerprint_follows_what_is_made(self) -> None:
        """Other copies, another one; another model or number of steps, the same."""
        fingerprint = digits(SMALL).fingerprint
        assert fingerprint == digits(replace(SMALL, steps=73, depth=3)).fingerprint
        other = replace(SMALL, pictures=replace(SMALL.pictures, turn=0.1))
        assert fingerprint != digits(other).fingerprint


class TestRefusals:
    def test_without_scikit_learn_a_message_says_how_to_install_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        load_pictures.cache_clear()
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
        with pytest.raises(
            ValueError, match=r"come with scikit-learn.*install it with pip install"
        ):
            find_workload("digits")

    def test_fewer_examples_than_fill_a_batch(self) -> None:
        with pytest.raises(ValueError, match="batch <= examples must hold, but got batch=2000"):
            digits(replace(SMALL, batch=2000))

    def test_nothing_left_to_train_on(self) -> None:
        with pytest.raises(
            ValueError, match="0 < held_out < 1797 must hold, but got held_out=1797"
        ):
            digits(replace(SMALL, pictures=Making(held_out=1797)))


def columns(images: torch.Tensor) -> torch.Tensor:
    """Mean column of the ink, in pixels, of each picture."""
    ink = images.sum((1, 2))
    return (ink * torch.arange(images.shape[-1])).sum(1) / ink.sum(1)
