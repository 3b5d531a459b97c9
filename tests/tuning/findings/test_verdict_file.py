"""A verdict read back from its file, and files that hold none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.verdicts import confirmed
from tuning.findings.verdict import read_verdict, verdict_from_json
from tuning.layout import VERDICT

FOUND = confirmed({3: 1.1, 4: 1.4})


def test_reading_is_the_inverse_of_writing() -> None:
    """Equal in every part: tuples, bounds, comparisons of each seed."""
    assert verdict_from_json(FOUND.to_json()) == FOUND


def test_keys_of_a_later_version_are_passed_over() -> None:
    """What is added under the same format changes nothing that is read."""
    data = json.loads(FOUND.to_json())
    data["candidates"][0]["later"] = data["later"] = 1
    assert verdict_from_json(json.dumps(data)) == FOUND


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 1, "candidates": 3}',
        FOUND.to_json().replace('"format": 1', '"format": 2'),
        FOUND.to_json()[:400],
    ],
)
def test_any_other_file_is_named_and_left_alone(tmp_path: Path, text: str) -> None:
    """A file that is torn, foreign or of another format gives no verdict.

    There is a remark with the path, and the file stays as it was.
    """
    path = tmp_path / VERDICT
    path.write_text(text)
    verdict, remark = read_verdict(tmp_path)
    assert verdict is None
    assert str(path) in remark
    assert path.read_text() == text


def test_no_file_is_no_fault(tmp_path: Path) -> None:
    """A run that was never confirmed."""
    assert read_verdict(tmp_path) == (None, "")
