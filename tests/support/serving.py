"""Credential servers for tests: in this process with a made-up catalogue, or the real command; and a plain client."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.errors import ConfigError, CredentialsError
from aws_runas.serve.app import App, Options
from aws_runas.serve.desk import Desk
from aws_runas.serve.profiles import ProfileFacts, Profiles, Prompt
from aws_runas.serve.server import Handler, Limits, Server

DEADLINE = 20.0  # seconds that anything here may take
TOKEN = "made-up-token-for-tests"
GOOD_CODE, WRONG_CODE = "123456", "000000"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


def fetch(
    port: int,
    path: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    host: str = "127.0.0.1",
) -> Reply:
    """Make one request on a connection of its own; the Host header is the client's own unless one is given."""
    connection = http.client.HTTPConnection(host, port, timeout=DEADLINE)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        return Reply(response.status, {key.lower(): value for key, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def raw(port: int, data: bytes, *, until_closed: bool = True) -> bytes:
    """Send bytes as they are and return what comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
        if not until_closed:
            return sock.recv(65536)
        received = b""
        with contextlib.suppress(ConnectionResetError):
            while chunk := sock.recv(65536):
                received += chunk
        return received


def credentials(number: int = 0, *, life: float = 3600.0, age: float = 0.0, now: float | None = None) -> Credentials:
    """Made-up credentials that are told apart by their number."""
    issued = datetime.fromtimestamp((time.time() if now is None else now) - age, UTC)
    return Credentials(
        f"ASIAMADEUP{number:010d}",
        f"made-up-secret-{number}",
        f"made-up-session-token-{number}",
        issued + timedelta(seconds=life),
        issued,
    )


@dataclass
class FakeProvider:
    """Gives new credentials at each call; waits at a gate where one is set, asks for a code where one is wanted.

    Args:
        prompt: asked when wants_code, as the real providers do.
        asks: what a sign-in asks at the desk before there are credentials.
    """

    prompt: Prompt | None = None
    wants_code: bool = False
    desk: Desk | None = None
    asks: Callable[[Desk], object] | None = None
    life: float = 3600.0
    gate: threading.Event | None = None
    fault: Exception | None = None
    calls: int = 0
    refreshes: int = 0
    begun: threading.Event = field(default_factory=threading.Event)
    _held: bool = False

    def credentials(self, *, refresh: bool = False) -> Credentials:
        self.calls += 1
        self.refreshes += refresh
        self.begun.set()
        if self.gate is not None and not self.gate.wait(DEADLINE):
            raise AssertionError("the gate was never opened")
        if self.fault is not None:
            raise self.fault
        if self.asks is not None and not self._held:
            assert self.desk is not None
            self.asks(self.desk)
            self._held = True
        if self.wants_code and (refresh or not self._held):
            assert self.prompt is not None
            while self.prompt("MFA code: ") != GOOD_CODE:
                pass
            self._held = True
        return credentials(self.calls, life=self.life)


class FakeCatalogue:
    """A few profiles; their providers can be reached by name."""

    def __init__(self, *, region: str | None = "eu-west-1") -> None:
        self.providers: dict[str, FakeProvider] = {}
        self.region = region
        self.fault: Exception | None = None

    def open(self, name: str | None, prompt: Prompt, desk: Desk) -> tuple[ProfileFacts, Provider]:
        name = name or "dev"
        if self.fault is not None:
            raise self.fault
        if name == "broken":
            raise ConfigError("profile broken has no source_profile", code="source-missing")
        if name not in ("dev", "admin", "user", "locked", "denied", "my team") and not name.startswith("arn:"):
            raise ConfigError(f"profile {name} does not exist", code="profile-not-found", hint="did you mean dev?")
        provider = self.providers.setdefault(name, FakeProvider())
        provider.prompt = prompt
        provider.desk = desk
        provider.wants_code = name == "locked"
        if name == "denied":
            provider.fault = CredentialsError("AWS refused AssumeRole (AccessDenied)", code="sts-access-denied")
        arn = None if name == "user" else name if name.startswith("arn:") else f"arn:aws:iam::123456789012:role/{name}"
        serial = "arn:aws:iam::123456789012:mfa/me" if name == "locked" else None
        return ProfileFacts(name, arn, self.region, serial, "user"), provider

    def names(self) -> list[tuple[str, bool]]:
        return [("user", False), ("dev", True), ("admin", True), ("locked", True), ("my team", True), ("denied", True)]


@contextlib.contextmanager
def running(handler: Handler, limits: Limits | None = None) -> Iterator[int]:
    """Serve a handler on a port of 127.0.0.1."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = int(listener.getsockname()[1])
    server = Server([listener], handler, limits=limits)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield port
    finally:
        server.stop()
        thread.join(DEADLINE)
        assert not thread.is_alive()


@dataclass
class Served:
    """An App that is being served."""

    port: int
    app: App
    catalogue: FakeCatalogue
    profiles: Profiles
    log: list[str]

    def fetch(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: str = "") -> Reply:
        return fetch(self.port, path, method, headers, body.encode() if body or method == "POST" else None)

    def page_token(self) -> str:
        return self.fetch("/").text.split('name="page-token" content="')[1].split('"')[0]

    def change(self, path: str, body: str = "", **headers: str) -> Reply:
        """A change of state, made as the page does."""
        given = {"X-AwsRunas-Token": self.page_token(), "Content-Type": "text/plain"} | headers
        return self.fetch(path, "POST", given, body)


@contextlib.contextmanager
def serving(
    kind: str = "ecs",
    active: str = "dev",
    *,
    allow_v1: bool = True,
    clock: Callable[[], float] = time.monotonic,
    catalogue: FakeCatalogue | None = None,
    is_neighbour: Callable[[Any], bool] | None = None,
    limits: Limits | None = None,
) -> Iterator[Served]:
    """Serve made-up profiles in this process."""
    catalogue = catalogue or FakeCatalogue()
    profiles = Profiles(catalogue, active)
    log: list[str] = []
    options = Options(kind, TOKEN if kind == "ecs" else None, allow_v1, is_neighbour)
    app = App(profiles, options, log=log.append, clock=clock)
    with running(app.handle, limits) as port:
        yield Served(port, app, catalogue, profiles, log)


class Command:
    """``aws-runas serve ...`` as a user starts it.

    Args:
        words: of the command line, after ``serve``.
        environ: all its variables.
        prefix: of the command, for instance ``["ip", "netns", "exec", ...]``.
    """

    def __init__(self, words: list[str], environ: Mapping[str, str], *, prefix: tuple[str, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "aws_runas", *words],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.variables: dict[str, str] = {}
        self.said = b""
        try:
            self.said = self._read(self.process.stderr, lambda text: b"are served" in text and text.endswith(b"\n"))
            assert self.process.stdout is not None
            readable, _, _ = select.select([self.process.stdout], [], [], 0)  # the variables were printed before
            printed = os.read(self.process.stdout.fileno(), 65536) if readable else b""
            for line in printed.decode().splitlines():
                name, _, value = line.removeprefix("export ").partition("=")
                self.variables[name] = value
        except BaseException:
            self.close()
            raise
        base = self.said.decode().split("the page is ")[1].split()[0]
        self.base = base
        self.port = int(base.rstrip("/").rsplit(":", 1)[1]) if base.count(":") > 1 else 80

    def _read(self, stream: Any, done: Callable[[bytes], bool]) -> bytes:
        text, end = b"", time.monotonic() + DEADLINE
        while not done(text):
            readable, _, _ = select.select([stream], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(stream.fileno(), 65536) if readable else b""
            if not chunk:
                raise AssertionError(f"the server said only {text!r}; {self._rest()!r}")
            text += chunk
        return text

    def _rest(self) -> bytes:
        self.process.kill()
        return b"".join(stream.read() for stream in (self.process.stdout, self.process.stderr) if stream)

    def fetch(self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: str = "") -> Reply:
        return fetch(self.port, path, method, headers, body.encode() if body or method == "POST" else None)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def eventually(true: Callable[[], Any], what: str = "it") -> Any:
    """Wait, within the deadline, until something is so."""
    end = time.monotonic() + DEADLINE
    while not (found := true()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come about")
        time.sleep(0.01)
    return found
