"""The figures at the top of the page: what is gained, over what, and where it is read."""

from __future__ import annotations

from tuning.findings import format as form
from tuning.findings.called import CALLED
from tuning.findings.gains import Gained
from tuning.findings.summary import FrontSummary
from tuning.findings.verdict import Against, CandidateVerdict
from tuning.findings.win_words import named
from tuning.trial.metric import Metric
from tuning.trial.recipe import OWN, SMALLER, TUNED, ControlKind

TILES: dict[ControlKind, str] = {
    OWN: "Gain over your own recipe",
    TUNED: "Over it tuned",
    SMALLER: "Over fewer blocks",
}


def key_figures(summary: FrontSummary) -> list[tuple[str, str]]:
    """The gain over each control, confirmed where it is, and the two times it is made of, by their
    names.

    The times are of the trial that the headline names, at its loss; where it names none, they are
    read at the target, which is told then.
    """
    gains = _confirmed_gain(summary) or _gains(summary)
    target = (f"Target {summary.metric.short}", summary.shown(summary.target))
    return [*gains, *_times(summary), *([target] if named(summary) is None else [])]


def _times(summary: FrontSummary) -> list[tuple[str, str]]:
    best = named(summary)
    if best is None:
        return [
            ("Front at target", form.seconds(summary.front_seconds)),
            ("Your own recipe there", form.seconds(summary.control_seconds)),
        ]
    there = summary.line.seconds_at(float(best.row["val_loss"]))
    own = "never" if there is None else form.seconds(there)
    return [
        (f"Trial {best.number} takes", form.seconds(best.row["train_seconds"])),
        (f"Your own recipe to its {summary.metric.short}", own),
    ]


def _gains(summary: FrontSummary) -> list[tuple[str, str]]:
    """The gains of the trial that the headline is about, on the search's one seed."""
    best = named(summary)
    seed = "" if summary.background.confirmed is None else ", one seed"
    if best is None:
        return [(TILES[OWN] + seed, "none")]
    seconds, loss = float(best.row["train_seconds"]), float(best.row["val_loss"])
    found = []
    for kind, gain in best.gains.items():
        there = summary.controls.lines[kind].loss_at(seconds)
        if gain.bound == "at most" or best.never_near(kind):
            continue
        if gain.only_better:
            if there is None:
                continue
            name = _equal_time(summary.metric, kind)
            found.append((name[:1].upper() + name[1:] + seed, summary.apart(loss, there)))
        else:
            found.append((TILES[kind] + seed, form.gain(gain.value, gain.said) + "×"))
    return found


def _equal_time(metric: Metric, kind: ControlKind) -> str:
    """The text in place of a gain of at least 1.00, which would read as no gain."""
    return f"{metric.better} {metric.short} than {CALLED[kind]} after as long"


def _confirmed_gain(summary: FrontSummary) -> list[tuple[str, str]]:
    """The winner's gain, or the best of those that did not win."""
    confirmed = summary.background.confirmed
    gains = [] if confirmed is None else [c for c in confirmed.candidates if c.gain is not None]
    if confirmed is None or not gains:
        return []
    best = max(gains, key=lambda c: (c.number == confirmed.winner, c.gain or 0.0))
    rivals = [(kind, over) for kind, over in best.over.items() if over.gain is not None]
    own = _confirmed(best, OWN, "gain", summary)
    return [own, *(_confirmed(o, kind, TILES[kind].lower(), summary) for kind, o in rivals)]


def _confirmed(
    found: CandidateVerdict | Against, kind: ControlKind, name: str, summary: FrontSummary
) -> tuple[str, str]:
    gain = Gained(found.gain or 0.0, found.bound)
    if gain.only_better and found.lower_loss is not None:
        name, value = _equal_time(summary.metric, kind), form.difference(found.lower_loss)
    else:
        value = form.gain(gain.value, gain.bound) + ("" if gain.only_better else "×")
    return f"{_sure(found.wins)} {name}", value


def _sure(wins: bool) -> str:
    return "Confirmed" if wins else "Unconfirmed"
