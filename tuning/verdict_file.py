"""A confirmation's verdict, read back from the run directory that it was written into."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tuning.verdict import Verdict

VERDICT = "verdict.json"
_PAIRS = ("interval", "bootstrap_interval", "solo_interval", "lower_loss_interval", "loss_per_percent_interval")


def read_verdict(run: Path) -> tuple[Verdict | None, str]:
    """The verdict in RUN/verdict.json, or None with a remark on why it cannot be read (empty where there is none)."""
    path = run / VERDICT
    try:
        return verdict_from_json(path.read_text(encoding="utf-8")), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        return None, f"{path} must hold a verdict that this version reads, but {error!r}; confirm again to renew it"


def verdict_from_json(text: str) -> Verdict:
    """The inverse of ``Verdict.to_json``; keys that this version does not know are passed over.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: the text is no such verdict, or one of another format.
    """
    from tuning.paired import SeedComparison
    from tuning.verdict import FORMAT, CandidateVerdict, ControlRun, ControlVerdict, Verdict

    data = json.loads(text)
    if data["format"] != FORMAT:
        raise ValueError(f"its format is {data['format']}, and {FORMAT} is read")
    candidates = tuple(
        _built(CandidateVerdict, c, per_seed=tuple(_built(SeedComparison, s) for s in c["per_seed"]))
        for c in data["candidates"]
    )
    runs = tuple(_built(ControlRun, run) for run in data["control"]["runs"])
    control = _built(ControlVerdict, data["control"], runs=runs)
    seeds = tuple(data["seeds"])
    found: Verdict = _built(Verdict, data, candidates=candidates, control=control, seeds=seeds)
    return found


def _built(kind: Any, data: Mapping[str, Any], **parts: object) -> Any:
    """A dataclass from the values of its own fields; intervals become tuples again."""
    own = {field.name: data[field.name] for field in dataclasses.fields(kind) if field.name in data}
    pairs = {name: tuple(own[name]) for name in _PAIRS if name in own}
    return kind(**{**own, **pairs, **parts})
