"""The callback of a browser sign-in as a state machine: requests in, replies and one outcome out. No socket, no clock.

Only a GET of one path, with a loopback name and our port as its host and with the right state, decides the sign-in.
Other requests are answered and ignored, so that a page that guesses the port cannot disturb a sign-in.
`callback_server` drives the state machine.
"""

from __future__ import annotations

import hmac
from dataclasses import field
from html import escape
from urllib.parse import parse_qsl, urlsplit

from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError
from aws_runas.redact import printable
from aws_runas.signin.context import DEFAULT_TIMEOUT

MAX_REQUEST = 16 * 1024  # bytes
REQUEST_TIME = 5.0  # seconds for a complete request
MAX_CONNECTIONS = 20
MAX_DESCRIPTION = 300  # maximum characters of an error description that are shown
_HEADERS = (
    "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nContent-Security-Policy: default-src 'none'\r\n"
    "X-Content-Type-Options: nosniff\r\nConnection: close\r\n"
)
_PHRASES = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class CodeReceived:
    """The browser returned with a code."""

    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignInRefused:
    """The browser returned with an error.

    Args:
        error: error code of the protocol, such as ``access_denied``; printable.
        description: error description of the server, printable; may be empty.
    """

    error: str
    description: str


@dataclass(frozen=True, slots=True)
class TimedOut:
    """No valid answer arrived in time.

    Args:
        had_wrong_state: an answer of another sign-in arrived.
    """

    had_wrong_state: bool


