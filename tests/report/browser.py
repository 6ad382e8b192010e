"""A headless Chromium for tests, driven over chromedriver's HTTP interface (W3C WebDriver)."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
DRIVER = shutil.which("chromedriver")
_FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    # Whatever asks for a name or a proxy gets nothing: a test reaches no network.
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--no-proxy-server",
]
_DIRECT = build_opener(ProxyHandler({}))
_START_SECONDS = 60.0
_CALL_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Browser:
    """One window of a running browser."""

    session: str
    """Address of its WebDriver session."""

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return _call(method, f"{self.session}{path}", body)

    def cdp(self, command: str, **parameters: Any) -> Any:
        """A command of the Chrome DevTools protocol."""
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, page: Path) -> None:
        """Opens a file and waits until each of its figures is drawn or has said why not."""
        for kind in ("performance", "browser"):
            self.log(kind)  # what came before is another page's
        self.call("POST", "/url", {"url": page.as_uri()})
        charts = "[...document.querySelectorAll('.chart')]"
        drawn = f"{charts}.every(c => c.dataset.drawn || /could not/.test(c.textContent))"
        self.wait_for(f"document.readyState === 'complete' && {drawn}")

    def run(self, script: str, *args: Any) -> Any:
        """What the body of a JavaScript function returns."""
        return self.call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def value(self, expression: str) -> Any:
        return self.run(f"return {expression}")

    def wait_for(self, condition: str, seconds: float = 30.0) -> None:
        """Waits until an expression of JavaScript is true."""
        end = time.monotonic() + seconds
        while not self.value(condition):
            assert time.monotonic() < end, f"never came true: {condition}"
            time.sleep(0.02)

    def log(self, kind: str) -> list[dict[str, Any]]:
        """Entries of the log ``browser`` (the console) or ``performance`` since the last call."""
        entries: list[dict[str, Any]] = self.call("POST", "/se/log", {"type": kind})
        return entries

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.log("performance")]
        sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return [str(one["request"]["url"]) for one in sent]

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """Sets the size of the page in CSS pixels, as the page sees it."""
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )

    def media(self, kind: str = "", scheme: str = "light") -> None:
        """Emulates ``print`` or the screen, and what colours the reader prefers."""
        preferred = [{"name": "prefers-color-scheme", "value": scheme}]
        self.cdp("Emulation.setEmulatedMedia", media=kind, features=preferred)

    def hover(self, x: float, y: float) -> None:
        """Moves the pointer to a place of the viewport."""
        self.cdp("Input.dispatchMouseEvent", type="mouseMoved", x=x - 1, y=y)
        self.cdp("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with its profile in ``folder``; it is gone afterwards, however the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    said = folder / "chromedriver.log"
    with said.open("wb") as out:
        driver = subprocess.Popen(
            [str(DRIVER), "--port=0"],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "HOME": str(folder)},
        )
    try:
        address = f"http://127.0.0.1:{_port(driver, said)}/session"
        made = _call("POST", address, {"capabilities": {"alwaysMatch": _wanted(folder)}})
        session = f"{address}/{made['sessionId']}"
        try:
            yield Browser(session=session)
        finally:
            with contextlib.suppress(OSError):
                _call("DELETE", session)
    finally:
        # The driver's own group, which it began: whatever browser is left goes with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
        driver.wait()


def _wanted(folder: Path) -> dict[str, Any]:
    return {
        "browserName": "chrome",
        "goog:chromeOptions": {
            "binary": CHROMIUM,
            "args": [*_FLAGS, f"--user-data-dir={folder / 'profile'}"],
        },
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }


def _port(driver: subprocess.Popen[bytes], said: Path) -> int:
    """The port that chromedriver has chosen, which it says when it listens."""
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and driver.poll() is None:
        text = said.read_text(errors="replace")
        _, found, rest = text.partition("started successfully on port ")
        if found and rest.endswith("\n"):
            return int(rest.splitlines()[0].rstrip("."))
        time.sleep(0.02)
    raise AssertionError(f"chromedriver did not start: {said.read_text(errors='replace')}")


def _call(method: str, address: str, body: Mapping[str, Any] | None = None) -> Any:
    data = None if method == "DELETE" else json.dumps(body or {}).encode()
    request = Request(address, data, {"Content-Type": "application/json"}, method=method)
    try:
        with _DIRECT.open(request, timeout=_CALL_SECONDS) as response:
            return json.load(response)["value"]
    except HTTPError as error:
        raise AssertionError(f"{address}: {error.read().decode(errors='replace')}") from error
    except URLError as error:
        raise OSError(f"{address}: {error.reason}") from error
