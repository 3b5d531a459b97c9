"""The page as text: whole, safe whatever a run's strings hold, and bounded in size."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.frames import frame_of, record, search_frame
from tests.support.runs import COSTS
from tests.support.verdicts import NOISE, background
from tuning.findings.context import Asked, Background
from tuning.findings.summary import summary
from tuning.report import points as report_points
from tuning.report.page import page_text
from tuning.trial.recipe import Recipe

HOSTILE = (
    """</script><script>alert("1")</script><!--VERDICT--> & "quoted" 'so' <b>🦆 &amp; """
    "{{ 7 * 7 }} {% raw %}"
)
MARKUP = re.compile(r"</?[a-z][a-z0-9]*[ >/]|&[a-z]+;")


class Outline(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        (self.scripts if self.tags[-1:] == ["script"] else self.text).append(data)


def page(
    table: pd.DataFrame, info: dict[str, Any] | None = None, known: Background | None = None
) -> str:
    return page_text(summary(table, None, known), table, info)


def data_of(text: str) -> dict[str, Any]:
    """The values that the page's script reads."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def test_the_page_needs_nothing_else() -> None:
    """The page has no address of anything to load.

    It has no source, link, import or style from elsewhere.
    """
    text = page(search_frame(), {"calibration": dataclasses.asdict(COSTS)})
    outline = Outline(text)
    addresses = [value for name, value in outline.attributes if name in ("src", "href", "srcset")]
    assert addresses == ["data:,"]
    assert "@import" not in text
    assert "url(http" not in text


def test_every_string_of_a_run_is_escaped() -> None:
    """A script's end in an error, a policy, a knob, the workload and the run's facts opens and
    closes nothing.
    """
    knobs = {"name": HOSTILE}
    table = frame_of(
        [
            record(0, 3.0, 2.0, policy=HOSTILE, workload=HOSTILE, knobs=knobs),
            record(1, 2.0, 2.5, state="failed", error=HOSTILE),
        ]
    )
    harmless = [
        record(0, 3.0, 2.0, policy="a", workload="a", knobs={"name": "a"}),
        record(1, 2.0, 2.5, state="failed", error="a" * len(HOSTILE)),
    ]
    safe = Outline(page(frame_of(harmless), facts_of("a")))
    hostile = Outline(page(table, facts_of(HOSTILE)))
    assert hostile.tags == safe.tags
    assert [name for name, _ in hostile.attributes] == [name for name, _ in safe.attributes]
    assert "".join(hostile.text).count(HOSTILE) == 14
    assert data_of(page(table))["trials"][0]["knobs"] == knobs


def facts_of(text: str) -> dict[str, Any]:
    """What is known of a run, with ``text`` wherever a run has texts of its own."""
    calibration = dataclasses.asdict(COSTS) | {
        "forms": {text: dataclasses.asdict(COSTS)},
        "disturbances": [text],
        "device": text,
    }
    return {
        "calibration": calibration,
        "config": {text: text, "list": [text], "nested": [{"name": text}]},
        "device": text,
    }


