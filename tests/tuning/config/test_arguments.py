"""The command line: flags, the file behind them, resuming, and every fault in one message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tuning import pareto
from tuning.config.arguments import FLAGS, NewSearch, Request, parse
from tuning.config.config import SearchConfig
from tuning.config.resources import Machine
from tuning.config.resume import Resume, resumed
from tuning.errors import BadInput
from tuning.search import main
from tuning.session.search import all_faults, resume_faults

CPU = Machine(cpus=4)


def any_workload(name: str, corpus: Path | None) -> object:
    """Stands for a registry in which every name is a workload."""
    return object()


def ask(*argv: str) -> Request:
    """The request, judged as whoever carries it out does."""
    request = parse(argv)
    faults = list(getattr(request, "faults", ()))
    if isinstance(request, NewSearch):
        faults += all_faults(request.config, CPU, any_workload)
    if isinstance(request, Resume):
        faults += resume_faults(request)
    if faults:
        raise BadInput(faults)
    return request


def config_of(*argv: str) -> SearchConfig:
    request = ask(*argv)
    assert isinstance(request, NewSearch)
    return request.config


def faults_of(*argv: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        ask(*argv)
    return caught.value.faults


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_flag_is_the_defaults(here: Path) -> None:
    """Compares with the configuration's own, but for the directory, and looks for anything
    created.
    """
    config = config_of()
    assert config == SearchConfig(config.run)
    assert config.run.endswith("-byte_lm-recipe")
    assert list(here.iterdir()) == []


def test_every_flag_reaches_its_option() -> None:
    """Gives each flag once and compares the whole configuration."""
    argv = (
        "--run out --workload w --space schedule --trials 5 --seed 7 --target 1.25 --sampler "
        "random --concurrency 2 "
        "--gpus-per-trial 0 --cpus-per-trial 0.5 --time-budget 60 --driver serial --address auto "
        "--no-forks "
        "--corpus text --objective time-to-quality --replicates 0.25 --stop-confidence 0.8"
    )
    assert config_of(*argv.split()) == SearchConfig(
        "out",
        "w",
        "schedule",
        5,
        7,
        1.25,
        "random",
        replicates=0.25,
        stop_confidence=0.8,
        concurrency=2,
        gpus_per_trial=0.0,
        cpus_per_trial=0.5,
        time_budget=60.0,
        driver="serial",
        address="auto",
        forks=False,
        corpus="text",
        objective="time-to-quality",
    )


def test_flags_win_over_the_file(here: Path) -> None:
    """The file sets three options and a knob; one flag says otherwise."""
    (here / "f.toml").write_text(
        'trials = 5\nsampler = "tpe"\nno_forks = true\nrun = "out"\n[knobs]\nema_beta = 0.9\n'
    )
    config = config_of("--config", "f.toml", "--trials", "6")
    assert (config.trials, config.sampler, config.forks, config.run) == (6, "tpe", False, "out")
    assert config.knobs == {"ema_beta": 0.9}


def test_stopping_is_set_or_turned_off_once_and_a_flag_wins(here: Path) -> None:
    """By flag and by file, each over the other; both of them in one place contradict each other."""
    (here / "off.toml").write_text("no_stopping = true\n")
    (here / "on.toml").write_text("no_stopping = false\nstop_confidence = 0.8\n")
    assert config_of("--no-stopping").stop_confidence is None
    assert config_of("--config", "off.toml").stop_confidence is None
    assert config_of("--config", "on.toml").stop_confidence == 0.8
    assert config_of("--config", "off.toml", "--stop-confidence", "0.9").stop_confidence == 0.9
    assert config_of("--config", "on.toml", "--no-stopping").stop_confidence is None
    assert faults_of("--no-stopping", "--stop-confidence", "0.9") == [
        "one of --stop-confidence and --no-stopping must be given, but got both"
    ]


@pytest.mark.parametrize("value", ["0", "1", "-0.5", "95", "nan", "high"])
def test_a_confidence_is_a_probability(here: Path, value: str) -> None:
    """Neither certainty, nor a percentage, nor a word."""
    (found,) = faults_of("--stop-confidence", value)
    assert found.startswith("a number 0 < stop-confidence < 1 must hold, but got")


def test_all_faults_come_in_one_message(here: Path) -> None:
    """Bad numbers, names, flags, a missing value, a file's keys and knobs together."""
    (here / "f.toml").write_text("trails = 3\n[knobs]\nema_bta = 0.9\nlevels = 2.5\n")
    found = faults_of(
        "--trials", "many", "--seed", "-3", "--space", "schedul", "--sampler", "x",
        "--cpus-per-trial", "nan",
        "--trails", "4", "--time-budget", "--config", "f.toml",
    )  # fmt: skip
    text = "\n".join(found)
    for part in (
        "trials >= 1 must hold, but got 'many'",
        "seed < 2**62 must hold, but got -3",
        "did you mean 'schedule'",
        "sampler must be one of",
        "cpus-per-trial > 0 must hold, but got nan",
        "no such flag: '--trails': did you mean --trials?",
        "--time-budget must be followed by a value, but got none",
        "'trails' must be a flag (underscores for dashes) or [knobs], but is neither: did you mean "
        "'trials'?",
    ):
        assert part in text
    assert sorted(here.iterdir()) == [here / "f.toml"]


