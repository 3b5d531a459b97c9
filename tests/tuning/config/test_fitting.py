"""What a device cannot do is left out of a space, with a line that says so.

A space of which nothing is left is refused.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from models.application.batches import Stream
from models.application.capabilities import form_fault
from models.levers.form import Form
from models.workload import Workload
from search_spaces.knobs import Choice
from search_spaces.narrow import narrow
from search_spaces.registry import find_space
from tests.support import tiny
from tests.support.frames import record
from tests.support.runs import write_run
from tests.support.searches import TINY, config_of, search
from tuning.config.config import SearchConfig
from tuning.config.faults import config_faults
from tuning.config.fitting import fit_gates, fit_space, needs_fitting
from tuning.config.limits import fit_batches
from tuning.config.own import with_own
from tuning.errors import BadInput
from tuning.search import main
from tuning.session import conduct
from tuning.session.search import fitted_to_device
from tuning.store.store import Store

SPACES = ("low_rank", "sparsity", "attention", "joint")
ASKED = """[knobs]
horizon = { low = 0.5 }
approximation_share = { choices = [0.5, 0.25] }
"""


def lacking(failing: Collection[int]) -> Callable[[Form], str | None]:
    """What a device says of a form that lacks those that it is asked for at these places in
    turn.
    """
    seen: list[Form] = []

    def fault_of(form: Form) -> str | None:
        if form not in seen:
            seen.append(form)
        return "no" if seen.index(form) in failing else None

    return fault_of


@contextmanager
def device_lacking(failing: Collection[int]) -> Iterator[None]:
    """A search's own device is such a one."""
    fault_of = lacking(failing)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "models.application.capabilities.form_fault",
            lambda workload, form, device: fault_of(form),
        )
        yield


@settings(max_examples=10)
@given(st.sampled_from(SPACES), st.sets(st.integers(0, 40)))
@example("sparsity", {0, 1, 3})  # refused after values of the group have gone
def test_nothing_that_is_left_fails(name: str, failing: set[int]) -> None:
    """Property: unless a space is refused, what is left of it has no form that the device lacks,
    and what is left out is said.
    """
    space, fault_of = find_space(name), lacking(failing)
    fitted = fit_space(space, fault_of)
    if not fitted.faults:
        left, faults = narrow(
            space, {name: {"choices": list(values)} for name, values in fitted.choices.items()}
        )
        assert faults == []
        assert fit_space(left, fault_of).remarks == ()
        assert bool(fitted.choices) <= bool(fitted.remarks)


def test_what_everything_can_do_leaves_the_space_as_it_is() -> None:
    """No fault, no change; and only spaces with levers are looked at."""
    assert all(fit_space(find_space(name), lambda form: None).choices == {} for name in SPACES)
    assert [
        name for name in (*SPACES, "dynamic_suffix", "schedule") if needs_fitting(find_space(name))
    ] == list(SPACES)


def test_the_value_with_most_faults_goes_first() -> None:
    """By hand: a kernel that takes bfloat16 alone goes, not the number format that all others
    take.
    """
    fitted = fit_space(
        find_space("attention"),
        lambda form: (
            "needs half precision" if (form.attention, form.dtype) == ("flash", "float32") else None
        ),
    )
    assert fitted.choices == {
        "attention_backend": ("default", "math", "efficient", "cudnn", "flex")
    }
    assert fitted.remarks == (
        "attention_backend flash is left out of the space: needs half precision",
    )


def test_values_left_out_for_one_reason_share_a_line() -> None:
    """Kinds of matrices, of which a third is left."""
    fitted = fit_space(
        find_space("low_rank"),
        lambda form: "no such" if form.approximation in {"svd", "data_aware"} else None,
    )
    (line,) = fitted.remarks
    assert line == "approximation svd, approximation data_aware are left out of the space: no such"


