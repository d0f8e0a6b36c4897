"""The client's end for tests: a handler that writes down what happens, and a service that answers from a list."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from aws_runas.aws.session import StartedSession
from aws_runas.errors import AwsRunasError
from aws_runas.ssm.core.events import SessionStarted
from aws_runas.ssm.core.settings import ChannelSettings
from aws_runas.ssm.transport.data_channel import SessionChannel, StreamOptions, open_data_channel
from aws_runas.ssm.transport.dialling import Dialling
from aws_runas.ssm.transport.resumer import ReconnectPolicy

SWIFT = ReconnectPolicy(first_delay=0.01, longest_delay=0.05)


@dataclass
class ListedService:
    """Implements transport.interfaces.SessionService. `resumes` are taken from the front; the last one stays."""

    resumes: list[tuple[str, str] | AwsRunasError] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    key: Callable[[str, dict[str, str]], tuple[bytes, bytes]] | None = None
    active: bool | None = True
    waits: bool = False
    calls: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.threads.add(threading.get_ident())

    def resume_session(self, session_id: str) -> tuple[str, str]:
        self._called("resume")
        answer = self.resumes.pop(0) if len(self.resumes) > 1 else self.resumes[0]
        if isinstance(answer, AwsRunasError):
            raise answer
        return answer

    def prepare_resume(self) -> None:
        self._called("prepare")

    def terminate_session(self, session_id: str) -> None:
        self._called("terminate")

    def session_is_active(self, session_id: str) -> bool | None:
        self._called("describe")
        return self.active

    def agent_waits(self, target: str, version: str) -> bool:
        self._called(f"waits {version}")
        return self.waits

    def stream_headers(self, url: str) -> list[tuple[str, str]]:
        self._called("sign")
        return [(name, value.replace("{url}", url)) for name, value in self.headers]

    def data_key(self, kms_key_id: str, encryption_context: dict[str, str]) -> tuple[bytes, bytes]:
        self._called("key")
        assert self.key is not None
        return self.key(kms_key_id, encryption_context)

    def renew_credentials(self) -> None:
        self._called("renew")


class Recorder:
    """Implements handler.SessionHandler."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.started: SessionStarted | None = None
        self.output = b""
        self.error_output = b""
        self.exit_code: int | None = None
        self.lost: list[str] = []
        self.regained = 0
        self.ended = False
        self.error: Exception | None = None
        self.closing_words = ""
        self.flags: list[int] = []

    def session_started(self, event: SessionStarted) -> None:
        self.started = event
        self.changed.set()

    def data_received(self, data: bytes, payload_type: int) -> None:
        if payload_type == 11:
            self.error_output += data
        else:
            self.output += data
        self.changed.set()

    def exit_code_received(self, exit_code: int) -> None:
        self.exit_code = exit_code

    def flag_received(self, flag: int) -> None:
        self.flags.append(flag)

    def writable(self) -> None:
        self.changed.set()

    def connection_lost(self, reason: str) -> None:
        self.lost.append(reason)
        self.changed.set()

    def connection_regained(self, seconds: float) -> None:
        self.regained += 1
        self.changed.set()

    def session_ended(self, error: Exception | None, output: str) -> None:
        assert not self.ended, "session_ended is the last call, made once"
        self.ended, self.error, self.closing_words = True, error, output
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something to be so."""
        async with asyncio.timeout(15):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


async def connect(
    url: str,
    service: ListedService,
    *,
    settings: ChannelSettings | None = None,
    dialling: Dialling | None = None,
    policy: ReconnectPolicy = SWIFT,
    session_id: str = "me-0123",
    target: str = "i-0123456789abcdef0",
) -> tuple[SessionChannel, Recorder]:
    """Open a session's channel with a Recorder on it."""
    recorder = Recorder()
    options = StreamOptions(settings or ChannelSettings(), dialling or Dialling(environ={}), policy)
    started = StartedSession(session_id, url, "token-0", target)
    channel = await open_data_channel(started, lambda _: recorder, service=service, options=options)
    return channel, recorder


async def send_all(channel: SessionChannel, recorder: Recorder, data: bytes) -> None:
    """Write everything, as room comes up."""
    position = 0
    while position < len(data):
        room = channel.send_capacity()
        if not room:
            recorder.changed.clear()
            async with asyncio.timeout(20):
                await recorder.changed.wait()
            continue
        channel.write(data[position : position + room])
        position += room
