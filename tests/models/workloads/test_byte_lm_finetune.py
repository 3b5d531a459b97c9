"""The fine-tuning workload: pretrained once, kept, and adapted over epochs of the same windows."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.workload import Workload
from models.workloads import byte_lm, byte_lm_finetune
from models.workloads.byte_lm_finetune import (
    Origin,
    Recipe,
    batches,
    examples_at,
    make_pretrained,
    pretrain,
)
from models.workloads.corpus import load_corpus
from models.workloads.pretrained import CACHE_VARIABLE, Weights, cache_directory, load_or_make

PRETRAINING = byte_lm.Recipe(
    depth=2, width=16, heads=1, window=16, batch=4, steps=6, warmup_steps=2
)
TINY = Recipe(pretraining=PRETRAINING, batch=4, epoch_steps=3, steps=12, warmup_steps=2)
BATCH_AT = batches(load_corpus(), TINY)
SEEDS = st.integers(0, 2**31)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of the test's own, with nothing remembered in memory."""
    directory = tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(directory))
    byte_lm_finetune._weights.cache_clear()
    return directory


def tiny() -> Workload:
    return byte_lm_finetune.byte_lm_finetune(recipe=TINY)


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[name]) for name, value in one.items()
    )


class TestEpochs:
    @given(SEEDS, st.integers(0, 1000))
    def test_each_takes_every_window_once(self, seed: int, epoch: int) -> None:
        """Collect the indices of one epoch's batches."""
        steps = range(epoch * TINY.epoch_steps, (epoch + 1) * TINY.epoch_steps)
        seen = [index for step in steps for index in examples_at(TINY, seed, step).tolist()]
        assert sorted(seen) == list(range(TINY.windows))

    @given(SEEDS, st.integers(0, 1000))
    def test_the_order_is_drawn_from_seed_and_epoch(self, seed: int, step: int) -> None:
        """Asked again it is the same.

        Of a larger set, the next epoch and the next seed have another.
        """
        recipe = replace(TINY, epoch_steps=100)
        order = examples_at(recipe, seed, step).tolist()
        assert order == examples_at(recipe, seed, step).tolist()
        assert order != examples_at(recipe, seed, step + recipe.epoch_steps).tolist()
        assert order != examples_at(recipe, seed + 1, step).tolist()

    def test_batches_are_windows_of_the_training_text(self) -> None:
        """Two epochs and two seeds have the same rows, each found whole in the training bytes."""
        corpus = load_corpus()
        batch_at = batches(corpus, TINY)
        epochs = [
            Counter(
                tuple(row)
                for step in range(first, first + 3)
                for row in batch_at(seed, step).tolist()
            )
            for seed, first in ((0, 0), (0, 3), (7, 0))
        ]
        assert epochs[0] == epochs[1] == epochs[2]
        text = corpus.train.numpy().tobytes()
        assert all(bytes(row) in text for row in epochs[0])

    @given(SEEDS, st.integers(0, 1000))
    def test_an_id_is_always_the_same_window(self, seed: int, step: int) -> None:
        """Of every seed: the first epoch of seed 0 says which window has which id."""
        ids = torch.cat([examples_at(TINY, 0, step) for step in range(TINY.epoch_steps)])
        windows = torch.cat([BATCH_AT(0, step) for step in range(TINY.epoch_steps)])
        assert torch.equal(
            BATCH_AT(seed, step), windows[ids.argsort()][examples_at(TINY, seed, step)]
        )