def test_of_a_space_with_gates_nothing_is_left_that_fails() -> None:
    """Values are tried one by one, the others at the first that is left: where that one goes, those
    beside which it was tried are tried again.
    """
    fitted = fit_space(
        find_space("recipe"),
        lambda form: "no linear layer" if form.approximation != "none" else None,
    )
    assert fitted.choices == {"approximation": ("none",)}
    (line,) = fitted.remarks
    kinds = ("svd", "data_aware", "monarch", "hidden_units")
    assert line == (
        ", ".join(f"approximation {kind}" for kind in kinds)
        + " are left out of the space: no linear layer"
    )


def test_of_what_cannot_be_had_at_all_the_fault_alone_is_told() -> None:
    """Fixes a kind of matrix that no model has; what shares it would be left out beside it."""
    space, faults = narrow(find_space("recipe"), {"approximation": "svd"})
    assert faults == []
    fitted = fit_space(space, lambda form: "no" if form.approximation != "none" else None)
    assert fitted.remarks == ()
    (fault,) = fitted.faults
    assert "approximation=svd" in fault


def test_a_form_is_tried_once() -> None:
    """Trying one may take long: it builds a model and trains a step."""
    asked: list[Form] = []

    def fault_of(form: Form) -> str | None:
        asked.append(form)
        return "no" if form.approximation in {"svd", "monarch"} else None

    fit_space(find_space("recipe"), fault_of)
    assert len(asked) == len(set(asked))


def test_a_fixed_value_that_cannot_be_is_refused() -> None:
    """Nothing is left out behind the user's back.

    What was asked for by name is named with the reason.
    """
    space, faults = narrow(find_space("attention"), {"attention_backend": "cudnn"})
    assert faults == []
    fitted = fit_space(space, lambda form: "no such device" if form.attention == "cudnn" else None)
    assert len(fitted.faults) == 1
    assert "attention_backend=cudnn" in fitted.faults[0]
    assert "no such device" in fitted.faults[0]


def test_a_cpu_says_what_it_lacks() -> None:
    """Real steps are tried of a model without attention on the CPU.

    2:4 sparsity and forced kernels have a reason each.
    """
    cpu, workload = torch.device("cpu"), tiny.tiny()
    assert form_fault(workload, Form("svd", 0.5), cpu) is None
    assert "two_four" in str(form_fault(workload, Form("two_four", 0.5), cpu))
    assert "never calls scaled_dot_product_attention" in str(
        form_fault(workload, Form(attention="math"), cpu)
    )
    assert "must match a linear layer" in str(
        form_fault(workload, Form("svd", 0.5, "attention"), cpu)
    )


def plain_sgd() -> Workload:
    """A workload whose optimizer has one beta's place, and that at zero."""
    return dataclasses.replace(
        tiny.tiny(), make_optimizer=lambda model: torch.optim.SGD(model.parameters(), lr=0.1)
    )


def test_numbers_that_an_optimizer_lacks_are_left_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SGD has no second moment, and without momentum no memory to shorten: two lines.

    Asked for by name they are refused; what the optimizer has stays searched.
    """
    config = config_of(tmp_path / "run", space="tune")
    space = fitted_to_device(config, plain_sgd()).search_space()
    left_out = {k.name for k in config.search_space().searched} - {k.name for k in space.searched}
    assert left_out == {"beta1_memory", "beta2_memory"}
    assert space.knob("beta2_memory").values() == (1.0,)
    said = capsys.readouterr().err
    assert "beta2_memory is left out of the space: the workload's own optimizer must have" in said
    with pytest.raises(BadInput, match="beta2_memory=2"):
        fitted_to_device(dataclasses.replace(config, knobs={"beta2_memory": 2.0}), plain_sgd())
    assert fitted_to_device(config, tiny.tiny()) == config


def test_muon_needs_matrices() -> None:
    """Real steps: a model of dense layers takes it, sparse gradients do not."""
    cpu, form = torch.device("cpu"), Form(optimizer="muon", newton_schulz_steps=5)
    assert form_fault(tiny.tiny(), form, cpu) is None

    class Sparse(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Embedding(4, 4, sparse=True)
            self.blocks = torch.nn.ModuleList([torch.nn.Linear(4, 4)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Return (n, 4) for n tokens."""
            out: torch.Tensor = self.blocks[0](self.stem(x))
            return out

    sparse = dataclasses.replace(
        tiny.tiny(),
        make_model=lambda seed: Sparse(),
        batch_at=lambda seed, step: torch.arange(4),
        loss=lambda model, batch: model(batch).square().mean(),
    )
    assert "gradients must be dense" in str(form_fault(sparse, form, cpu))


