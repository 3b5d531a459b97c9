"""A headless Chromium driven over the WebDriver protocol (W3C), with nothing but the standard
library.

Only the few commands that the page's tests need. The driver listens on the loopback interface; the
page is a local file.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

T = TypeVar("T")
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
"""The key under which the protocol hands out an element's id."""
PATIENCE = 30.0
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--no-first-run",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def missing() -> str | None:
    """What keeps a browser from starting here, or None."""
    if not shutil.which("chromedriver"):
        return "chromedriver is not installed"
    if not any(shutil.which(name) for name in BROWSERS):
        return "Chromium is not installed"
    return None


class Browser:
    """One session: a window, and what may be done in it."""

    def __init__(self, address: str, session: str) -> None:
        self._base = f"{address}/session/{session}"

    def command(self, method: str, path: str, **body: Any) -> Any:
        """Send one command; its value. RuntimeError where the driver refuses it."""
        return _send(method, self._base + path, body if method == "POST" else None)

    def open(self, page: Path) -> None:
        """Load a local file."""
        self.command("POST", "/url", url=page.absolute().as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        """What a function body returns in the page."""
        return self.command("POST", "/execute/sync", script=script, args=list(arguments))

    def find(self, selector: str) -> list[str]:
        """The ids of the elements that a CSS selector matches."""
        found = self.command("POST", "/elements", using="css selector", value=selector)
        return [element[ELEMENT] for element in found]

    def text(self, selector: str) -> str:
        """The visible text of the first such element."""
        return str(self.command("GET", f"/element/{self.find(selector)[0]}/text"))

    def hover(self, element: str) -> None:
        """Move the pointer to an element's middle."""
        self._pointer([_move(element)])

    def click(self, element: str) -> None:
        """Move the pointer to an element's middle and press its first button."""
        press = [{"type": kind, "button": 0} for kind in ("pointerDown", "pointerUp")]
        self._pointer([_move(element), *press])

    def keys(self, element: str, text: str) -> None:
        """Type into an element, which gets the focus."""
        self.command("POST", f"/element/{element}/value", text=text)

    def resize(self, width: int, height: int) -> None:
        """Make the page's view this large, whatever the least size of a window is."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)

    def devtools(self, name: str, parameters: dict[str, Any]) -> None:
        """One command of the browser's own protocol."""
        self.command("POST", "/goog/cdp/execute", cmd=name, params=parameters)

    def errors(self) -> list[str]:
        """What the page has written to its console as errors."""
        entries = self.command("POST", "/se/log", type="browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def screenshot(self) -> bytes:
        """The view as a PNG."""
        return base64.b64decode(self.command("GET", "/screenshot"))

    def _pointer(self, actions: list[dict[str, Any]]) -> None:
        source = {
            "type": "pointer",
            "id": "mouse",
            "parameters": {"pointerType": "mouse"},
            "actions": actions,
        }
        self.command("POST", "/actions", actions=[source])


def until(condition: Callable[[], T], what: str) -> T:
    """The condition's first true value; AssertionError if there is none in time.

    Asking is a round trip itself.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := condition():
            return value
    raise AssertionError(f"{what} did not happen within {PATIENCE:g} s")


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A new headless browser with a profile of its own; ended with everything it started."""
    with contextlib.ExitStack() as stack:
        profile = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        driver = subprocess.Popen(
            ["chromedriver", "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        stack.callback(_end, driver)
        assert driver.stdout is not None
        address = f"http://127.0.0.1:{_port(driver.stdout)}"
        session = _send("POST", f"{address}/session", {"capabilities": _capabilities(profile)})[
            "sessionId"
        ]
        stack.callback(_send, "DELETE", f"{address}/session/{session}", None)
        yield Browser(address, session)


def _port(output: IO[str]) -> int:
    """The port that the driver says it has taken."""
    for line in output:
        if match := re.search(r"started successfully on port (\d+)", line):
            return int(match[1])
    raise RuntimeError("chromedriver ended before it listened")


def _capabilities(profile: Path) -> dict[str, Any]:
    binary = next(path for name in BROWSERS if (path := shutil.which(name)))
    options = {
        "binary": binary,
        "args": [*FLAGS, f"--user-data-dir={profile}", "--window-size=1280,1400"],
    }
    return {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}


def _move(element: str) -> dict[str, Any]:
    return {"type": "pointerMove", "duration": 0, "x": 0, "y": 0, "origin": {ELEMENT: element}}


def _send(method: str, url: str, body: dict[str, Any] | None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method)
    try:
        with _NO_PROXY.open(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        with error:
            refused = json.load(error)["value"]
        raise RuntimeError(f"{refused['error']}: {refused['message']}") from None


def _end(driver: subprocess.Popen[str]) -> None:
    driver.terminate()
    driver.wait(timeout=10)
    if driver.stdout is not None:
        driver.stdout.close()