class TestPretraining:
    def test_lowers_the_loss_on_programs(self) -> None:
        """The same model on the same files, before and after."""
        workload = byte_lm.byte_lm(recipe=PRETRAINING)
        model = workload.make_model(0)
        before = workload.evaluate(model)
        model.load_state_dict(pretrain(PRETRAINING))
        assert workload.evaluate(model) < before - 0.05

    def test_is_the_same_whatever_the_process_does(self) -> None:
        """Weights agree to the bit under another number of threads, without gradients, after other
        draws.

        All is put back afterwards.
        """
        expected = pretrain(PRETRAINING)
        torch.set_num_threads(2)
        torch.manual_seed(5)
        state = torch.get_rng_state()
        try:
            with torch.no_grad():
                assert same(pretrain(PRETRAINING), expected)
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(1)
        assert torch.equal(torch.get_rng_state(), state)

    def test_is_kept_and_then_loaded(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The second time nothing is trained; any seed starts from the same weights.

        One file is there, and no scrap.
        """
        made = tiny().make_model(0).state_dict()
        byte_lm_finetune._weights.cache_clear()
        monkeypatch.setattr(
            byte_lm_finetune, "pretrain", lambda _: pytest.fail("it was in the cache")
        )
        assert same(tiny().make_model(3).state_dict(), made)
        assert [path.suffix for path in cache.iterdir()] == [".pt"]

    def test_a_model_is_not_the_cached_tensors(self, cache: Path) -> None:
        """Training one changes no other."""
        first = tiny().make_model(0)
        with torch.no_grad():
            next(first.parameters()).zero_()
        assert next(tiny().make_model(0).parameters()).abs().sum() > 0

    def test_two_at_once_leave_one_whole_file(self, tmp_path: Path) -> None:
        """A second pretraining begins and ends while the first one, which found no file, is under
        way.
        """
        file = tmp_path / "cache" / "weights.pt"
        second: list[Weights] = []

        def overtaken() -> Weights:
            second.append(load_or_make(file, lambda: pretrain(PRETRAINING)))
            return pretrain(PRETRAINING)

        first = load_or_make(file, overtaken)
        assert same(first, second[0])
        assert same(load_or_make(file, lambda: pytest.fail("it is there")), first)
        assert [path.name for path in file.parent.iterdir()] == ["weights.pt"]

    def test_fingerprint_follows_recipe_and_corpus(self, tmp_path: Path) -> None:
        origin = Origin(PRETRAINING, "abc", tmp_path)
        others = [
            replace(origin, recipe=replace(PRETRAINING, steps=7)),
            replace(origin, corpus="abd"),
        ]
        assert len({origin.fingerprint, *(other.fingerprint for other in others)}) == 3
        assert replace(origin, cache=tmp_path / "elsewhere").fingerprint == origin.fingerprint


class TestCache:
    def test_directory_by_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its own variable, then XDG's, then the home directory's."""
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.delenv(CACHE_VARIABLE, raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        assert cache_directory() == tmp_path / ".cache" / "time-to-quality"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert cache_directory() == tmp_path / "xdg" / "time-to-quality"
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "own"))
        assert cache_directory() == tmp_path / "own"
        assert list(tmp_path.iterdir()) == []

    def test_a_place_that_cannot_hold_it_is_refused_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Below a file nothing can be made; the message names the variable to set."""
        (tmp_path / "file").write_text("")
        monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
        with pytest.raises(
            ValueError, match=rf"must be a directory that can be written.*set {CACHE_VARIABLE}"
        ):
            tiny()

    @pytest.mark.parametrize(
        "damage", [lambda whole: whole[: len(whole) // 2], lambda _: b"", lambda _: b"no weights"]
    )
    def test_a_damaged_file_is_made_anew(
        self, tmp_path: Path, damage: Callable[[bytes], bytes]
    ) -> None:
        """Cut short, empty, and something else."""
        file = tmp_path / "weights.pt"
        weights = {"a": torch.arange(300.0)}
        load_or_make(file, lambda: weights)
        file.write_bytes(damage(file.read_bytes()))
        assert same(load_or_make(file, lambda: weights), weights)
        assert same(load_or_make(file, lambda: pytest.fail("it was mended")), weights)

    def test_code_in_a_file_is_never_run(self, tmp_path: Path) -> None:
        """A pickle that would make a file is not weights: they are made anew."""
        file, proof = tmp_path / "weights.pt", tmp_path / "proof"
        torch.save({"a": _Touches(proof)}, file)
        weights = {"a": torch.ones(2)}
        assert same(load_or_make(file, lambda: weights), weights)
        assert not proof.exists()

    def test_nothing_is_left_where_writing_fails(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError("no space left on device")

        monkeypatch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="no space"):
            load_or_make(tmp_path / "weights.pt", lambda: {"a": torch.ones(2)})
        assert list(tmp_path.iterdir()) == []


class _Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


class TestWorkload:
    def test_offers_ids_and_shorter_windows_to_the_levers(self, cache: Path) -> None:
        """The ids of its own recipe's batches."""
        workload = tiny()
        assert workload.examples_at is not None
        assert torch.equal(workload.examples_at(3, 5), examples_at(TINY, 3, 5))
        assert workload.shrink is byte_lm.shrink

    def test_adapts(self, cache: Path) -> None:
        """A few steps on prose lower the loss on other prose."""
        workload = tiny()
        model = make_pretrained(Origin(PRETRAINING, "any", cache), 0)
        optimizer = workload.make_optimizer(model)
        before = workload.evaluate(model)
        for step in range(TINY.steps):
            workload.loss(model, workload.batch_at(0, step)).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        assert workload.evaluate(model) < before

    def test_prose_and_programs_share_next_to_nothing(self) -> None:
        """Of the long lines fewer than one in a hundred is a line of the pretraining files (a
        quoted example, say).
        """
        programs = load_corpus()
        text = programs.train.numpy().tobytes() + programs.validation.numpy().tobytes()
        lines = {line.strip() for line in text.splitlines()}
        prose = byte_lm_finetune._prose().train.numpy().tobytes()
        long = [line for line in prose.splitlines() if len(line) > 60]
        assert len(long) > 1000
        assert sum(line.strip() in lines for line in long) < len(long) / 100

    def test_default_text_is_large_enough_by_far(self, cache: Path) -> None:
        """It has over twice the bytes of an evaluation and three times those of a training set.

        Building the workload trains nothing.
        """
        recipe, prose = Recipe(), byte_lm_finetune._prose()
        assert len(prose.validation) > 2 * byte_lm.VALIDATION_BYTES
        assert len(prose.train) > 3 * recipe.windows * recipe.pretraining.window
        assert recipe.steps / recipe.epoch_steps >= 3
        assert byte_lm_finetune.byte_lm_finetune().name == "byte_lm_finetune"
        assert not cache.exists()

    def test_users_own_text(self, cache: Path, tmp_path: Path) -> None:
        """Another directory is another fingerprint; one that is too small is refused."""
        for name in ("one.txt", "two.txt"):
            (tmp_path / name).write_text(name + "a" * byte_lm.VALIDATION_BYTES)
        mine = byte_lm_finetune.byte_lm_finetune(tmp_path, TINY)
        assert mine.fingerprint != tiny().fingerprint
        (tmp_path / "small").mkdir()
        for name in ("one.txt", "two.txt"):
            (tmp_path / "small" / name).write_text(name)
        with pytest.raises(
            ValueError, match=r"training files must hold at least .*; the validation files"
        ):
            byte_lm_finetune.byte_lm_finetune(tmp_path / "small", TINY)

    def test_without_the_default_text_a_corpus_is_asked_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A Python that was built without its documentation."""
        monkeypatch.setitem(sys.modules, byte_lm_finetune.PROSE, None)
        with pytest.raises(ValueError, match=r"cannot be imported .*; give a corpus"):
            tiny()