def test_faults_of_knobs_come_with_the_rest(here: Path) -> None:
    """Two bad knobs and a bad number."""
    (here / "f.toml").write_text("trials = 0\n[knobs]\nema_bta = 0.9\nlevels = 2.5\n")
    assert len(faults_of("--config", "f.toml")) == 3


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "must be a readable TOML file"),
        (b"trials = ", "must be a readable TOML file"),
        (b"\xff\xfe", "in another encoding: save it as UTF-8"),
        (b"no_forks = 1", "no_forks must be true or false, but got 1"),
        (b"no_stopping = 'no'", "no_stopping must be true or false, but got 'no'"),
        (b"run = 3", "run must be text, but got 3"),
        (b"clock = 3", "clock must be text, but got 3"),
        (b"space = 3", "space must be a name, but got 3"),
        (b"knobs = 3", "knobs must be a table, but got 3"),
        (b"resume = 'x'", "'resume' must be a flag"),
        (b"sampler = 3", "sampler must be one of"),
    ],
)
def test_a_bad_file_is_named(here: Path, content: bytes | None, part: str) -> None:
    """Missing, not TOML, not text, and wrong types."""
    if content is not None:
        (here / "f.toml").write_bytes(content)
    assert any(part in fault for fault in faults_of("--config", "f.toml"))


@pytest.mark.parametrize(
    "argv", [["extra"], ["--no-forks=1"], ["--tria", "3"], ["--trials", "--seed", "1"]]
)
def test_what_is_no_flag_is_a_fault(argv: list[str]) -> None:
    """A stray word, a value for a switch, an abbreviation and a missing value do not end the
    program.
    """
    assert faults_of(*argv)


@pytest.mark.parametrize("text", ["-1.5", "-3e-05", "-1e+200", "-.5E3", "-2."])
def test_a_negative_number_is_a_value(text: str) -> None:
    """A target below zero is a loss like any other, for every command."""
    assert config_of("--target", text).target == float(text)
    assert config_of(f"--target={text}").target == float(text)
    assert pareto.parser().parse_args(["run", "--target", text]).target == text


def a_run(here: Path) -> Path:
    (here / "run").mkdir()
    (here / "run" / "run.json").write_text("{}")
    return Path("run")


def test_resuming_tells_changes_from_what_must_agree(here: Path) -> None:
    """Options that may change, and those that are to be compared with the run's."""
    request = ask(
        "--resume",
        str(a_run(here)),
        "--trials",
        "64",
        "--driver",
        "serial",
        "--seed",
        "1",
        "--no-forks",
    )
    assert request == Resume(
        Path("run"), {"trials": 64, "driver": "serial"}, {"seed": 1, "forks": False}
    )


def test_the_file_that_names_the_run_goes_on_with_it(here: Path) -> None:
    """The --config with which a search was started holds its directory.

    Written in another way it is the same.
    """
    run = a_run(here)
    (here / "f.toml").write_text(f'run = "{run}"\ntrials = 8\n')
    assert ask("--resume", str(run), "--config", "f.toml") == Resume(run, {"trials": 8})
    assert ask("--resume", str(run), "--run", str(here / "run" / ".." / "run")) == Resume(run)


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["--resume", "nowhere"], "nowhere is not a directory"),
        (["--resume", "."], ". holds no run.json"),
        (["--resume", "run", "--run", "other"], "one of --run and --resume must be given"),
        (["--resume", "run", "--trials", "0"], "trials >= 1 must hold"),
        (["--resume", "run", "--concurrency", "x"], "concurrency >= 1 must hold, but got 'x'"),
    ],
)
def test_a_bad_resume_is_named(here: Path, argv: list[str], part: str) -> None:
    """No run there, two runs, and numbers out of range."""
    a_run(here)
    assert any(part in fault for fault in faults_of(*argv))


def test_a_resumed_configuration_is_the_old_one_with_its_changes() -> None:
    """A larger search on fewer cores; options that agree change nothing."""
    old = SearchConfig("run", trials=8)
    new = resumed(old, Resume(Path("run"), {"trials": 16, "concurrency": 1}, {"seed": 0}), CPU)
    assert new == SearchConfig("run", trials=16, concurrency=1)


def test_a_resume_that_differs_is_refused_with_every_difference() -> None:
    """Another space, another seed, and more cores than there are."""
    changes: dict[str, Any] = {"cpus_per_trial": 99.0}
    with pytest.raises(BadInput) as caught:
        resumed(
            SearchConfig("run"), Resume(Path("run"), changes, {"space": "schedule", "seed": 3}), CPU
        )
    assert len(caught.value.faults) == 3


def test_help_names_every_flag_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Reads the help; it ends with status 0."""
    with pytest.raises(SystemExit) as ended:
        ask("--help")
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(flag.option in text for flag in FLAGS)
    assert all("(default: " in flag.help for flag in FLAGS)


def test_help_space_prints_the_knobs_as_narrowed(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, ranges, a fixed value and conditions, after which nothing is left to do."""
    (here / "f.toml").write_text("[knobs]\nhorizon = 0.75\n")
    assert main(["--help-space", "--space", "schedule", "--config", "f.toml"]) == 0
    text = capsys.readouterr().out
    for part in ("schedule", "0.75", "(fixed)", "log", "horizon", "meaning"):
        assert part in text


def test_help_space_of_a_bad_space_is_a_fault() -> None:
    """An unknown space."""
    assert "did you mean 'schedule'" in faults_of("--help-space", "--space", "schedul")[0]


def test_help_loads_nothing_heavy() -> None:
    """Lists what a new interpreter has loaded after the parser was built."""
    code = (
        "import sys, tuning.config.arguments as a; a.build_parser().format_help(); "
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert not loaded & {"torch", "ray", "optuna", "pyarrow", "pandas", "numpy", "rich"}


def test_a_file_may_begin_with_a_byte_order_mark(here: Path) -> None:
    """As some editors write UTF-8."""
    (here / "f.toml").write_bytes(b"\xef\xbb\xbftrials = 7\n")
    assert config_of("--config", "f.toml").trials == 7
