"""A person at a browser window that somebody else has opened: reads and types through a debugging port of its own.

The port is one more argument that the test gives the browser; aws-runas itself uses its pipe.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

DEADLINE = 40.0  # seconds
CLOSE = "close the window"
FILL = """
(() => {
  const user = document.querySelector('input[name=username],input[name=login]');
  const password = document.querySelector('input[type=password]');
  if (!password) { return document.title + ' | ' + document.body.innerText.slice(0, 200); }
  user.value = %s; password.value = %s;
  (document.querySelector('[type=submit]') || password.form.querySelector('button')).click();
  return 'submitted';
})()
"""


class BrowserPerson(threading.Thread):
    """Waits for the window, and acts on its page until it is gone.

    Args:
        profiles: directory in which the browser's profile appears.
        act: is given what evaluates script in the page; returns True when done.
    """

    def __init__(self, profiles: Path, act: Callable[[Callable[[str], Any]], bool]) -> None:
        super().__init__(daemon=True)
        self._profiles = profiles
        self._act = act
        self.seen: list[Any] = []
        self.start()

    def run(self) -> None:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            try:
                address = self._page()
                if address is None:
                    time.sleep(0.05)
                    continue
                with connect(address, max_size=None) as socket:
                    if self._act(lambda script: self._evaluate(socket, script)):
                        return
            except (OSError, ValueError, KeyError, EOFError) as error:
                self.seen.append(repr(error))
            except Exception as error:  # the page went away while it was looked at
                self.seen.append(repr(error))
            time.sleep(0.05)

    def _page(self) -> str | None:
        for path in self._profiles.rglob("DevToolsActivePort"):
            port = path.read_text().split("\n")[0]
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(f"http://127.0.0.1:{port}/json/list", timeout=5) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            for page in pages:
                if page["url"].startswith("http"):
                    return str(page["webSocketDebuggerUrl"])
        return None

    def _evaluate(self, socket: Any, script: str) -> Any:
        if script == CLOSE:  # window.close() works for windows that a script has opened
            socket.send(json.dumps({"id": 1, "method": "Page.close"}))
            socket.recv(timeout=10)
            return None
        socket.send(json.dumps({"id": 1, "method": "Runtime.evaluate",
                                "params": {"expression": script, "returnByValue": True}}))  # fmt: skip
        while True:
            message = json.loads(socket.recv(timeout=10))
            if message.get("id") == 1:
                value = message["result"]["result"].get("value")
                self.seen.append(value)
                return value


def signs_in(user: str, password: str) -> Callable[[Callable[[str], Any]], bool]:
    """Fill in the form of user name and password."""
    return lambda evaluate: evaluate(FILL % (json.dumps(user), json.dumps(password))) == "submitted"


def closes(evaluate: Callable[[str], Any]) -> bool:
    """Close the window; called again as long as it is there."""
    evaluate(CLOSE)
    return False