def test_a_search_begins_with_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a CPU 2:4 sparsity is left out, with a line.

    Asked for by name it is refused before anything is created.
    """
    config = config_of(tmp_path / "run", space="sparsity")
    fitted = fitted_to_device(config, tiny.tiny())
    assert fitted.search_space().knob("approximation").values() == ("hidden_units",)
    assert "approximation two_four is left out of the space" in capsys.readouterr().err
    with pytest.raises(BadInput, match="approximation=two_four"):
        fitted_to_device(
            dataclasses.replace(config, knobs={"approximation": "two_four"}), tiny.tiny()
        )
    assert not (tmp_path / "run").exists()


@given(
    st.sampled_from(("low_rank", "sparsity", "attention")),
    st.sets(st.integers(0, 40)),
    st.floats(0.3, 1.0),
    st.booleans(),
)
def test_what_was_asked_for_and_what_is_left_stay_apart(
    name: str, failing: set[int], horizon: float, reverse: bool
) -> None:
    """Property: whatever forms a device lacks, the knobs stay the user's.

    What is left of the space is kept in run.json.
    """
    choices = [k for k in find_space(name).knobs if isinstance(k, Choice)]
    knobs = {"horizon": horizon} | {
        k.name: {"choices": list(k.choices)[:: -1 if reverse else 1]} for k in choices
    }
    config = SearchConfig("r", space=name, knobs=knobs)
    with device_lacking(failing):
        try:
            fitted = fitted_to_device(config, tiny.tiny())
        except BadInput:
            assume(False)
    assert fitted.knobs == knobs
    assert dataclasses.replace(fitted, device_choices={}) == config
    asked, searched = config.search_space(), fitted.search_space()
    for k in asked.knobs:
        left = tuple(fitted.device_choices.get(k.name, k.values()))
        assert searched.knob(k.name).values() == left
        assert set(left) <= set(k.values())
    stored = SearchConfig.from_json(json.loads(json.dumps(fitted.to_json())))
    assert stored == fitted
    assert stored.search_space().fingerprint() == searched.fingerprint()


def test_a_search_goes_on_in_the_space_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run resumes with its file given again and without, on a device that can do nothing of it.

    Another file is refused.
    """
    monkeypatch.setattr(conduct, "write_report", lambda store: None)  # nobody looks at it
    run, file = tmp_path / "run", tmp_path / "f.toml"
    file.write_text(f'space = "sparsity"\nworkload = "{TINY}"\n{ASKED}')
    knobs = tomllib.loads(ASKED)["knobs"]
    config = config_of(run, space="sparsity", knobs=knobs, trials=3, target=1.0)
    search(fitted_to_device(config, tiny.tiny()))
    with device_lacking(range(40)):
        assert main(["--resume", str(run), "--config", str(file), "--trials", "4"]) == 0
        assert main(["--resume", str(run), "--trials", "5"]) == 0
        file.write_text(file.read_text().replace("0.25", "0.75"))
        capsys.readouterr()
        assert main(["--resume", str(run), "--config", str(file), "--trials", "6"]) == 2
    assert "must keep its knobs" in capsys.readouterr().err
    info = Store.open(run).info
    assert len(Store.open(run).numbers()) == 5
    assert info.config["knobs"] == knobs
    assert info.config["device_choices"] == {"approximation": ["hidden_units"]}
    searched, _ = narrow(
        find_space("sparsity"), {**knobs, "approximation": {"choices": ["hidden_units"]}}
    )
    assert info.space_fingerprint == searched.fingerprint() != config.search_space().fingerprint()


