"""Text as bytes: which files, which of them are for validation, and a fingerprint of it all.

The default corpus is the Python standard library's own sources, which every machine that can run
this has. A file is for training or for validation as a whole, so that no validation window was
trained on.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

VALIDATION_ONE_IN = 10
"""One file in so many is for validation, and at least one."""

NOT_EVERYWHERE = frozenset(
    {"distutils", "ensurepip", "idlelib", "lib2to3", "tkinter", "turtledemo", "turtle"}
)
"""Packages of the standard library that distributions of Python leave out or ship apart."""

NOT_PROGRAMS = frozenset({"encodings", "pydoc_data"})
"""Generated tables of code points, and prose: unlike the rest, and a tenth of it."""

TEST_FOLDERS = frozenset({"test", "tests", "idle_test"})

BINARY_PROBE_BYTES = 8192
"""A NUL in a file's first bytes makes it binary, as git has it."""


@dataclass(frozen=True)
class Corpus:
    """Bytes to train and to validate on.

    Attributes:
        train: uint8, (training bytes,).
        validation: uint8, (validation bytes,).
        train_files: relative paths, sorted by their hash, of the files in ``train``.
        validation_files: those of ``validation``; disjoint from ``train_files``, in content too.
        fingerprint: hash over relative names and contents.
    """

    train: Tensor
    validation: Tensor
    train_files: tuple[str, ...]
    validation_files: tuple[str, ...]
    fingerprint: str


def load_corpus(directory: Path | None = None) -> Corpus:
    """Load the text below ``directory``, or the standard library's sources; once a process.

    Hidden, binary and empty files are left out, and of files with the same content all but one.

    Raises:
        ValueError: there is no such directory, a file cannot be read, or fewer than two files hold
            text.
    """
    return _load(None if directory is None else directory.expanduser().resolve())


def require_bytes(corpus: Corpus, *, train: int, validation: int) -> None:
    """Refuse a corpus that is too small for its user.

    Raises:
        ValueError: less than ``train`` or ``validation`` bytes; the message names each that is
            short.
    """
    needs = (("training", corpus.train, train), ("validation", corpus.validation, validation))
    faults = [
        f"the {part} files must hold at least {need:,} bytes, but got {len(have):,}; give a larger "
        "corpus"
        for part, have, need in needs
        if len(have) < need
    ]
    if faults:
        raise ValueError("; ".join(faults))


@lru_cache(maxsize=2)
def _load(directory: Path | None) -> Corpus:
    return split_texts(dict(_texts(directory)), str(directory or _standard_library()))


def split_texts(
    texts: Mapping[str, bytes], source: str, *, held_out_one_in: int = VALIDATION_ONE_IN
) -> Corpus:
    """A corpus of ``texts`` by name, of which one in so many, and at least one, is for validation.

    Raises:
        ValueError: fewer than two texts; the message says that they came from ``source``.
    """
    names = sorted(texts, key=lambda name: hashlib.sha256(name.encode()).digest())
    if len(names) < 2:
        raise ValueError(
            "a corpus must hold at least two different text files (one to train and one to "
            "validate on), "
            f"but got {len(names)} in {source}; add files, or split the one"
        )
    held_out = max(1, len(names) // held_out_one_in)
    return Corpus(
        train=_tensor(texts[name] for name in names[held_out:]),
        validation=_tensor(texts[name] for name in names[:held_out]),
        train_files=tuple(names[held_out:]),
        validation_files=tuple(names[:held_out]),
        fingerprint=_fingerprint(names, texts),
    )


def _tensor(texts: Iterable[bytes]) -> Tensor:
    return torch.frombuffer(bytearray().join(texts), dtype=torch.uint8)


def _fingerprint(names: Iterable[str], texts: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\0{len(texts[name])}\0".encode())
        digest.update(texts[name])
    return digest.hexdigest()[:16]


def _texts(directory: Path | None) -> Iterator[tuple[str, bytes]]:
    """Yield (relative path, content) of every text, in order of path, each content once."""
    root = _standard_library() if directory is None else directory
    if not root.is_dir():
        raise ValueError(
            f"a corpus must be a directory of text files, but got {root}, which is not one"
        )
    seen: set[bytes] = set()
    for path in sorted(_sources(root) if directory is None else _files(root)):
        text = _read(path)
        content = hashlib.sha256(text).digest()
        if text and b"\0" not in text[:BINARY_PROBE_BYTES] and content not in seen:
            seen.add(content)
            yield path.relative_to(root).as_posix(), text


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(
            f"every file of a corpus must be readable, but got {path}: {error.strerror}; "
            f"make it readable or take it out"
        ) from error


def _standard_library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _sources(root: Path) -> Iterator[Path]:
    """Yield the standard library's modules that every build of a Python version has.

    Tests, generated tables and prose are left out.
    """
    for name in sys.stdlib_module_names - NOT_EVERYWHERE - NOT_PROGRAMS:
        if (module := root / f"{name}.py").is_file():
            yield module
        for path in _files(root / name):
            if path.suffix == ".py" and not TEST_FOLDERS & set(path.relative_to(root).parts):
                yield path


def _files(root: Path) -> Iterator[Path]:
    """Yield the files below ``root`` whose path has no hidden part.

    A folder that cannot be listed is a fault.
    """
    for folder, folders, names in os.walk(root, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder, name) for name in names if not name.startswith("."))


def _refuse_folder(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise ValueError(
            f"every folder of a corpus must be readable, but got {error.filename}: {error.strerror}"
        ) from error
