"""Where a value stands, from a model or an optimizer on, and how it is read and put back there."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections import deque
from collections.abc import MutableMapping
from typing import Any, Literal

import torch

from models.frames import in_library, is_ours
from models.source.users import is_users
from tuning.training.state.encoding import GeneratorState, set_generator

Kind = Literal[
    "module", "optimizer", "outside", "attribute", "key", "index", "buffer", "hook", "cell",
    "parameter", "forward",
]  # fmt: skip
Path = tuple[tuple[Kind, Any], ...]
HOOKS = (
    "_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks",
    "_optimizer_step_pre_hooks", "_optimizer_step_post_hooks",
)  # fmt: skip
"""Tables of a module, a tensor or an optimizer in which its hooks are."""


def told(path: Path) -> str:
    """A path as a reader would write it.

    >>> told((("module", "blocks.0"), ("attribute", "seen"), ("key", "a")))
    "blocks.0.seen['a']"
    """
    text = "optimizer" if path[0][0] == "optimizer" else path[0][1]
    for kind, key in path[1:]:
        text += f"[{key!r}]" if kind in ("key", "index", "parameter") else f".{key}"
    return text.lstrip(".")


def own_of(holder: Any) -> dict[str, Any]:
    """An object's attributes, in its ``__dict__`` and in its slots; of an object with attributes
    for each thread, this thread's.
    """
    if isinstance(holder, threading.local):
        return dict(vars(holder))
    found: dict[str, Any] = {}
    for kind in type(holder).__mro__:
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            with contextlib.suppress(AttributeError):
                found[name] = object.__getattribute__(holder, name)
    with contextlib.suppress(AttributeError):
        found.update(object.__getattribute__(holder, "__dict__"))
    return found


def hooks_of(holder: Any) -> list[str]:
    """The user's own hooks of a module, a tensor or an optimizer, each by its kind and its place
    among those.

    What keeps frozen blocks as they are is hooked to the optimizer, too, and is not the user's.
    """
    own = {kind: _hooks(holder, kind) for kind in HOOKS}
    return [f"{kind} {place}" for kind, hooks in own.items() for place in range(len(hooks))]


def _hooks(holder: Any, kind: str) -> list[Any]:
    # A tensor's table of hooks is no entry of its ``__dict__``, and None before its first hook.
    tensor = isinstance(holder, torch.Tensor)
    table = getattr(holder, kind, None) if tensor else own_of(holder).get(kind)
    return [each for each in (table or {}).values() if is_users(_code_of(each))]


def _code_of(hook: Any) -> Any:
    """The function or class that is called, whatever arguments it was given beforehand."""
    while isinstance(hook, functools.partial):
        hook = hook.func
    return hook if hasattr(hook, "__code__") else type(hook)


def own_forward(module: Any) -> Any:
    """The ``forward`` that the user has put in place of the class's, even where a lever has put
    another in its place for now; None where there is none.
    """
    found = vars(module).get("forward")
    while (within := getattr(found, "within", None)) is not None:
        found = within
    return found if is_written_by_users(found) else None


def is_written_by_users(function: Any) -> bool:
    """Whether the function's code is a user's. A function that a library wraps has the name and
    module of what it wraps, so only its code tells.
    """
    code = getattr(_code_of(function), "__code__", None)
    return code is not None and not (is_ours(code.co_filename) or in_library(code.co_filename))


def get(holder: Any, step: tuple[Kind, Any]) -> Any:
    """The value that is one step further on a path, or None."""
    kind, key = step
    if kind in ("key", "index"):
        try:
            return holder[key]
        except (LookupError, TypeError):
            return None
    if kind == "cell":
        cell = _cell(holder, key)
        with contextlib.suppress(ValueError):  # not filled yet
            return None if cell is None else cell.cell_contents
        return None
    if kind == "hook":
        which, place = key.split()
        return dict(enumerate(_hooks(holder, which))).get(int(place))
    if kind == "forward":
        return own_forward(holder)
    return holder._buffers.get(key) if kind == "buffer" else getattr(holder, key, None)


def _cell(function: Any, name: str) -> Any:
    """The cell of a variable that a function closes over, or None."""
    names = function.__code__.co_freevars if hasattr(function, "__code__") else ()
    return function.__closure__[names.index(name)] if name in names else None


def put(holder: Any, step: tuple[Kind, Any], value: Any) -> None:
    """Give the holder a value; the old one is changed in place where possible, because others may
    hold it as well.
    """
    kind, key = step
    current = get(holder, step)
    if put_into(current, value) or isinstance(value, GeneratorState):
        return
    if isinstance(value, torch.Tensor) and isinstance(current, torch.Tensor):
        value = value.to(current.device)
    if kind == "buffer":
        holder._buffers[key] = value
    elif kind == "cell":
        if (cell := _cell(holder, key)) is not None:
            cell.cell_contents = value
    elif kind == "attribute" and hasattr(holder, "__dict__") and not _is_slot(holder, key):
        vars(holder)[key] = value
    elif kind == "attribute":
        object.__setattr__(holder, key, value)
    elif isinstance(holder, MutableMapping) or (isinstance(holder, list) and key < len(holder)):
        holder[key] = value


def _is_slot(holder: Any, key: str) -> bool:
    return any(key in vars(kind).get("__slots__", ()) for kind in type(holder).__mro__)


def put_into(current: Any, value: Any) -> bool:
    """Put ``value`` into ``current`` in place; returns whether that could be done."""
    if isinstance(value, GeneratorState):
        if type(current).__name__ == value.name:
            set_generator(current, value.state)
    elif isinstance(value, torch.Tensor) and _same_form(current, value):
        with torch.no_grad():
            current.data.copy_(value)
    elif any(isinstance(current, kind) and isinstance(value, kind) for kind in (dict, set)):
        current.clear()
        current.update(value)
    elif any(isinstance(current, kind) and isinstance(value, kind) for kind in (list, deque)):
        current.clear()
        current.extend(value)
    else:
        return False
    return True


def _same_form(current: Any, value: torch.Tensor) -> bool:
    return (
        isinstance(current, torch.Tensor)
        and current.is_leaf
        and (current.shape, current.dtype) == (value.shape, value.dtype)
    )
