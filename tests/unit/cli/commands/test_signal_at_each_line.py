"""A signal at any line of a session command, from StartSession until the event loop handles signals, leaves no session.

The signal is real. A trace function sends it when a line is reached for the first time.
"""

from __future__ import annotations

import contextlib
import gc
import io
import linecache
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType, SimpleNamespace
from typing import Final, cast

import pytest

import aws_runas
from aws_runas.aws.access import Access
from aws_runas.aws.session import StartedSession
from aws_runas.aws.ssm import InstanceFacts
from aws_runas.cli.app import main
from aws_runas.cli.commands.forward import preparation
from aws_runas.cli.environment import Environment
from aws_runas.cli.session import flags, instance
from aws_runas.cli.session import open as session_open
from aws_runas.cli.session.open import OpenTarget
from aws_runas.ssm import shutdown
from aws_runas.ssm.api import SsmApi
from aws_runas.ssm.command import guardian
from aws_runas.ssm.command.carrier import RefusedDocuments
from aws_runas.ssm.session_start import SessionStart
from aws_runas.ssm.transport.data_channel import StreamOptions
from aws_runas.ssm.transport.resumer import ReconnectPolicy

PACKAGE: Final = Path(aws_runas.__file__).parent
TRACED: Final = tuple(
    str(PACKAGE / part)
    for part in (
        "cli/commands/",
        "ssm/session_start.py",
        "ssm/shutdown.py",
        "ssm/shell/session.py",
        "ssm/proxy_command.py",
        "ssm/command/session.py",
        "ssm/command/terminal.py",
        "ssm/copy/sessions.py",
        "ssm/copy/copying.py",
        "ssm/forward/forwarding.py",
        "ssm/transport/event_loop.py",
    )
)
COMMANDS: Final = {
    "shell": ["shell", "-q", "p", "i-deadbeef"],
    "ssh": ["ssh", "p", "i-deadbeef"],
    "run": ["run", "-n", "p", "i-deadbeef", "true"],
    "terminal": ["run", "-t", "p", "i-deadbeef", "true"],
    "cp": ["cp", "p", "SOURCE", "i-deadbeef:/tmp/"],
    "forward": ["forward", "p", "i-deadbeef:22"],
}
Place = tuple[str, int]


class Api:
    """Sessions whose stream refuses each connection."""

    def __init__(self) -> None:
        self.open: set[str] = set()
        self.started = 0

    def prepare(self) -> None:
        """Do nothing."""

    def start_session(self, *_: object, **__: object) -> StartedSession:
        """Open a session."""
        self.started += 1
        self.open.add(f"session-{self.started}")
        return StartedSession(f"session-{self.started}", "ws://127.0.0.1:9/", "token", "i-deadbeef")

    def stream_headers(self, url: str) -> list[tuple[str, str]]:
        """Return no headers."""
        return []

    def terminate_session(self, session_id: str) -> None:
        """End a session, perhaps for the second time."""
        self.open.discard(session_id)


class SignalAtLine:
    """Trace function that sends a signal when one line is reached for the first time after StartSession.

    Lines at which the event loop handles the signal, or nobody, do not count.

    Args:
        place: the line; None to record lines only.
        number: the signal.
    """

    def __init__(self, place: Place | None, number: int) -> None:
        self.places: dict[Place, None] = {}
        self._place = place
        self._number = number
        self._has_begun = False

    def __call__(self, frame: FrameType, event: str, argument: object) -> SignalAtLine | None:
        """See sys.settrace."""
        if not frame.f_code.co_filename.startswith(TRACED):
            return None
        self._has_begun |= frame.f_code is SessionStart.begin.__code__
        place = frame.f_code.co_filename, frame.f_lineno
        if event == "line" and self._has_begun and place not in self.places and self._would_raise():
            self.places[place] = None
            if place == self._place:
                signal.raise_signal(self._number)
        return self

    def _would_raise(self) -> bool:
        handler = signal.getsignal(self._number)
        return callable(handler) and getattr(handler, "__name__", "") != "_sighandler_noop"


class NoGuardian:
    """Guardian without a process, which a test with threads must not fork."""

    def __init__(self, terminate: Callable[[str], None]) -> None: ...

    def __enter__(self) -> NoGuardian:
        return self

    def __exit__(self, *_: object) -> None: ...

    def watched(self, start: Callable[[], StartedSession]) -> Callable[[], StartedSession]:
        """Return the same function."""
        return start

    def release(self, session_id: str) -> None:
        """Do nothing."""


@pytest.fixture
def run_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[list[str], SignalAtLine], Api]]:
    """Return a function that runs a command line under a trace function, and returns the sessions."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    trace = sys.gettrace()
    stream = StreamOptions(policy=ReconnectPolicy(opening_attempts=1))
    access = cast(Access, SimpleNamespace(provider=SimpleNamespace(credentials=lambda: None), region=lambda: "eu"))
    refused = RefusedDocuments(tmp_path, "AKIA", "eu", lambda: 0.0)
    patches: list[tuple[ModuleType, str, object]] = [
        (flags, "stream_options", lambda *_: stream),
        (instance, "supported_instance", lambda *_: InstanceFacts("Linux", "3.3.0.0")),
        (instance, "check_agent_version", lambda *_, **__: None),
        (session_open, "refused_documents", lambda *_: refused),
        (guardian, "Guardian", NoGuardian),
        (shutdown, "leave_quickly", lambda: None),
    ]
    for module, name, value in patches:
        monkeypatch.setattr(module, name, value)
    (tmp_path / "source").write_bytes(b"text")

    def run(words: list[str], tracer: SignalAtLine) -> Api:
        api = Api()
        opened = OpenTarget(access, "i-deadbeef", cast(SsmApi, api))
        monkeypatch.setattr(session_open, "open_target", lambda *_, **__: opened)
        monkeypatch.setattr(preparation, "open_target", lambda *_, **__: opened)
        monkeypatch.setattr(shutdown, "_raised", [])
        with open(os.devnull, "r+b") as null:
            env = Environment(null, null, io.StringIO(), {"AWS_CONFIG_FILE": os.devnull}, tmp_path)
            words = [str(tmp_path / "source") if word == "SOURCE" else word for word in words]
            with contextlib.suppress(KeyboardInterrupt, shutdown.SignalReceived):
                sys.settrace(tracer)
                try:
                    main(words, env)
                finally:
                    sys.settrace(trace)
                    for number, handler in handlers.items():
                        signal.signal(number, handler)
        return api

    yield run
    gc.enable()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of asyncio, interrupted at its start
@pytest.mark.parametrize(
    ("command", "number"),
    [
        pytest.param(command, number, id=f"{command}-{number.name}", marks=() if quick else pytest.mark.slow)
        for command in COMMANDS
        for number in (signal.SIGTERM, signal.SIGINT)
        for quick in [command in ("shell", "terminal") and number is signal.SIGTERM]
    ],
)
def test_a_signal_at_any_line_leaves_no_session(
    run_at: Callable[[list[str], SignalAtLine], Api], command: str, number: int
) -> None:
    recorder = SignalAtLine(None, number)
    api = run_at(COMMANDS[command], recorder)
    assert (api.started, api.open) == (1, set())
    left = [
        f"{Path(name).name}:{line}"
        for name, line in recorder.places
        if linecache.getline(name, line).strip() != "try:"  # a no-op, at which no signal is handled
        and run_at(COMMANDS[command], SignalAtLine((name, line), number)).open
    ]
    assert left == []
    assert len(recorder.places) > 20
