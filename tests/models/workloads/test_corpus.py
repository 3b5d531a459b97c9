"""The corpus: which files, disjoint parts, a fingerprint that changes with content, and every
fault.
"""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.workloads.corpus import Corpus, load_corpus, require_bytes


def write(directory: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def texts(count: int) -> dict[str, bytes]:
    return {
        f"part{i % 3}/text{i}.md": f"text number {i}\n".encode() * (i + 1) for i in range(count)
    }


def names(corpus: Corpus) -> set[str]:
    return {*corpus.train_files, *corpus.validation_files}


class TestStandardLibrary:
    def test_is_large_and_has_both_parts(self) -> None:
        """Enough bytes for a run of some hundred thousand, and modules that every Python has."""
        corpus = load_corpus()
        assert len(corpus.train) > 4_000_000
        assert len(corpus.validation) > 200_000
        assert {"argparse.py", "json/decoder.py"} <= names(corpus)

    def test_leaves_out_what_differs_between_machines(self) -> None:
        """No tests, no installed packages, none of what distributions ship apart, nothing but
        Python.
        """
        assert all(name.endswith(".py") for name in names(load_corpus()))
        parts = {part for name in names(load_corpus()) for part in name.split("/")}
        assert not parts & {
            "test",
            "tests",
            "site-packages",
            "dist-packages",
            "idlelib",
            "tkinter",
            "ensurepip",
        }
        assert not any(part.startswith("_sysconfigdata") for part in parts)

    def test_bytes_are_those_of_the_files(self) -> None:
        """Each part has as many bytes as its files, and starts with the first of them."""
        corpus, root = load_corpus(), Path(sysconfig.get_path("stdlib"))
        assert corpus.train.dtype == torch.uint8
        assert len(corpus.train) == sum((root / name).stat().st_size for name in corpus.train_files)
        first = (root / corpus.validation_files[0]).read_bytes()
        assert bytes(corpus.validation[: len(first)].tolist()) == first

    def test_is_loaded_once(self) -> None:
        """A second call gives the same object, so that trials in one process share the memory."""
        assert load_corpus() is load_corpus()


class TestDirectory:
    def test_parts_are_disjoint_files(self, tmp_path: Path) -> None:
        """Every file is in one part; a tenth, and at least one, is for validation."""
        corpus = load_corpus(write(tmp_path, texts(40)))
        assert not set(corpus.train_files) & set(corpus.validation_files)
        assert names(corpus) == set(texts(40))
        assert len(corpus.validation_files) == 4

    def test_two_files_are_enough(self, tmp_path: Path) -> None:
        """One to train on, one to validate on."""
        corpus = load_corpus(write(tmp_path, texts(2)))
        assert (len(corpus.train_files), len(corpus.validation_files)) == (1, 1)

    def test_split_depends_on_names_alone(self, tmp_path: Path) -> None:
        """The same names with other contents, elsewhere, are split alike."""
        one = load_corpus(write(tmp_path / "one", texts(20)))
        other = load_corpus(
            write(tmp_path / "two", {name: text * 2 for name, text in texts(20).items()})
        )
        assert one.validation_files == other.validation_files

    def test_leaves_out_hidden_binary_empty_and_repeated_files(self, tmp_path: Path) -> None:
        """Only text counts, each text once, under the first of its names."""
        extra = {
            ".git/config": b"text",
            ".env": b"secret",
            "a.bin": b"\x7fELF\0\0",
            "empty": b"",
            "z": b"text number 0\n",
        }
        corpus = load_corpus(write(tmp_path, {**texts(4), **extra}))
        assert names(corpus) == set(texts(4))

    @settings(deadline=None, max_examples=25)  # a busy machine is no fault
    @given(st.data())
    def test_fingerprint_changes_with_any_byte_or_name(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        """Copy a corpus: same fingerprint. Change one byte, or one name: another."""
        files = texts(5)
        name = data.draw(st.sampled_from(sorted(files)))
        place = data.draw(st.integers(0, len(files[name]) - 1))
        changed = bytearray(files[name])
        changed[place] ^= 1
        prints = {
            kind: load_corpus(write(tmp_path_factory.mktemp("corpus"), content)).fingerprint
            for kind, content in {
                "original": files,
                "copy": files,
                "byte": {**files, name: bytes(changed)},
                "name": {(key + "x" if key == name else key): text for key, text in files.items()},
            }.items()
        }
        assert prints["original"] == prints["copy"]
        assert len(set(prints.values())) == 3


class TestFaults:
    def test_no_such_directory(self, tmp_path: Path) -> None:
        with pytest.raises(
            ValueError, match=r"must be a directory of text files, but got .*nowhere"
        ):
            load_corpus(tmp_path / "nowhere")

    def test_a_file_is_no_directory(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="must be a directory of text files"):
            load_corpus(write(tmp_path, texts(1)) / "part0/text0.md")

    @pytest.mark.parametrize(
        "files", [{}, {"one.txt": b"alone"}, {"a.txt": b"same", "b.txt": b"same"}]
    )
    def test_fewer_than_two_texts(self, tmp_path: Path, files: dict[str, bytes]) -> None:
        """None, one, and one under two names."""
        with pytest.raises(
            ValueError, match=f"at least two different text files .* got {min(len(files), 1)} in"
        ):
            load_corpus(write(tmp_path, files))

    def test_unreadable_file(self, tmp_path: Path) -> None:
        """A link to nothing is unreadable whoever runs the test; the message names it."""
        (write(tmp_path, texts(3)) / "lost.txt").symlink_to(tmp_path / "gone.txt")
        with pytest.raises(
            ValueError, match=r"must be readable, but got .*lost\.txt: No such file"
        ):
            load_corpus(tmp_path)

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to root")
    def test_unreadable_folder(self, tmp_path: Path) -> None:
        (write(tmp_path, texts(3)) / "part0").chmod(0)
        with pytest.raises(
            ValueError, match=r"every folder of a corpus must be readable, but got .*part0"
        ):
            load_corpus(tmp_path)

    def test_too_small_names_each_part(self, tmp_path: Path) -> None:
        """Both shortages in one message, with the sizes."""
        corpus = load_corpus(write(tmp_path, {"a": b"x" * 10, "b": b"y" * 20}))
        with pytest.raises(
            ValueError, match=r"training files .* 1,000 .*; .*validation files .* 2,000"
        ):
            require_bytes(corpus, train=1000, validation=2000)
        require_bytes(corpus, train=10, validation=10)
