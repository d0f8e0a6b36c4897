"""Errors whose fix no other test asserts: each is provoked, and its hint compared."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from aws_runas.aws.errors import translate
from aws_runas.cli import app
from aws_runas.cli.commands import ecr, sessions, ssh
from aws_runas.cli.commands.tunnels import client, install
from aws_runas.cli.environment import Environment
from aws_runas.cli.terminal import clipboard
from aws_runas.console import links
from aws_runas.credentials import federated_errors
from aws_runas.errors import AwsRunasError, CredentialsError, SessionError
from aws_runas.release import page_address
from aws_runas.run.program import find
from aws_runas.sandbox import world
from aws_runas.serve import startup
from aws_runas.ssm import api, session_start
from aws_runas.ssm.copy import streams
from aws_runas.ssm.copy.protocol import copy_error
from aws_runas.ssm.forward import listener
from aws_runas.ssm.forward.destination import LocalAddress
from aws_runas.ssm.transport import resumer
from aws_runas.ssm.transport.address import parse_stream_url
from aws_runas.ssm.transport.interfaces import HandshakeRefused
from aws_runas.tunnels.control import ControlServer


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), {"HOME": str(tmp_path)}, tmp_path, time.time)


def raised(call: Callable[[], object]) -> tuple[str, str | None]:
    with pytest.raises(AwsRunasError) as caught:
        call()
    return caught.value.code, caught.value.hint


def raise_in_call(service: str, operation: str, error: Exception) -> None:
    with translate(service, operation):
        raise error


def refusal(code: str, message: str = "no") -> AwsRunasError:
    """Return our error for an answer of AWS."""
    try:
        raise_in_call("sts", "AssumeRole", ClientError({"Error": {"Code": code, "Message": message}}, "AssumeRole"))
    except AwsRunasError as error:
        return error
    raise AssertionError


def sent() -> federated_errors.Sent:
    return federated_errors.Sent("SAML response", "arn:aws:iam::123456789012:role/a", cast(Any, None), ())


def hint_of(error: AwsRunasError) -> tuple[str, str | None]:
    return error.code, error.hint


TIMEOUT = ReadTimeoutError(endpoint_url="https://sts.us-east-1.amazonaws.com")
SIMPLE: list[tuple[str, str | None, Callable[[], object]]] = [
    ("throttled", "try again in a moment", lambda: raise_in_call("sts", "AssumeRole", refusal("Throttling"))),
    ("endpoint-timeout", "check network and proxy", lambda: raise_in_call("sts", "AssumeRole", TIMEOUT)),
    (
        "console-setting-invalid",
        "use granted or open-url",
        lambda: links.container_address("https://x", "a", None, "other"),
    ),
    ("releases-url-invalid", "write it as https://host/path, or leave it unset",
     lambda: page_address({"RUNAS_RELEASES_URL": "ftp://x"}, lambda: None)),
    ("stream-address-invalid", "check AWS_ENDPOINT_URL and --stream-host", lambda: parse_stream_url("http://x")),
    ("stream-address-invalid", "check AWS_ENDPOINT_URL and --stream-host", lambda: parse_stream_url("wss://x/ y")),
    ("stream-address-invalid", "check AWS_ENDPOINT_URL and --stream-host", lambda: parse_stream_url("wss://u@x/")),
    ("output-unwritable", "free some space, or redirect it to another file",
     lambda: streams._write_block(os.open("/dev/full", os.O_WRONLY), b"x")),
    ("sandbox-start-failed", "run it again with -v; if it fails again, report it",
     lambda: world._running(b"", cast(Any, SimpleNamespace(port=0)))),
    ("port-closed", "is sshd running there? (refused)",
     lambda: ssh._check_port(SessionError(f"{ssh.PORT_ERROR}: refused", code="x"), 22, "i-deadbeef")),
    ("port-closed", "does a server listen there? (refused)",
     lambda: ssh._check_port(SessionError(f"{ssh.PORT_ERROR}: refused", code="x"), 80, "i-deadbeef")),
    ("instance-connect-target", "leave --ec2ic out, and install the key in another way",
     lambda: ssh._push_keys(cast(Any, None), cast(Any, None), cast(Any, None), "mi-0123456789abcdef0")),
]  # fmt: skip


@pytest.mark.parametrize(("code", "hint", "call"), SIMPLE, ids=[f"{row[0]}-{at}" for at, row in enumerate(SIMPLE)])
def test_an_error_says_how_to_fix_it(code: str, hint: str | None, call: Callable[[], object]) -> None:
    assert raised(call) == (code, hint)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (copy_error("file-changed", "f"), ("file-changed", "run the same command again")),
        (copy_error("name-refused", "f"), ("name-refused", "copy it under another name, or check the instance")),
        (listener._bind_error(LocalAddress("127.0.0.1", 80), OSError(errno.EACCES, "no")),
         ("port-not-permitted", "ports below 1024 need root: choose another with -p")),
        (listener._bind_error(LocalAddress(path="/s"), OSError(errno.EACCES, "no")),
         ("port-not-permitted", "choose a directory of your own")),
        (listener._bind_error(LocalAddress("192.0.2.1", 80), OSError(errno.EADDRNOTAVAIL, "no")),
         ("address-unusable", "name an address of this machine and a directory that exists")),
        (federated_errors.explain(cast(CredentialsError, refusal("IDPRejectedClaim")), sent()),
         ("identity-rejected", "sign in again, or ask the provider's administrators")),
        (federated_errors.explain(cast(CredentialsError, refusal("IDPCommunicationError")), sent()),
         ("idp-unreachable", "try again in a moment")),
        (api._start_error(refusal("InvalidDocument"), "i-deadbeef", "Doc"),
         ("document-invalid", "see: aws ssm list-documents --filters Key=DocumentType,Values=Session")),
        (resumer._readable(HandshakeRefused(502, "bad"), "wss://x/"),
         ("stream-refused", "check the proxy and --stream-host")),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)  # fmt: skip
def test_the_error_for_an_answer_says_how_to_fix_it(error: AwsRunasError, expected: tuple[str, str]) -> None:
    assert hint_of(error) == expected


def test_a_text_without_a_clipboard_can_be_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipboard, "TERMINAL", "/nonexistent/tty")
    expected = ("clipboard-missing", "install wl-clipboard, xclip or xsel, or use --print")
    assert raised(lambda: clipboard.copy_text("x", {"PATH": ""})) == expected


def test_a_command_with_a_zero_byte_is_told_of_standard_input(env: Environment) -> None:
    assert app.main(["run", "dev", "i-deadbeef", "a\0b"], env) == 2
    said = cast(io.StringIO, env.stderr).getvalue()
    assert said == "aws-runas: the command has a zero byte; send binary data on standard input\n"


def test_sessions_of_others_need_a_yes(env: Environment) -> None:
    other = SimpleNamespace(session_id="s-1", owner="ann")
    options = SimpleNamespace(yes=False)
    call = lambda: sessions._confirm(cast(Any, [other]), cast(Any, options), env)  # noqa: E731
    assert raised(call) == ("session-of-others", "use --yes")


def test_a_file_without_the_right_to_execute_is_named_with_the_command(tmp_path: Path) -> None:
    path = tmp_path / "a b"
    path.write_text("")
    assert raised(lambda: find(str(path), {})) == ("program-not-executable", f"chmod +x '{path}'")


def test_a_unit_that_cannot_be_written_blames_the_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    expected = ("tunnels-unit-unwritable", "correct the owner or the mode of the directory")
    assert raised(lambda: install._write(tmp_path / "file" / "unit", b"")) == expected


def test_a_second_tunnels_process_is_told_of_the_first(tmp_path: Path) -> None:
    async def second() -> None:
        first = ControlServer(tmp_path / "s", cast(Any, None))
        await first.start()
        try:
            await ControlServer(tmp_path / "s", cast(Any, None)).start()
        finally:
            await first.close()

    expected = ("tunnels-running", "see: aws-runas tunnels status; to end it: aws-runas tunnels down")
    assert raised(lambda: asyncio.run(second())) == expected


def test_privileges_that_stay_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from aws_runas.serve import privileges

    def keep(_user: object) -> None:
        raise OSError(errno.EPERM, "no")

    monkeypatch.setattr(privileges, "user_behind", lambda *_, **__: SimpleNamespace(name="ann"))
    monkeypatch.setattr(privileges, "drop", keep)
    monkeypatch.setattr(startup, "_bind", lambda _where: [])
    monkeypatch.setattr(startup, "_preload", lambda: None)
    where = cast(Any, SimpleNamespace(needs_root=False))
    assert raised(lambda: startup.start(where, {}, tmp_path)) == ("serve-privileges-kept", "use -p PORT without root")


@pytest.mark.parametrize(("body", "reason"), [("echo broken >&2", "broken"), ("exit 3", "exit status 3")])
def test_a_tunnels_process_that_ends_names_its_log(
    env: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, reason: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(program))
    with pytest.raises(SessionError) as caught:
        client._start_process(tmp_path / "control", [], env, lazy=False)
    assert caught.value.message == f"the tunnels process ended: {reason}"
    assert hint_of(caught.value) == ("tunnels-process-ended", f"see {tmp_path}/tunnels.log")


def test_a_container_client_that_fails_has_said_why(tmp_path: Path) -> None:
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\nexit 4\n")
    program.chmod(0o700)
    env = Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), {"PATH": "/nonexistent"}, tmp_path, time.time)
    token = cast(Any, SimpleNamespace(password="secret"))
    call = lambda: ecr._log_in("docker", [str(program), "login", "host"], token, env)  # noqa: E731
    assert raised(call) == ("container-client-failed", "see the output of docker above")


def test_an_agent_that_does_not_begin_may_be_overloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait() -> None:
        await session_start.wait_for_start(asyncio.get_running_loop().create_future())

    monkeypatch.setattr(session_start, "START_TIMEOUT", 0.0)
    expected = ("session-start-timeout", "see whether the instance is overloaded, and update its agent")
    assert raised(lambda: asyncio.run(wait())) == expected
