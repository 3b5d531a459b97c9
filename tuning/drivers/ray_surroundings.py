"""What a search changes around Ray while it uses it: environment, signal handlers, loggers."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

SETTINGS: Mapping[str, str] = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial without a share of a GPU sees none
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths mean the same in a worker as in the driver
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # the store is the truth: there is nothing of Tune's to save
    "TUNE_GLOBAL_CHECKPOINT_S": "1e12",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_STATE_REFRESH_PERIOD": "1e12",  # asks Ray for its resources, for a display that is off
}
LOCAL_SETTINGS: Mapping[str, str] = {
    # Despite its name, on every system "0" makes the node's address 127.0.0.1, so that all of Ray's
    # ports are local.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}


@functools.cache
def _token() -> str:
    return secrets.token_hex(32)


def token_settings() -> dict[str, str]:
    """Environment settings with a secret for Ray's servers, empty where the user has one: Ray would
    write its own to the home directory. The secret is the same for the life of this process,
    because Ray reads it once.
    """
    theirs = "RAY_AUTH_TOKEN" in os.environ or "RAY_AUTH_TOKEN_PATH" in os.environ
    disabled = os.environ.get("RAY_AUTH_MODE", "token").lower() != "token"
    if theirs or disabled or (Path.home() / ".ray" / "auth_token").exists():
        return {}
    return {"RAY_AUTH_TOKEN": _token()}


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, for this process and those it starts, and put them back."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def signals_kept() -> Iterator[None]:
    """Put the signal handlers that Ray or Tune replaces back after the block: stopping a search is
    its session's business.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within the block keep Ray's loggers off the terminal. What matters of their messages is
    reported as a reason or an error.
    """
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.data", "ray.train")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
