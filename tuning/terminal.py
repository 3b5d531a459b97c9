"""Output that reaches its reader: whatever the terminal can show, and however early it hangs up.

The one place that decides how the commands' text is written. Where a stream cannot encode a letter,
as ASCII cannot ``±``, another stands for it; bytes of a path that are no text in any encoding are
written as they are; and a pipe whose reader has gone takes the rest without a word, because what is
being done is not for the reader alone.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

PLAIN = {
    "±": "+/-", "×": "x", "·": "-", "…": "...", "–": "-", "—": "-", "−": "-", "≈": "~", "≤": "<=",
    "≥": ">=", "→": "->", "↔": "<->", "’": "'", "‘": "'", "“": '"', "”": '"', "█": "#", "━": "-",
    "╸": "-", "╺": "-", "•": "*", "α": "alpha", "β": "beta", "σ": "sigma", "Σ": "sum", "µ": "u",
}  # fmt: skip
"""What stands for a letter that a stream cannot write; a question mark for all others."""
_HANDLER = "tuning-plain"


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letter = error.object[error.start]
    if "\udc80" <= letter <= "\udcff":  # a byte of a path that is no text
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    return PLAIN.get(letter, "?"), error.start + 1


codecs.register_error(_HANDLER, _plain)


class _Patient(io.TextIOBase):
    """A stream that goes on in silence once its reader has gone."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._gone = stream, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's, from which libraries learn what it can show; text in memory has none."""
        return str(getattr(self._stream, "encoding", None) or "utf-8")

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return not self._gone and bool(getattr(self._stream, "isatty", bool)())

    def fileno(self) -> int:
        """The stream's descriptor."""
        return int(self._stream.fileno())

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, text: str) -> int:
        """Write, unless nobody reads any more."""
        self._minding(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, unless nobody reads any more."""
        self._minding(self._stream.flush)

    def _minding(self, call: Callable[[], object]) -> None:
        if self._gone:
            return
        try:
            call()
        except OSError:
            self._gone = True
            self._discard_the_rest()

    def _discard_the_rest(self) -> None:
        # What the stream still holds would fail again when the interpreter ends.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def patient_output() -> Iterator[None]:
    """Standard output and standard error as described above, within the block."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)
    sys.stdout, sys.stderr = (stream if stream is None else _Patient(stream) for stream in before)
    try:
        yield
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    finally:
        sys.stdout, sys.stderr = before
