"""Which devices torch can train on, and with how many threads it does."""

from __future__ import annotations

import torch


def count_gpus() -> int:
    """GPUs that this process may use; 0 where torch was built without support for them."""
    return torch.cuda.device_count()


def run_device() -> torch.device:
    """The GPU this process was given, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def set_threads(threads: int) -> None:
    """Let torch compute with ``threads`` threads.

    Results depend on the number to the last bit, so every worker of a run has the same.
    """
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def synchronize() -> None:
    """Wait until the device has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def device_name(device: torch.device) -> str:
    """The name of the device that records carry: the GPU's or the processor's.

    A processor's number of threads is not in it; the cost table has it.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({_processor()})"


def _processor() -> str:
    import platform
    from pathlib import Path

    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