def test_a_warm_start_of_no_use_on_this_device_is_refused(tmp_path: Path) -> None:
    """All that the other run tried beside the control is what the CPU cannot do.

    It is named before anything is created.
    """
    full_update = {"policy": "full_update", "horizon": 0.5}
    knobs = {
        "approximation": "two_four",
        "approximation_start": 0.1,
        "recovery_steps": 0,
        "dense_from": 0.9,
    }
    trials = [
        record(0, 9.0, 2.0, policy="full_update", origin="baseline"),
        record(1, 4.5, 2.5, **full_update, origin="control"),
        record(2, 4.0, 2.5, **full_update, knobs=knobs),
    ]
    other = write_run(tmp_path / "other", trials)
    config = config_of(tmp_path / "run", space="sparsity", warm_start=str(other))
    assert config_faults(config) == []
    with pytest.raises(BadInput, match="points of space sparsity"):
        fitted_to_device(config, tiny.tiny())


def test_factors_that_leave_no_whole_example_are_left_out() -> None:
    """Of two examples a quarter is none, a half is one; of five both leave some."""
    space = find_space("batch")
    fitted = fit_batches(space, 2)
    assert fitted.choices == {"batch_start": (0.5, 2.0)}
    assert fitted.remarks == (
        "batch_start 0.25 is left out of the space: of batches of 2 a step needs a factor of at "
        "least 0.5",
    )
    assert fit_batches(space, 5) == fit_batches(space, 4)
    assert not fit_batches(space, 4).choices


@given(st.integers(1, 64), st.integers(1, 64) | st.floats(0.1, 64.0))
def test_a_factor_is_left_out_where_the_stream_would_refuse_it(size: int, wanted: float) -> None:
    """Property: a third of three, whose float is less than a third, is in both or in none."""
    space = dataclasses.replace(
        find_space("batch"), knobs=(Choice("batch_start", (wanted / size, 64.0)),)
    )
    try:
        Stream(lambda step: torch.zeros(size)).take(Fraction(0), wanted / size)
    except ValueError:
        assert fit_batches(space, size).choices
    else:
        assert not fit_batches(space, size).choices


def test_a_factor_that_was_asked_for_and_leaves_none_is_a_fault() -> None:
    """Before anything is created, with what it would take."""
    space = narrow(find_space("batch"), {"batch_start": 0.25})[0]
    [fault] = fit_batches(space, 2).faults
    assert fault == (
        "batch_start leaves no whole example: of batches of 2 a step needs a factor of at least "
        "0.5, but got 0.25"
    )


def test_what_is_asked_for_by_name_and_cannot_be_is_one_message() -> None:
    """A gate that is held open; and a space of that lever alone, of which nothing is left."""
    lacking = {"input": lambda: "no shrink"}
    asked = fit_gates(narrow(find_space("recipe"), {"use_input": True})[0], lacking)
    assert asked.faults == (
        "use_input = true asks for a lever that this workload cannot have: no shrink",
    )
    alone = fit_gates(find_space("input_size"), lacking)
    assert alone.faults == ("space input_size has nothing to search of this workload: no shrink",)
    assert not alone.remarks
    among = fit_gates(find_space("recipe"), lacking)
    assert (among.faults, among.remarks) == ((), ("input is left out of the space: no shrink",))


def test_own_knobs_do_not_stand_in_for_the_lever_that_was_asked_for() -> None:
    """A space of one lever that the workload cannot have is refused, with knobs of the workload's
    own as without.
    """
    own = Choice("width", (32, 64), meaning="width of a block")
    space = with_own(find_space("input_size"), [own], {"width": 64})
    fitted = fit_gates(space, {"input": lambda: "no shrink"})
    assert fitted.faults == ("space input_size has nothing to search of this workload: no shrink",)
    fixed = narrow(space, {"use_own": True})[0]
    assert fit_gates(fixed, {"input": lambda: "no shrink"}).faults == fitted.faults
