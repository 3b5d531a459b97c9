"""What a run takes, and which snapshots stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuning.store.upkeep import REST, size_words, sizes, snapshots, thin


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Snapshots before steps 0, 10, …, 90, and the record that is no snapshot."""
    for step in range(0, 100, 10):
        (tmp_path / f"{step:06d}.pt").write_bytes(b"x" * 5)
    (tmp_path / "recorded.pt").write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("keep", "steps"), [(4, [0, 30, 60, 90]), (1, [0]), (0, []), (10, list(range(0, 100, 10)))]
)
def test_snapshots_are_thinned_evenly(folder: Path, keep: int, steps: list[int]) -> None:
    """By hand; doing it again changes nothing, and the record stays."""
    for _ in range(2):
        thin(folder, keep)
        assert [int(path.stem) for path in snapshots(folder)] == steps
    assert (folder / "recorded.pt").exists()


def test_sizes_are_by_what_they_hold(tmp_path: Path) -> None:
    """Bytes of each folder, the largest first; an empty one is not said."""
    for name, size in (("trunk/seed-0/000000.pt", 30), ("trials/1.parquet", 7), ("run.json", 50)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
    (tmp_path / "running").mkdir()
    assert list(sizes(tmp_path).items()) == [(REST, 50), ("snapshots", 30), ("trials", 7)]
    assert size_words(sizes(tmp_path)).startswith("87 B: ")