Outcome = CodeReceived | SignInRefused | TimedOut


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The address of the callback.

    Args:
        port: port of the listener.
        path: path of the redirect URI, with its slash.
        hosts: names that the Host header may have, without a port.
        start_path: path that redirects to `start_address`, so that the state does not appear in any argument list.
        start_address: address of the authorization request.
    """

    port: int
    path: str = "/oauth/callback"
    hosts: tuple[str, ...] = ("127.0.0.1",)
    start_path: str = ""
    start_address: str = field(default="", repr=False)

    @property
    def done_path(self) -> str:
        """The clean address that the browser ends on."""
        return self.path.rstrip("/") + "/done"


@dataclass(slots=True)
class _Connection:
    deadline: float
    received: bytearray = field(default_factory=bytearray)


class Callback:
    """Waits for the answer of one sign-in.

    Args:
        endpoint: address of the callback.
        state: the value that the answer must carry.
        now: monotonic seconds.
        timeout: seconds until `TimedOut`.

    Attributes:
        outcome: None while the answer is awaited.
        is_shown: the browser has fetched the last page.
    """

    def __init__(self, endpoint: Endpoint, state: str, now: float, timeout: float = DEFAULT_TIMEOUT) -> None:
        self._endpoint = endpoint
        self._state = state
        self._deadline = now + timeout
        self._connections: dict[int, _Connection] = {}
        self._replies: list[tuple[int, bytes]] = []
        self._had_wrong_state = False
        self._success: bool | None = None
        self.outcome: Outcome | None = None
        self.is_shown = False

    def receive_connect(self, connection: int, now: float, *, is_own: bool = True) -> None:
        """Accept a new connection.

        Args:
            connection: number that the driver gave it.
            now: monotonic seconds.
            is_own: the other end belongs to this user; connections of other users of the machine are refused.
        """
        if not is_own:
            self._reply(connection, _reply(403, "This sign-in belongs to another user."))
        elif len(self._connections) >= MAX_CONNECTIONS:
            self._reply(connection, _reply(503, "Too many connections."))
        else:
            self._connections[connection] = _Connection(now + REQUEST_TIME)

    def receive_data(self, connection: int, data: bytes, now: float) -> None:
        """Process bytes of a connection; bytes after a request are ignored.

        Args:
            connection: number that the driver gave it.
            data: the bytes of one read.
            now: monotonic seconds.
        """
        self.handle_timer(now)
        state = self._connections.get(connection)
        if state is None:
            return
        state.received += data
        head, end, _ = bytes(state.received).partition(b"\r\n\r\n")
        if len(head) > MAX_REQUEST:
            self._reply(connection, _reply(431, "The request is too long."))
        elif end:
            self._reply(connection, self._answer(head))

    def receive_disconnect(self, connection: int) -> None:
        """Remove a connection that the other side closed."""
        self._connections.pop(connection, None)

    def receive_line(self, line: str, now: float) -> bool:
        """Process the final address of the browser, pasted by the user.

        Returns:
            False if it is not an answer to this sign-in; the wait continues.
        """
        self.handle_timer(now)
        if self.outcome is not None:
            return False
        text = line.strip()
        return self._decide(_fields(urlsplit_query(text))) == 302

    def handle_timer(self, now: float) -> None:
        """End the sign-in if it took too long, and close connections whose request did not arrive in time."""
        if self.outcome is None and now >= self._deadline:
            self.outcome = TimedOut(self._had_wrong_state)
        for connection, state in list(self._connections.items()):
            if now >= state.deadline:
                self._reply(connection, _reply(408, "The request did not arrive in time."))

    def next_timer(self) -> float:
        """Return the moment at which `handle_timer` is due next."""
        deadlines = [state.deadline for state in self._connections.values()]
        return min([*deadlines, self._deadline]) if self.outcome is None else min(deadlines, default=self._deadline)

    def conclude(self, *, success: bool) -> None:
        """Set the result of the sign-in for the last page; call it once there is an outcome."""
        self._success = success

    def data_to_send(self) -> list[tuple[int, bytes]]:
        """Return replies: connection and bytes. Each connection is closed after its reply."""
        replies, self._replies = self._replies, []
        return replies

    def _reply(self, connection: int, content: bytes) -> None:
        self._connections.pop(connection, None)
        self._replies.append((connection, content))

    def _answer(self, head: bytes) -> bytes:
        lines = head.decode("latin-1").split("\r\n")
        method, _, rest = lines[0].partition(" ")
        target, _, version = rest.rpartition(" ")
        hosts = [line.partition(":")[2].strip().lower() for line in lines[1:] if line.lower().startswith("host:")]
        if not version.startswith("HTTP/1.") or not target.startswith("/"):
            return _reply(400, "This request was not sent by a browser.")
        if len(hosts) != 1 or hosts[0] not in [f"{name}:{self._endpoint.port}" for name in self._endpoint.hosts]:
            return _reply(400, "The host name is not the one of this sign-in.")
        if method != "GET":
            return _reply(405, "Only GET is accepted.")
        path, _, query = target.partition("?")
        if self._endpoint.start_path and hmac.compare_digest(path, self._endpoint.start_path):
            return _redirect(self._endpoint.start_address)
        if path == self._endpoint.done_path and self.outcome is not None:
            return self._last_page()
        if path != self._endpoint.path:
            return _reply(404, "There is nothing here.")
        status = self._decide(_fields(query))
        if status == 302:
            return _redirect(self._endpoint.done_path)
        text = "This sign-in has been answered already." if status == 409 else "This is not an answer to the sign-in."
        return _reply(status, text)

    def _decide(self, fields: dict[str, str] | None) -> int:
        """Check an answer and return its HTTP status: 302 if it decided the sign-in."""
        if fields is None or not hmac.compare_digest(fields.get("state", "").encode(), self._state.encode()):
            self._had_wrong_state = self._had_wrong_state or bool(fields and fields.get("state"))
            return 400
        code, error = fields.get("code", ""), fields.get("error", "")
        if not code and not error:
            return 400
        if self.outcome is not None:
            return 409
        description = " ".join(fields.get("error_description", "").split())[:MAX_DESCRIPTION]
        self.outcome = SignInRefused(_plain(error), _plain(description)) if error else CodeReceived(code)
        return 302

    def _last_page(self) -> bytes:
        self.is_shown = True
        if self._success:
            return _reply(200, "You are signed in. You may close this window.")
        return _reply(200, "The sign-in did not succeed. The terminal says why. You may close this window.")


def check_outcome(outcome: Outcome, what: str, command: str) -> CodeReceived:
    """Return a code, or raise the error that the outcome represents.

    Args:
        outcome: result of the callback.
        what: name of the sign-in's target, such as ``sso-session corp``.
        command: command that tries again.

    Raises:
        CredentialsError: the sign-in was refused, or no answer arrived in time.
    """
    if isinstance(outcome, CodeReceived):
        return outcome
    if isinstance(outcome, SignInRefused):
        reason = f"{outcome.error}: {outcome.description}" if outcome.description else outcome.error
        raise CredentialsError(
            f"the sign-in to {what} was refused: {reason}", code="login-denied", hint=f"run: {command}"
        )
    if outcome.had_wrong_state:
        raise CredentialsError(
            f"the sign-in to {what} was not answered: the browser brought the answer of another sign-in",
            code="login-state-mismatch",
            hint=f"close old sign-in windows and run: {command}",
        )
    raise CredentialsError(
        f"the sign-in to {what} was not completed in time", code="login-timeout", hint=f"run: {command}"
    )


def urlsplit_query(text: str) -> str:
    """Return the query of an address, or the text itself if it is only a query; "" for an invalid address."""
    try:
        return urlsplit(text).query if "?" in text else text
    except ValueError:
        return ""


def _fields(query: str) -> dict[str, str] | None:
    """Read a query; None if a name occurs twice, since one of the two values could be injected."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=50, errors="strict")
    except ValueError:
        return None
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else None


def _plain(text: str) -> str:
    """Remove control characters, and escape all other characters that could control a terminal."""
    return printable("".join(character for character in text if ord(character) >= 32 and ord(character) != 127))


def _redirect(address: str) -> bytes:
    safe = address.replace("\r", "").replace("\n", "")
    head = f"HTTP/1.1 302 Found\r\nLocation: {safe}\r\n{_HEADERS}Content-Length: 0\r\n\r\n"
    return head.encode("latin-1", "replace")


def _reply(status: int, text: str) -> bytes:
    body = f"<!doctype html><html lang=en><meta charset=utf-8><title>aws-runas</title><p>{escape(text)}</p></html>\n"
    content = body.encode()
    head = f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: text/html; charset=utf-8\r\n{_HEADERS}"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode("ascii") + content