def test_html_is_written_by_templates_alone() -> None:
    """Reads the folder's Python: no text in it holds a tag or an entity."""
    folder = Path(report_points.__file__).parent
    texts = [
        (path.name, node.value)
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert len(texts) > 100
    assert [found for found in texts if MARKUP.search(found[1])] == []


def test_only_the_pages_own_style_and_script_are_taken_as_they_are() -> None:
    """Reads the templates: nothing else is marked as safe, and escaping is turned off nowhere."""
    folder = Path(report_points.__file__).parent / "templates"
    text = "".join(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.html")))
    assert re.findall(r"\{\{ (\w+) \| safe \}\}", text) == ["style", "script"]
    assert text.count("safe") == 2
    assert "autoescape" not in text


def test_the_data_is_the_reading() -> None:
    """Front, control, target and gain in it, and each drawn trial's curve and decisions."""
    table = search_frame()
    reading, data = summary(table), data_of(page(table))
    assert data["front"] == list(reading.front["number"])
    assert data["control"] == list(reading.control["number"])
    assert (data["target"], data["gain"]) == (reading.target, reading.gain)
    first = next(t for t in data["trials"] if t["number"] == reading.winner)
    row = table.set_index("number").loc[reading.winner]
    assert first["curve"][-1] == [row["train_seconds"], row["val_loss"]]
    assert [d[1:] for d in first["decisions"]] == [
        [d["step"], d["active_blocks"], d["phase"]] for d in row["decisions"]
    ]
    seconds = [d[0] for d in first["decisions"]]
    assert seconds == sorted(seconds)
    assert seconds[0] == 0


def test_failed_and_stopped_trials_are_listed_with_their_reasons() -> None:
    """Failed ones have no place in the picture; every one is in the table."""
    table = frame_of(
        [
            record(0, 3.0, 2.0),
            record(1, 2.0, None, state="failed", error="loss became nan at step 7"),
            record(2, 1.0, 2.4, state="stopped"),
        ]
    )
    text = page(table)
    assert "loss became nan at step 7" in text
    assert [t["number"] for t in data_of(text)["trials"]] == [0, 2]
    assert "Stopped and failed trials" in text


def test_calibration_and_run_facts_stand_below() -> None:
    """The cost of each depth beside a full step's, its spread, and what else is known of the
    run.
    """
    info = {
        "calibration": dataclasses.asdict(COSTS),
        "versions": {"torch": "2.13.0"},
        "knob_columns": {"a": "int"},
        "timing_seconds": 23.04,
    }
    text = page(search_frame(), info)
    assert "Calibration" in text
    assert "Time spent.</strong> 23.0 s in all" in text
    assert "0.507" in text  # a step at 2 of 8 blocks: 0.0102 / 0.0201
    assert "2.1 %" in text
    assert "2.13.0" in text
    assert "knob columns" not in text


def test_a_calibration_that_was_not_alone_says_so() -> None:
    """What disturbed it stands beside its table, with what forward, backward and optimizer take at
    each depth.
    """
    parts = {"forward": {"8": 0.0066}, "backward": {"8": 0.0123}, "optimizer": {"8": 0.0012}}
    table = dataclasses.asdict(COSTS) | {
        "step_parts": parts,
        "disturbances": ["half of the cores < taken"],
    }
    text = page(search_frame(), {"calibration": table})
    assert "It was not alone:</strong> half of the cores &lt; taken." in text
    alone = page(search_frame(), {"calibration": dataclasses.asdict(COSTS)})
    assert "It was not alone" not in alone
    assert "Time spent" not in alone
    for shown in ("Forward", "Backward", "Optimizer", "0.0123 s"):
        assert shown in text


def test_a_confirmation_stands_on_the_page() -> None:
    """Sentence on top, a row each with interval, p and seeds, whiskers in the picture, the clock's
    check below.
    """
    known = background({37: 1.08, 28: 1.0})
    text = page(search_frame(), {"calibration": dataclasses.asdict(COSTS)}, known)
    assert known.confirmed is not None
    first = known.confirmed.candidates[0]
    assert "beats training for less" in text[text.index("<h1>") : text.index("</h1>")]
    assert f"<b>{first.gain:.2f}</b>" in text
    assert f"<span>{first.interval[0]:.2f} to {first.interval[1]:.2f}</span>" in text
    assert f"{first.reached} of 5" in text
    assert "in 8 confirmed recipes" in text
    whiskers = {mark["number"]: mark for mark in data_of(text)["whiskers"]}
    assert set(whiskers) == {37, 28}
    assert whiskers[37]["low"] < whiskers[37]["at"] < whiskers[37]["high"]


def test_a_members_loss_over_seeds_stands_below_the_front() -> None:
    """One member has two replicates.

    A note gives mean, deviation and number of seeds, as its row is one line.
    """
    table = frame_of([record(0, 5.0, 2.0, knobs={"levels": 4})])
    again = Background(replicated={Recipe("dynamic_suffix", 1.0, {"levels": 4}): (2.1, 2.2)})
    shown = page(table, None, again)
    assert "Loss over seeds (mean ± standard deviation, its own seed included): #0 2.10 ±" in shown
    assert "over 3 seeds" in shown
    assert "over 3 seeds" not in page(table)


def test_whiskers_are_the_controls_seconds_over_the_gain() -> None:
    """An interval of the gain that ends at 1 ends at the control's line; an open end stays open."""
    known = background({37: 1.08})
    assert known.confirmed is not None
    bound = dataclasses.replace(
        known.confirmed.candidates[0], gain=1.25, bound="at least", interval=(1.0, None)
    )
    known = dataclasses.replace(
        known, confirmed=dataclasses.replace(known.confirmed, candidates=(bound,))
    )
    reading = summary(search_frame(), None, known)
    there = reading.line.seconds_at(float(reading.front.set_index("number")["val_loss"][37]))
    assert there is not None
    (mark,) = report_points.whiskers(reading)
    assert (mark["low"], mark["high"], mark["at"]) == (None, there, there / 1.25)
    assert "≥1.25" in page(search_frame(), None, known)


def test_a_confirmation_on_a_loud_machine_says_so() -> None:
    """The note goes by the spread of the control's seconds.

    Each schedule's own note stands with its number.
    """
    known = background({37: 1.08})
    assert known.confirmed is not None
    noted = dataclasses.replace(known.confirmed.candidates[0], note="it missed <a> seed")
    control = dataclasses.replace(known.confirmed.control, time_spread=0.2)
    found = dataclasses.replace(known.confirmed, candidates=(noted,), control=control)
    text = page(search_frame(), None, dataclasses.replace(known, confirmed=found))
    assert "measured seconds stray by 20 %" in text
    assert "#37: it missed &lt;a&gt; seed." in text
    assert "measured seconds stray" not in page(search_frame(), None, known)


def test_a_long_reason_is_behind_a_click() -> None:
    """Its beginning stands in the row; a short one is there as it is."""
    long = "out of memory " * 20
    table = frame_of(
        [
            record(0, 3.0, 2.0),
            record(1, 2.0, 2.5, state="failed", error=long),
            record(2, 2.0, 2.5, state="failed", error="it diverged"),
        ]
    )
    shown = page(table)
    assert f"</summary>{long}</details>" in shown
    assert ">it diverged</td>" in shown


def test_without_a_confirmation_the_page_says_how_to_have_one() -> None:
    """Beside the headline and below the calibration."""
    text = page(search_frame(), {"calibration": dataclasses.asdict(COSTS)})
    assert "on one seed, unconfirmed" in text
    assert "<code>python -m tuning.confirm DIR</code>" in text
    assert "Not checked yet: python -m tuning.confirm DIR" in text
    assert "fresh seeds</h2>" not in text
    assert (data_of(text)["whiskers"], data_of(text)["noise"]) == ([], None)


def test_noise_and_unfrozen_schedules_are_marked() -> None:
    """In the tables, in the notes below, and in what the picture is drawn from."""
    table = search_frame()
    table.loc[table["number"] == 37, "mean_active_fraction"] = 1.0
    text = page(table, None, background())
    assert data_of(text)["noise"] == NOISE.limit
    assert [t["number"] for t in data_of(text)["trials"] if t["unfrozen"]] == [37]
    assert any(t["near"] for t in data_of(text)["trials"])
    assert 'dynamic_suffix <i class="tag">never froze a block</i>' in text
    assert '<span class="noise">≈ ' in text
    assert "≈: within noise of the control" in text
    assert "beats" not in text[text.index("<h1>") : text.index("</h1>")]


@pytest.mark.parametrize(
    "table",
    [
        frame_of([]),
        frame_of([record(0, None, None, state="failed", error="out of memory")]),
        frame_of([record(0, 3.0, 2.0, target_loss=None)]),
        search_frame(strong=False),
    ],
)
def test_any_table_makes_a_page(table: pd.DataFrame) -> None:
    """Nothing recorded, nothing finished, no target, nothing won."""
    assert "</html>" in page(table)


def test_a_large_search_makes_a_small_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more trials than are drawn the front stays whole, and how many are left out is said."""
    monkeypatch.setattr(report_points, "MOST_OTHERS", 10)
    monkeypatch.setattr(report_points, "MOST_CURVES", 12)
    table = search_frame()
    reading, data = summary(table), data_of(page(table))
    assert data["hidden"] == len(reading.others) - 10
    drawn = {t["number"] for t in data["trials"]}
    assert set(data["front"]) <= drawn
    assert sum(bool(t["curve"]) for t in data["trials"]) == 12


def test_what_became_of_short_looks_is_on_the_page() -> None:
    """As points of the picture, and in a table of their own with the trial that went on."""
    knobs = {"threshold": 0.5}
    table = frame_of(
        [
            record(0, 10.0, 2.0, policy="full_update"),
            record(1, 2.0, 2.5, origin="rung", horizon=0.25, knobs=knobs),
            record(2, 2.1, 2.7, origin="rung", horizon=0.25, knobs={"threshold": 0.6}),
            record(3, 8.0, 1.9, knobs=knobs),
        ]
    )
    text = page(table, None, Background(asked=Asked(rung=0.25)))
    assert "Looked at for a short time <span>2, of which 1 went on</span>" in text
    assert "went on as #3" in text
    then = {trial["number"]: trial["then"] for trial in data_of(text)["trials"]}
    gone = {1: "went on as #3", 2: "given up at a quarter of its horizon"}
    assert then == {0: None, 3: None, **gone}
    assert "a short look at a recipe" in text
    assert "short" not in page(search_frame()).split("<script")[0]


def test_further_metrics_are_columns_of_the_trials() -> None:
    """By their names, a dash where a trial has none."""
    table = frame_of(
        [
            record(0, 10.0, 2.0, policy="full_update", metrics={"F1 <i>": 0.625}),
            record(1, 8.0, 1.9, metrics={}),
        ]
    )
    text = page(table)
    assert '<th class="figure" scope="col">F1 &lt;i&gt;</th>' in text
    assert '<td class="figure">0.6250</td>' in text
    found = {trial["number"]: trial["metrics"] for trial in data_of(text)["trials"]}
    assert found == {0: {"F1 <i>": 0.625}, 1: {"F1 <i>": None}}
