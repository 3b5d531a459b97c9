"""Output: letters that a stream cannot write, bytes that are no text, readers that hang up."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tuning.terminal import PLAIN, patient_output

ROOT = Path(__file__).parents[2]


def written(text: str, encoding: str, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What ``print(text)`` leaves on a stream of that encoding."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    with patient_output():
        print(text, end="")
    return raw.getvalue()


class Log:
    """The least that a stream can be."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        """Nothing."""


def test_text_in_memory_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that has no encoding is asked for one by libraries all the same."""
    memory, log = io.StringIO(), Log()
    for stream in (memory, log):
        monkeypatch.setattr(sys, "stdout", stream)
        with patient_output():
            print("±".encode(sys.stdout.encoding).decode(), sys.stdout.isatty(), end="")
    assert memory.getvalue() == log.text == "± False"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_letter_is_written(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is where the encoding has it, else as what stands for it; never an error."""
    for letter, plain in PLAIN.items():
        found = written(letter, encoding, monkeypatch).decode(encoding)
        assert found in (letter, plain)
        assert encoding != "ascii" or found.isascii()


def test_a_path_that_is_no_text_is_written_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that the file system gave, on streams of two encodings."""
    path = os.fsdecode(b"runs/\xff\xfe")
    for encoding in ("ascii", "utf-8"):
        assert written(path, encoding, monkeypatch) == b"runs/\xff\xfe"


def test_streams_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the block, and where there is no stream at all."""
    monkeypatch.setattr(sys, "stderr", None)
    before = sys.stdout
    with patient_output():
        assert sys.stdout is not before
    assert sys.stdout is before
    assert sys.stderr is None


@pytest.mark.parametrize("ending", ["| head -c 1 >/dev/null", ">&-", "2>&-", ">/dev/full"])
def test_nobody_need_read_what_a_command_prints(tmp_path: Path, ending: str) -> None:
    """A pipe that ends, closed streams: the work is done all the same, without a traceback."""
    code = (
        "from tuning.commands import status_of; import sys; from pathlib import Path\n"
        "def work():\n"
        "    for _ in range(20000): print('± a line that somebody may read')\n"
        f"    Path({str(tmp_path / 'done')!r}).touch()\n"
        "sys.exit(status_of('search', work))"
    )
    command = f'PYTHONIOENCODING=ascii {sys.executable} -c "$CODE" {ending}'
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        env={**os.environ, "CODE": code},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert (tmp_path / "done").exists()
