"""The file layer: a file appears whole or not at all, and of two that commit one name exactly one
wins.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.faulty_files import CountingFiles, Crash, CrashingFiles, FullDisk, NoHardLinks
from tests.support.folders import fresh_folder
from tuning.store.files import FILES, Files

WRITERS = ["write_atomic", "commit_once"]


def _crashing(data: st.DataObject, first: int, calls: int) -> CrashingFiles:
    """Dies at one of ``calls`` calls from ``first`` on, in any way."""
    return CrashingFiles(
        data.draw(st.integers(first, first + calls - 1)),
        torn=data.draw(st.floats(0, 1)),
        power_failure=data.draw(st.booleans()),
        undo=data.draw(st.integers(0, 4)),
    )


def _writer(files: Files, name: str) -> Callable[[Path, bytes], None]:
    method: Callable[[Path, bytes], None] = getattr(files, name)
    return method


def _calls(name: str) -> int:
    """How many system calls a write takes where nothing goes wrong."""
    files = CountingFiles()
    with fresh_folder() as folder:
        _writer(files, name)(folder / "file", b"new")
    return files.calls


@pytest.mark.parametrize("name", WRITERS)
@given(st.data())
def test_a_crash_leaves_nothing_or_the_whole(name: str, data: st.DataObject) -> None:
    """Crashes at any call of a write to a new name, by kill or power failure, then reads what the
    name holds.
    """
    files = _crashing(data, 0, _calls(name))
    with fresh_folder() as folder:
        path = folder / "file"
        with pytest.raises(Crash):
            _writer(files, name)(path, b"new")
        assert not path.exists() or path.read_bytes() == b"new"


@pytest.mark.parametrize("name", WRITERS)
@given(st.data())
def test_what_was_written_survives_a_power_failure(name: str, data: st.DataObject) -> None:
    """Writes one file, then loses power at any call of writing another.

    The first must be there, whole.
    """
    files = _crashing(data, _calls(name), _calls(name))
    with fresh_folder() as folder:
        _writer(files, name)(folder / "first", b"first")
        with pytest.raises(Crash):
            _writer(files, name)(folder / "second", b"second")
        assert (folder / "first").read_bytes() == b"first"


@given(st.data())
def test_replacing_leaves_the_old_or_the_new(data: st.DataObject) -> None:
    """Crashes at any call of replacing a file, then reads it: never a mixture, never nothing."""
    files = _crashing(data, 0, _calls("write_atomic"))
    with fresh_folder() as folder:
        path = folder / "file"
        path.write_bytes(b"old")
        with pytest.raises(Crash):
            files.write_atomic(path, b"new")
        assert path.read_bytes() in {b"old", b"new"}


@pytest.mark.parametrize("files", [FILES, NoHardLinks()], ids=["links", "no-links"])
def test_a_committed_file_is_never_overwritten(files: Files, tmp_path: Path) -> None:
    """Commits a name twice.

    The second is refused, the first's content stands, no temporary file is left.
    """
    path = tmp_path / "file"
    files.commit_once(path, b"first")
    with pytest.raises(FileExistsError):
        files.commit_once(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("files", [FILES, NoHardLinks()], ids=["links", "no-links"])
def test_of_many_writers_of_a_name_exactly_one_wins(files: Files, tmp_path: Path) -> None:
    """Eight threads commit one name at once.

    One returns, seven are refused, the winner's content stands.
    """
    start, won, refused = threading.Barrier(8), [], []

    def commit(content: bytes) -> None:
        start.wait()
        try:
            files.commit_once(tmp_path / "file", content)
            won.append(content)
        except FileExistsError:
            refused.append(content)

    threads = [threading.Thread(target=commit, args=(bytes([i]),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(refused)) == (1, 7)
    assert (tmp_path / "file").read_bytes() == won[0]


class _LostAnswer(Files):
    """A network file system that makes the link, loses the answer, tries again and then says that
    it exists.
    """

    def link(self, source: Path, target: Path) -> None:
        super().link(source, target)
        super().link(source, target)


def test_a_link_made_by_a_lost_request_counts(tmp_path: Path) -> None:
    """The link exists because this writer made it, which its inode tells: the commit succeeded."""
    _LostAnswer().commit_once(tmp_path / "file", b"content")
    assert (tmp_path / "file").read_bytes() == b"content"


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("room", [0, 1, 2])
def test_a_full_disk_is_reported_and_leaves_no_litter(name: str, room: int, tmp_path: Path) -> None:
    """Fails the first, second or third call for want of space.

    The error is the disk's, the directory unchanged.
    """
    (tmp_path / "other").write_bytes(b"old")
    with pytest.raises(OSError, match="No space left") as raised:
        _writer(FullDisk(room), name)(tmp_path / "file", b"new")
    assert raised.value.errno == errno.ENOSPC
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


class _ShortWrites(Files):
    """A disk that takes three bytes at a time."""

    def write(self, descriptor: int, data: bytes) -> int:
        return super().write(descriptor, data[:3])


@given(st.binary(max_size=20))
def test_short_writes_are_continued(content: bytes) -> None:
    """Writes through a layer that takes three bytes a call; the file must hold all of them."""
    with fresh_folder() as folder:
        _ShortWrites().write_atomic(folder / "file", content)
        assert (folder / "file").read_bytes() == content


def test_a_commit_can_be_stopped_at_the_last_moment(tmp_path: Path) -> None:
    """``before`` raises: nothing is named and the temporary file is gone."""

    def refuse() -> None:
        raise PermissionError("not yours any more")

    with pytest.raises(PermissionError, match="not yours"):
        FILES.commit_once(tmp_path / "file", b"content", before=refuse)
    assert list(tmp_path.iterdir()) == []


class _Watched(Files):
    """Notes how much each call is given."""

    def __init__(self) -> None:
        self.given: list[int] = []

    def write(self, descriptor: int, data: bytes) -> int:
        self.given.append(len(data))
        return super().write(descriptor, data)


def test_what_is_large_is_written_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No call gets a copy of the whole."""
    monkeypatch.setattr("tuning.store.files.AT_ONCE", 4)
    watched = _Watched()
    watched.write_atomic(tmp_path / "file", b"0123456789")
    assert watched.given == [4, 4, 2]
    assert (tmp_path / "file").read_bytes() == b"0123456789"
