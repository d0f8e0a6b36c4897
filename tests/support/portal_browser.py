"""A browser for tests of sign-in: follows an address, decides on the consent page, and follows to the end.

As a program (``python -m tests.support.portal_browser URL``) it is what ``--browser`` starts. Each start is a line in
the file that PORTAL_BROWSER_LOG names; PORTAL_BROWSER_DECISION is ``allow``, ``deny``, or ``none`` to do nothing.
"""

from __future__ import annotations

import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def decide(address: str, decision: str = "allow") -> str:
    """Open an address, press a button of the consent page, and return the text of the last page."""
    with OPENER.open(address, timeout=20) as page:
        text, at = page.read().decode(), page.url
    found = re.search(r"name=page value=([\w-]+)", text)
    if found is None:
        return str(text)
    form = urllib.parse.urlencode({"page": found[1], "decision": decision}).encode()
    parts = urllib.parse.urlsplit(at)
    request = urllib.request.Request(at, form, {"Origin": f"{parts.scheme}://{parts.netloc}"})
    with OPENER.open(request, timeout=20) as page:
        return str(page.read().decode())


def final_address(address: str, decision: str = "allow") -> str:
    """Decide as a browser on another machine would: return the address that it cannot load."""

    class Stop(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    with OPENER.open(address, timeout=20) as page:
        text = page.read().decode()
    found = re.search(r"name=page value=([\w-]+)", text)
    assert found is not None
    form = urllib.parse.urlencode({"page": found[1], "decision": decision}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), Stop)
    try:
        opener.open(address, form, timeout=20).close()
    except urllib.error.HTTPError as answer:
        with answer:
            return str(answer.headers["Location"])
    raise AssertionError("the consent page did not lead on")


def main() -> None:
    log = os.environ.get("PORTAL_BROWSER_LOG")
    if log:
        with Path(log).open("a") as stream:
            stream.write(sys.argv[1] + "\n")
    decision = os.environ.get("PORTAL_BROWSER_DECISION", "allow")
    if decision != "none":
        decide(sys.argv[1], decision)


if __name__ == "__main__":
    main()
