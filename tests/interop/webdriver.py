"""A browser for tests: headless Chromium by chromedriver, spoken to in the WebDriver protocol by urllib.

Source: https://www.w3.org/TR/webdriver2/
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support import requires

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key that WebDriver wraps element ids in
DEADLINE = 20.0  # seconds
ENTER, TAB, DOWN, ESCAPE = "\ue007", "\ue004", "\ue015", "\ue00c"


class WebDriverError(Exception):
    """The driver's own words."""


class Browser:
    """One window of a headless Chromium; a context manager that ends it."""

    def __init__(self, directory: Path, *, dark: bool = False, size: tuple[int, int] = (1100, 860)) -> None:
        driver = requires.program("chromedriver", package="chromium-driver")
        chromium = requires.program("chromium")
        self._process = subprocess.Popen(
            [driver, "--port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"HOME": str(directory)},
        )
        self._session = ""
        try:
            self._base = f"http://127.0.0.1:{self._read_port()}"
            arguments = [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--no-first-run",
                "--no-proxy-server",
                "--force-device-scale-factor=2",
                f"--user-data-dir={directory / 'chromium'}",
                f"--window-size={size[0]},{size[1]}",
                *(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if dark else []),
            ]
            options = {"binary": chromium, "args": arguments}
            capabilities = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
            self._session = self._ask("POST", "/session", {"capabilities": capabilities})["sessionId"]
        except BaseException:
            self.close()
            raise

    def _read_port(self) -> str:
        assert self._process.stdout is not None
        text, end = b"", time.monotonic() + DEADLINE
        while b"successfully on port " not in text or not text.endswith(b"\n"):
            readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._process.stdout.fileno(), 4096) if readable else b""
            if not chunk:
                raise WebDriverError(f"chromedriver said only {text!r}")
            text += chunk
        return text.decode().split("successfully on port ")[1].split(".")[0].strip()

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        url = self._base + (f"/session/{self._session}" if self._session else "") + path
        data = json.dumps(body if body is not None else {}).encode() if method == "POST" else None
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=60) as reply:
                return json.load(reply)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise WebDriverError(json.load(error)["value"]["message"]) from None

    def open(self, url: str) -> None:
        self._ask("POST", "/url", {"url": url})

    def resize(self, width: int, height: int) -> None:
        """Give the page a size, in CSS pixels, whatever the smallest window is."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        order = {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics}
        self._ask("POST", "/goog/cdp/execute", order)

    def run(self, script: str, *arguments: object) -> Any:
        """Run the body of a JavaScript function in the page."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script: str, *arguments: object) -> Any:
        """Run one that answers by calling its last argument."""
        return self._ask("POST", "/execute/async", {"script": script, "args": list(arguments)})

    def find(self, selector: str) -> str:
        found = self._ask("POST", "/element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])

    def click(self, selector: str) -> None:
        self._ask("POST", f"/element/{self.find(selector)}/click")

    def enter(self, selector: str, text: str) -> None:
        self._ask("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def press(self, keys: str) -> None:
        """Press keys wherever the focus is."""
        actions = [
            step for key in keys for step in ({"type": "keyDown", "value": key}, {"type": "keyUp", "value": key})
        ]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def text(self, selector: str) -> str:
        """What a person sees of an element."""
        return str(self._ask("GET", f"/element/{self.find(selector)}/text"))

    def role(self, selector: str) -> str:
        """What a screen reader calls the kind of an element."""
        return str(self._ask("GET", f"/element/{self.find(selector)}/computedrole"))

    def label(self, selector: str) -> str:
        """What a screen reader calls an element."""
        return str(self._ask("GET", f"/element/{self.find(selector)}/computedlabel"))

    def wait(self, true: Callable[[], Any], what: str) -> Any:
        """Wait, within the deadline, until something is so."""
        end = time.monotonic() + DEADLINE
        while True:
            try:
                if found := true():
                    return found
            except WebDriverError:
                pass
            if time.monotonic() > end:
                raise AssertionError(f"{what}: not within {DEADLINE:.0f} s; the page shows {self.text('body')!r}")
            time.sleep(0.02)

    def wait_text(self, selector: str, wanted: str) -> None:
        self.wait(lambda: wanted in self.text(selector), f"{wanted!r} in {selector}")

    def wait_script(self, script: str) -> Any:
        return self.wait(lambda: self.run(script), script)

    def messages(self) -> list[str]:
        """What the browser's console holds: errors, and violations of the page's policy."""
        return [entry["message"] for entry in self._ask("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))

    def close(self) -> None:
        if self._session:
            try:
                self._ask("DELETE", "")
            except (WebDriverError, OSError):
                self._process.kill()
        self._process.terminate()
        self._process.wait(DEADLINE)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
