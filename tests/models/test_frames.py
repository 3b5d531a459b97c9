"""An error ends in the user's line, or in what of theirs was being called."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from models.batches import Batch
from models.frames import told, where_in_short
from models.making import blocks_of, new_model, new_optimizer
from models.measuring import loss_of, metric_of
from models.workload import Workload
from tests.support import tiny


def caught(call: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - which one is not the question
        call()
    assert isinstance(raised.value, Exception)
    return raised.value


def alone(error: Exception) -> Exception:
    """Without the test's own lines, from which a command would not have begun."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return error.with_traceback(trace)


def too_few() -> torch.Tensor:
    """Takes nothing, where something is given."""
    return torch.zeros(())


class Called:
    def __call__(self) -> float:
        return 0.0


def with_part(**parts: Any) -> Workload:
    return dataclasses.replace(tiny.tiny(), **parts)


def loss_of_the_first_batch(workload: Workload) -> None:
    loss_of(workload, workload.make_model(0), workload.batch_at(0, 0))


CASES: dict[str, Callable[[], Any]] = {
    "loss": lambda: loss_of_the_first_batch(with_part(loss=too_few)),
    "evaluate": lambda: metric_of(with_part(evaluate=functools.partial(too_few)), nn.Linear(1, 1)),
    "make_model": lambda: new_model(with_part(make_model=too_few), 0),
    "blocks": lambda: blocks_of(with_part(blocks=too_few), nn.Linear(1, 1)),
    "make_optimizer": lambda: new_optimizer(
        with_part(make_optimizer=Called()), tiny.tiny().make_model(0)
    ),
}


@pytest.mark.parametrize("part", CASES)
def test_a_function_of_the_wrong_shape_is_named_where_it_is_written(part: str) -> None:
    """No frame of it is on the stack: it is told what was called, and never a file of ours."""
    error = alone(caught(CASES[part]))
    for words in (told(error), where_in_short(error)):
        assert f"calling {part}(), written at test_frames.py:" in words
        assert "measuring.py" not in words
        assert "making.py" not in words


def test_an_error_in_a_library_names_the_part_that_led_there() -> None:
    """A loss of torch's, given as it is: nobody's own line is on the stack."""
    own = with_part(loss=nn.functional.mse_loss)
    error = alone(caught(lambda: loss_of(own, nn.Linear(1, 1), torch.zeros(1))))
    assert where_in_short(error) == "calling loss()"
    assert "(calling loss(); at module.py:" in told(error)


def test_the_users_own_lines_come_first_the_innermost_first() -> None:
    """Up to three of them, with their text where there is room."""

    def inner(model: nn.Module, batch: Batch) -> torch.Tensor:
        raise KeyError("width")

    def outer(model: nn.Module, batch: Batch) -> torch.Tensor:
        return inner(model, batch)

    error = caught(lambda: loss_of_the_first_batch(with_part(loss=outer)))
    short = where_in_short(error)
    first, second, *_ = short.split(" <- ")
    assert (first.split(" in ")[1], second.split(" in ")[1]) == ("inner", "outer")
    assert 'in inner: raise KeyError("width") <- test_frames.py:' in told(error)


def test_a_message_of_this_project_has_no_place() -> None:
    """It says itself what to do."""
    error = caught(lambda: loss_of_the_first_batch(with_part(loss=lambda model, batch: 3)))
    assert "loss(model, batch) must return a scalar tensor" in told(error)
    assert told(error) == str(error)


def test_code_that_was_typed_in_is_the_users() -> None:
    """In a notebook no file holds it."""
    names: dict[str, Any] = {}
    exec(
        compile("def broken(model, batch):\n    raise KeyError(1)", "<ipython-input-3>", "exec"),
        names,
    )
    error = caught(lambda: loss_of_the_first_batch(with_part(loss=names["broken"])))
    assert "<ipython-input-3>:2 in broken" in where_in_short(error)


def test_a_line_that_a_call_begins_on_is_closed() -> None:
    """Of a call over several lines the first is told; open, it would take the message's bracket."""

    def call() -> None:
        raise RuntimeError(
            "no"
        )  # fmt: skip

    assert "in call: raise RuntimeError(…) <- " in told(caught(call))
