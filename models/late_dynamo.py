"""torch's compiler, loaded by whoever compiles and not by the first optimizer.

Every optimizer of torch imports ``torch._dynamo`` when it is made and when it steps, to tell the
compiler what it must not trace. That takes two thirds of the time of ``import torch``, in every
process, and is of no use where nothing is compiled. Here the package stands in ``sys.modules``
under its own name and spec, takes those notes, and is run once anything else is asked of it, by
attribute or by import of a module of it. It is run in place, and the notes are taken back first:
torch gives them to the compiler itself then, before that traces anything.

For processes of our own alone: one of the user's imports what it likes.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = "torch._dynamo"
_NOTE = "__dynamo_disable"
"""Where torch keeps, on a function, the form of it that the compiler leaves alone."""


def compile_late() -> None:
    """Load torch, and its compiler only when it is asked for; nothing where that is loaded."""
    import torch

    if PACKAGE in sys.modules or (spec := importlib.util.find_spec(PACKAGE)) is None:
        return
    package = _Late(PACKAGE)
    vars(package).update(vars(importlib.util.module_from_spec(spec)))
    later = _Later(package)
    vars(package).update(_later=later, disable=later.disable, graph_break=_graph_break)
    sys.modules[PACKAGE] = package
    setattr(torch, PACKAGE.rpartition(".")[2], package)
    sys.meta_path.insert(0, later)


def is_late() -> bool:
    """Whether the compiler is still to be loaded."""
    return isinstance(sys.modules.get(PACKAGE), _Late)


def uncompiled() -> AbstractContextManager[object]:
    """Run within the block what is compiled as it is written; nothing is where no compiler is."""
    if is_late() or PACKAGE not in sys.modules:
        return nullcontext()
    import torch

    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _graph_break(msg: str = "") -> None:
    """Do nothing, as ``graph_break`` does where nothing is traced."""


class _Late(ModuleType):
    """The package before it is run."""

    _later: _Later

    def __getattr__(self, name: str) -> Any:
        """Run the package.

        Names like ``__file__`` do not: whoever looks over all modules asks for them.
        """
        if not name.startswith("__") or name == "__all__":
            self._later.run()
        return self.__getattribute__(name)


class _Later(MetaPathFinder):
    """Runs the package once, whether an attribute of it is asked for or one of its modules."""

    def __init__(self, package: ModuleType) -> None:
        self._package, self._begun = package, False
        self._lock = threading.RLock()
        self._noted: list[Callable[..., Any]] = []

    def disable(self, fn: Any = None, recursive: bool = True, **how: Any) -> Any:
        """Note ``fn`` for later where torch's optimizers ask.

        Any other call loads the compiler and gets its answer, since the caller may keep it.
        """
        if how != {"wrapping": False}:
            self.run()
            return self._package.disable(fn, recursive, **how)
        self._noted.append(fn)
        return fn

    def run(self) -> None:
        """Run the package, unless that is being done or was."""
        with self._lock:
            if self._begun:
                return
            self._begun = True
            for fn in self._noted:
                vars(fn).pop(_NOTE, None)
            spec = self._package.__spec__
            assert spec is not None
            assert spec.loader is not None
            spec.loader.exec_module(self._package)
            self._package.__class__ = ModuleType
            del vars(self._package)["_later"]

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Run the package before the first of its modules; where it imported that one itself, there
        is nothing left to load.
        """
        # Whoever runs it meanwhile may wait for the module that this thread is about to load.
        if not name.startswith(f"{PACKAGE}.") or not self._lock.acquire(blocking=False):
            return None
        try:
            if self._begun:
                return None
            self.run()
        finally:
            self._lock.release()
        # Python would load it again if it found it here.
        found = sys.modules.pop(name, None)
        return None if found is None else ModuleSpec(name, _Loaded(found))


class _Loaded(Loader):
    """Hands out a module that is loaded already."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Only give it back its own spec, which was replaced."""
        with suppress(AttributeError):  # as Python's own: configurations take none
            module.__spec__ = self._spec
