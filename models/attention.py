"""How a model computes: the attention backend, the dtype, and whether its blocks are compiled.

What a caller needs, from one place. Forcing a backend is ``attention_forced`` (and ``attention_flex``), finding out
what a device has ``attention_probe``, reading off what ran ``attention_kernels``; dtypes are ``precision``, and
compiling is ``compiling``.
"""

from __future__ import annotations

from models.attention_forced import BACKENDS, forced
from models.attention_probe import backend_fault
from models.attention_refusal import BackendRefused
from models.compiling import compile_fault, compiled, gradient_faults
from models.precision import DTYPES, dtype_fault, precision

__all__ = [
    "BACKENDS",
    "DTYPES",
    "BackendRefused",
    "backend_fault",
    "compile_fault",
    "compiled",
    "dtype_fault",
    "forced",
    "gradient_faults",
    "precision",
]
