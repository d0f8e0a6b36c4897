"""Each check that asks somebody, one test for each verdict; AWS is moto, time servers are ours."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from aws_runas.aws.ssm import ManagedNode
from aws_runas.aws.sts import CallerIdentity
from aws_runas.diagnosis import remote
from aws_runas.diagnosis.local import check_credentials
from aws_runas.diagnosis.remote import StsAnswer, check_ntp
from aws_runas.diagnosis.session import check_agent, check_known
from aws_runas.errors import TargetError
from tests.support.loopback import Quiet, serving
from tests.support.moto_world import MotoWorld

NOON = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def answer(sent: float, received: float) -> StsAnswer:
    return StsAnswer(
        CallerIdentity("1", "arn:x", "A", NOON), None, NOON.timestamp() + sent, NOON.timestamp() + received
    )


@pytest.mark.parametrize(
    ("sent", "received", "verdict"),
    [
        (0, 0.1, "ok"),
        (-1, 30, "ok"),  # a slow answer says nothing of the clock
        (170, 171, "ok"),
        (182, 183, "warn"),
        (-183, -182, "warn"),
        (302, 303, "fail"),
        (-302, -301, "fail"),
        (86400, 86401, "fail"),
    ],
)
def test_the_clock_is_judged_by_the_time_of_the_answer(sent: float, received: float, verdict: str) -> None:
    found = remote.check_clock(answer(sent, received))
    assert found.verdict == verdict
    assert bool(found.advice) == (verdict != "ok")


def test_an_answer_without_a_time_is_warned_of() -> None:
    found = remote.check_clock(StsAnswer(CallerIdentity("1", "arn:x", "A"), None, 0, 0))
    assert found.verdict == "warn"


def test_sts_that_answers_is_ok_and_so_are_clock_and_identity(world: MotoWorld) -> None:
    access = world.access()
    got = remote.ask_sts(access, time.time)
    assert remote.check_sts(got, world.url).verdict == "ok"
    assert remote.check_clock(got).verdict == "ok"
    found = remote.check_identity(access, got)
    assert found.verdict == "ok"
    assert found.message.startswith("arn:aws:")


@pytest.mark.parametrize(("program", "verdict"), [("false", "fail"), ("good", "ok")])
def test_a_source_that_gives_nothing_fails_before_sts_is_asked(world: MotoWorld, program: str, verdict: str) -> None:
    answer = '{"Version": 1, "AccessKeyId": "AKIA1", "SecretAccessKey": "x"}'
    script = world.home / "good"
    script.write_text(f"#!/bin/sh\necho '{answer}'\n")
    script.chmod(0o755)
    (world.home / ".aws").mkdir()
    process = script if program == "good" else program
    (world.home / ".aws" / "config").write_text(f"[profile p]\ncredential_process = {process}\n")
    access = world.access("p")
    found = remote.check_source(access, check_credentials(access.profile))
    assert (found.check, found.verdict) == ("credentials", verdict)
    assert world.calls == []


def test_a_clock_that_is_wrong_is_found_out_by_a_real_answer(world: MotoWorld) -> None:
    got = remote.ask_sts(world.access(), lambda: time.time() + 400)
    assert remote.check_clock(got).verdict == "fail"


def test_sts_that_cannot_be_reached_fails(world: MotoWorld) -> None:
    environ = world.environ(AWS_ENDPOINT_URL="http://127.0.0.1:9", AWS_MAX_ATTEMPTS="1")
    got = remote.ask_sts(world.access(environ=environ), time.time)
    found = remote.check_sts(got, "x")
    assert (found.verdict, found.status) == ("fail", 4)
    assert remote.check_clock(got).verdict == "warn"


def test_a_refused_identity_fails_but_sts_is_reached(world: MotoWorld) -> None:
    with serving(Refusing) as url:
        got = remote.ask_sts(world.access(environ=world.environ(AWS_ENDPOINT_URL=url)), time.time)
    assert remote.check_sts(got, url).verdict == "ok"
    assert remote.check_clock(got).verdict == "ok"
    found = remote.check_identity(world.access(), got)
    assert (found.verdict, found.status) == ("fail", 4)


class Refusing(Quiet):
    """An STS that knows no key."""

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        self.answer(
            403,
            b"<ErrorResponse><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code>"
            b"<Message>no</Message></Error></ErrorResponse>",
        )


@contextlib.contextmanager
def time_server(reply: Callable[[], bytes | None]) -> Iterator[str]:
    """A time server on loopback that gives one answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))

        def serve() -> None:
            question, address = server.recvfrom(512)
            packet = reply()
            if len(question) == 48 and packet is not None:
                server.sendto(packet, address)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join(10)


def packet(offset: float, *, stratum: int = 2, mode: int = 4) -> bytes:
    there = time.time() + offset + 2_208_988_800
    return struct.pack("!BB38xII", 0x20 | mode, stratum, int(there) % (1 << 32), int(there % 1 * (1 << 32)))


@pytest.mark.parametrize(
    ("offset", "verdict", "words"),
    [(0, "ok", "in step"), (-200, "warn", "ahead of"), (200, "warn", "behind"), (-4000, "fail", "ahead of")],
)
def test_the_clock_is_judged_by_a_time_server(offset: float, verdict: str, words: str) -> None:
    with time_server(lambda: packet(offset)) as server:
        found = check_ntp(server)
    assert found.verdict == verdict
    assert words in found.message


@pytest.mark.parametrize(("length", "stratum", "mode"), [(5, 2, 4), (48, 0, 4), (48, 2, 3)])
def test_what_is_no_time_server_is_warned_of(length: int, stratum: int, mode: int) -> None:
    with time_server(lambda: packet(0, stratum=stratum, mode=mode)[:length]) as server:
        assert check_ntp(server).verdict == "warn"


def test_a_silent_time_server_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aws_runas.diagnosis.remote.TIMEOUT", 0.1)
    with time_server(lambda: None) as server:
        found = check_ntp(server)
    assert (found.verdict, found.message) == ("warn", f"{server} cannot be asked: no answer")


def node(ping_status: str = "Online", version: str = "3.3.0.0") -> ManagedNode:
    return ManagedNode("i-deadbeef", ping_status, version, NOON)


def test_a_node_that_is_online_is_ok(world: MotoWorld) -> None:
    assert check_known("i-deadbeef", node(), world.access()).verdict == "ok"


@pytest.mark.parametrize(("ping_status", "advice"), [("ConnectionLost", "not running"), ("Inactive", "not reported")])
def test_a_node_that_is_not_online_fails(world: MotoWorld, ping_status: str, advice: str) -> None:
    found = check_known("i-deadbeef", node(ping_status), world.access())
    assert (found.verdict, found.status) == ("fail", 5)
    assert advice in found.advice


def test_what_cannot_be_asked_is_warned_of(world: MotoWorld) -> None:
    found = check_known("i-deadbeef", TargetError("denied", code="access-denied"), world.access())
    assert found.verdict == "warn"


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("3.3.0.0", "ok"), ("3.0.196.0", "warn"), ("2.3.672.0", "warn"), ("2.3.600.0", "warn"), ("", "warn")],
)
def test_the_agent_is_judged_by_its_version(version: str, verdict: str) -> None:
    assert check_agent(node(version=version)).verdict == verdict
