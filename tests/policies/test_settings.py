"""Settings in files."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.registry import make_policy
from policies.settings import dump_policy, load_policy
from policies.static_suffix import StaticSuffix


def test_a_file_and_its_text_give_the_same_policy(tmp_path: Path) -> None:
    """Load a written policy by path, by the path's name and as text."""
    policy = make_policy(
        "dynamic_suffix", {"threshold": 0.1 + 0.2, "gate": True, "relevance": "saliency"}
    )
    path = tmp_path / "policy.toml"
    path.write_text(dump_policy(policy), encoding="utf-8")
    assert load_policy(path) == load_policy(str(path)) == load_policy(dump_policy(policy)) == policy


def test_other_tables_are_not_read() -> None:
    """What an export adds about its trial does not disturb."""
    text = (
        'policy = "static_suffix"\nhorizon = 0.7\n'
        "[knobs]\nactive_fraction = 0.3\n[trial]\nnumber = 4\n"
    )
    assert load_policy(text) == StaticSuffix(active_fraction=0.3)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("policy =\n", "must be TOML"),
        ("[knobs]\n", 'policy = "NAME" must stand in the settings, but got policy=None'),
        ("policy = 3\nknobs = 4\n", r"got policy=3; \[knobs\] must be a table, but got knobs=4"),
        ('policy = "none"\n', "policy must be one of"),
        (
            'policy = "static_suffix"\n[knobs]\nactive_fraction = 2\n',
            "active_fraction <= 1 must hold",
        ),
        (
            'policy = "static_suffix"\n[knobs]\nactive_fraction = [1]\n',
            "active_fraction must be a float",
        ),
        ("no/such/file.toml", "must be a readable file, but got no/such/file.toml"),
    ],
)
def test_faults_are_named(text: str, fault: str) -> None:
    """Text that is no TOML, names no policy, breaks a rule, and a file that is not there."""
    with pytest.raises(ValueError, match=fault):
        load_policy(text)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """Bytes that are not UTF-8."""
    path = tmp_path / "policy.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="must be TOML"):
        load_policy(path)
