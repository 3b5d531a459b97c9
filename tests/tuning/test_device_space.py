"""What a device cannot do is left out of a space, with a line that says so; what leaves nothing is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.levers.capabilities import form_fault
from models.levers.form import Form
from search_spaces.narrow import narrow
from search_spaces.registry import find_space
from tests.support import tiny
from tests.support.searches import config_of
from tuning.conduct import fitted_to_device
from tuning.device_space import fit_space, needs_fitting
from tuning.errors import BadInput

SPACES = ("low_rank", "sparsity", "attention", "joint")


@given(st.sampled_from(SPACES), st.sets(st.integers(0, 40)))
def test_nothing_that_is_left_fails(name: str, failing: set[int]) -> None:
    """Property, over any set of forms a device may lack: unless it is refused, what is left has none of them."""
    space = find_space(name)
    seen: list[Form] = []

    def fault_of(form: Form) -> str | None:
        if form not in seen:
            seen.append(form)
        return "no" if seen.index(form) in failing else None

    fitted = fit_space(space, fault_of)
    if not fitted.faults:
        left, faults = narrow(space, {name: {"choices": list(values)} for name, values in fitted.choices.items()})
        assert faults == []
        assert fit_space(left, fault_of).remarks == ()
    assert bool(fitted.choices) <= bool(fitted.remarks)


def test_what_everything_can_do_leaves_the_space_as_it_is() -> None:
    """No fault, no change; and only spaces with levers are looked at."""
    assert all(fit_space(find_space(name), lambda form: None).choices == {} for name in SPACES)
    assert [name for name in (*SPACES, "dynamic_suffix", "schedule") if needs_fitting(find_space(name))] == list(SPACES)


def test_the_value_with_most_faults_goes_first() -> None:
    """By hand: a kernel that takes bfloat16 alone goes, not the number format that all others take."""
    fitted = fit_space(
        find_space("attention"),
        lambda form: "needs half precision" if (form.attention, form.dtype) == ("flash", "float32") else None,
    )
    assert fitted.choices == {"attention_backend": ("default", "math", "efficient", "cudnn", "flex")}
    assert fitted.remarks == ("attention_backend flash is left out of the space: needs half precision",)


def test_a_fixed_value_that_cannot_be_is_refused() -> None:
    """Nothing is left out behind the user's back: what was asked for by name is named with the reason."""
    space, faults = narrow(find_space("attention"), {"attention_backend": "cudnn"})
    assert faults == []
    fitted = fit_space(space, lambda form: "no such device" if form.attention == "cudnn" else None)
    assert len(fitted.faults) == 1
    assert "attention_backend=cudnn" in fitted.faults[0]
    assert "no such device" in fitted.faults[0]


def test_a_cpu_says_what_it_lacks() -> None:
    """Real steps of a model without attention on the CPU: 2:4 sparsity and forced kernels have a reason each."""
    cpu, workload = torch.device("cpu"), tiny.tiny()
    assert form_fault(workload, Form("svd", 0.5), cpu) is None
    assert "two_four" in str(form_fault(workload, Form("two_four", 0.5), cpu))
    assert "never calls scaled_dot_product_attention" in str(form_fault(workload, Form(attention="math"), cpu))
    assert "must match a linear layer" in str(form_fault(workload, Form("svd", 0.5, "attention"), cpu))


def test_a_search_begins_with_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a CPU 2:4 sparsity goes, with a line; asked for by name it is refused before anything is created."""
    config = config_of(tmp_path / "run", space="sparsity")
    fitted = fitted_to_device(config, tiny.tiny())
    assert fitted.search_space().knob("approximation").values() == ("hidden_units",)
    assert "approximation two_four is left out of the space" in capsys.readouterr().err
    with pytest.raises(BadInput, match="approximation=two_four"):
        fitted_to_device(dataclasses.replace(config, knobs={"approximation": "two_four"}), tiny.tiny())
    assert not (tmp_path / "run").exists()
