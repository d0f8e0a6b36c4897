"""A browser driven over the DevTools protocol, as a state machine: bytes in, bytes and one outcome out.

The user uses the browser as usual. Two events are intercepted: a request that would send a SAML response to AWS, and a
navigation to the redirect URI of an OIDC client. Such a request is not sent; the browser gets our page as the response
and is closed. Nothing is sent to AWS.

Source: Chrome DevTools Protocol, domains Target, Fetch, Page and Browser; messages on the pipe end in a zero byte.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

from aws_runas.dataclass import dataclass
from aws_runas.signin.form_walk import RedirectFound, SamlFound, is_redirect

MAX_MESSAGE = 64 * 1024 * 1024  # bytes; a message may hold a posted file
SAML_HOSTS = re.compile(
    r"(?:[a-z0-9-]+\.)?signin\.(?:aws\.amazon\.com|amazonaws\.cn|amazonaws-us-gov\.com|amazonaws-eusc\.eu)"
)
SAML_PATTERNS = tuple(
    f"https://*signin.{domain}/saml*"
    for domain in ("aws.amazon.com", "amazonaws.cn", "amazonaws-us-gov.com", "amazonaws-eusc.eu")
)
DONE_PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>Signed in</title>"
    "<body style='font:16px sans-serif;margin:4em'><h1>Signed in</h1><p>You may close this window.</p>"
)
_NO_STORE = [
    {"name": "Content-Type", "value": "text/html; charset=utf-8"},
    {"name": "Cache-Control", "value": "no-store"},
    {"name": "Content-Security-Policy", "value": "default-src 'none'; style-src 'unsafe-inline'"},
]

Object = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class WindowClosed:
    """The last window was closed, or the browser does not follow the protocol."""

    reason: str


Outcome = SamlFound | RedirectFound | WindowClosed


class DevTools:
    """One sign-in in a browser.

    Args:
        start: address that the first page opens.
        redirect_uri: redirect URI of an OIDC client; "" to wait for a SAML response.

    Attributes:
        outcome: None while the user signs in.
    """

    def __init__(self, start: str, redirect_uri: str = "") -> None:
        self._start = start
        self._redirect_uri = redirect_uri
        self._received = bytearray()
        self._outgoing: list[bytes] = []
        self._number = 0
        self._pages: set[str] = set()
        self._is_open = False
        self._requested: dict[int, str] = {}
        self.outcome: Outcome | None = None
        auto_attach = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
        self._send("Target.setAutoAttach", auto_attach)

    def data_to_send(self) -> bytes:
        """Return the queued bytes for the browser, and empty the queue."""
        data, self._outgoing = b"".join(self._outgoing), []
        return data

    def receive_data(self, data: bytes) -> None:
        """Process bytes from the browser."""
        self._received += data
        if len(self._received) > MAX_MESSAGE:
            self._end(WindowClosed("it sends endless messages"))
            self._received.clear()
        *messages, rest = bytes(self._received).split(b"\0")
        self._received[:] = rest
        for message in messages:
            try:
                content = json.loads(message)
            except (ValueError, RecursionError):
                self._end(WindowClosed("it sends data that is not JSON"))
                return
            if isinstance(content, dict):
                self._receive(content)

    def receive_end(self) -> None:
        """Note that the browser has ended."""
        self._end(WindowClosed("the browser was closed"))

    def close(self) -> None:
        """Ask the browser to end."""
        self._send("Browser.close", {})

    def _receive(self, message: Object) -> None:
        method, session = message.get("method"), str(message.get("sessionId") or "")
        parameters = message.get("params")
        values: Object = parameters if isinstance(parameters, dict) else {}
        if method == "Target.attachedToTarget":
            self._attached(values)
        elif method == "Target.detachedFromTarget":
            self._detached(str(values.get("sessionId")))
        elif method == "Fetch.requestPaused":
            self._paused(session, values)
        elif method in ("Page.frameRequestedNavigation", "Page.frameScheduledNavigation"):
            self._navigation(str(values.get("url", "")))
        elif "error" in message:
            number = message.get("id")
            name = self._requested.get(number, "") if isinstance(number, int) else ""
            if name in ("Fetch.enable", "Target.setAutoAttach", "Page.navigate"):
                error = message["error"]
                text = error.get("message") if isinstance(error, dict) else ""
                self._end(WindowClosed(f"{name} failed: {text}"))

    def _attached(self, values: Object) -> None:
        info = values.get("targetInfo")
        kind: object = info.get("type") if isinstance(info, dict) else ""
        session = str(values.get("sessionId") or "")
        if kind in ("page", "iframe"):
            self._send(
                "Target.setAutoAttach", {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}, session
            )
            self._send("Fetch.enable", {"patterns": self._patterns()}, session)
            self._send("Page.enable", {}, session)
        self._send("Runtime.runIfWaitingForDebugger", {}, session)
        if kind == "page":
            self._pages.add(session)
            if not self._is_open:
                self._is_open = True
                self._send("Page.navigate", {"url": self._start}, session)

    def _patterns(self) -> list[Object]:
        if not self._redirect_uri:
            return [{"urlPattern": pattern, "requestStage": "Request"} for pattern in SAML_PATTERNS]
        if urlsplit(self._redirect_uri).scheme in ("http", "https"):
            return [{"urlPattern": f"{self._redirect_uri}*", "requestStage": "Request"}]
        return [{"urlPattern": "*", "resourceType": "Document", "requestStage": "Response"}]

    def _detached(self, session: str) -> None:
        self._pages.discard(session)
        if self._is_open and not self._pages:
            self._end(WindowClosed("the window was closed"))
            self.close()

    def _paused(self, session: str, values: Object) -> None:
        request = values.get("request")
        details: Object = request if isinstance(request, dict) else {}
        identifier = str(values.get("requestId"))
        url = str(details.get("url", ""))
        location = _location(values)
        if self._redirect_uri and (is_redirect(url, self._redirect_uri) or is_redirect(location, self._redirect_uri)):
            target = url if is_redirect(url, self._redirect_uri) else location
            self._finish(session, identifier, RedirectFound(target))
            return
        encoded = _saml_response(details) if not self._redirect_uri and is_saml_address(url) else ""
        if encoded:
            self._finish(session, identifier, SamlFound(encoded, url))
            return
        self._send("Fetch.continueRequest", {"requestId": identifier}, session)

    def _navigation(self, url: str) -> None:
        """Process a navigation by script to an address for which the browser makes no request."""
        if self._redirect_uri and is_redirect(url, self._redirect_uri):
            self._end(RedirectFound(url))

    def _finish(self, session: str, identifier: str, outcome: Outcome) -> None:
        body = base64.b64encode(DONE_PAGE.encode()).decode()
        answer = {"requestId": identifier, "responseCode": 200, "responseHeaders": _NO_STORE, "body": body}
        self._send("Fetch.fulfillRequest", answer, session)
        self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        if self.outcome is None:
            self.outcome = outcome

    def _send(self, method: str, parameters: Object, session: str = "") -> None:
        self._number += 1
        self._requested[self._number] = method
        message: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        self._outgoing.append(json.dumps(message).encode() + b"\0")


def is_saml_address(url: str) -> bool:
    """Return True for an address at which AWS accepts SAML responses, in any partition."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    is_path = parts.path == "/saml" or parts.path.startswith("/saml/")
    return parts.scheme == "https" and is_path and SAML_HOSTS.fullmatch(host) is not None


def _saml_response(request: Object) -> str:
    """Return the SAML response in the body of a request; "" if there is none."""
    if request.get("method") != "POST":
        return ""
    body = request.get("postData")
    text = body if isinstance(body, str) else _joined(request.get("postDataEntries"))
    values: Mapping[str, list[str]] = {}
    with contextlib.suppress(ValueError):
        values = parse_qs(text, max_num_fields=50)
    return values.get("SAMLResponse", [""])[0]


def _joined(entries: object) -> str:
    parts = []
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict):
            try:
                parts.append(base64.b64decode(str(entry.get("bytes", ""))))
            except ValueError:
                return ""
    return b"".join(parts).decode("utf-8", "replace")


def _location(values: Object) -> str:
    headers = values.get("responseHeaders")
    for header in headers if isinstance(headers, list) else []:
        if isinstance(header, dict) and str(header.get("name", "")).lower() == "location":
            return str(header.get("value", ""))
    return ""
