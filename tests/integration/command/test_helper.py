"""The helper on a pseudo-terminal of this machine: real shells, any bytes, signals, statuses, repeated messages."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from aws_runas.ssm.command.bootstrap import BootstrapState
from aws_runas.ssm.command.frames import CreditReceived, HelloReceived, PythonMissing
from aws_runas.ssm.command.helper import CREDIT, HELPER
from aws_runas.ssm.command.request import CommandRequest
from aws_runas.ssm.command.shell_helper import SHELL_CREDIT, missing_tools, shell_helper_lines
from tests.integration.command.local_pty import LocalSession, Ran, local_session, once
from tests.support import requires
from tests.support.pythons import installed_pythons

SHELLS = ("dash", "bash", "bash -l", "zsh", "fish", "tcsh", "mksh", "busybox ash")
CONTROL = b"\x00\x03\x04\x11\x13\x1a\x1c\x7f\xff\r\n"
AWKWARD = Random(1).randbytes(300_000) + CONTROL + b"\xef\xbf\xbd" * 100 + b"\xff\xfe\xfd"
TOOLS = (
    "sh",
    "dash",
    "stty",
    "dd",
    "base64",
    "cat",
    "head",
    "sleep",
    "env",
    "seq",
    "tr",
    "wc",
    "id",
    "openssl",
    "printf",
)


def _words(shell: str) -> list[str]:
    name, *rest = shell.split()
    return [requires.program(name), *rest]


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _wait_gone(*pids: int) -> bool:
    until = time.monotonic() + 20
    while not all(map(_gone, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    return all(map(_gone, pids))


@pytest.fixture
def busybox_path(tmp_path: Path) -> str:
    """A PATH with the applets of busybox and nothing else."""
    busybox = requires.program("busybox")
    for name in subprocess.check_output([busybox, "--list"], text=True).split():
        (tmp_path / name).symlink_to(busybox)
    return str(tmp_path)


@pytest.fixture
def coreutils_path(tmp_path: Path) -> str:
    """A PATH with dash and the coreutils that the shell helper needs, without Python."""
    for name in TOOLS:
        if found := shutil.which(name):
            (tmp_path / name).symlink_to(found)
    return str(tmp_path)


@pytest.mark.parametrize("shell", SHELLS)
def test_any_bytes_pass_both_ways_from_every_login_shell(shell: str) -> None:
    with local_session(*_words(shell)) as session:
        hello = session.start()
        assert isinstance(hello, HelloReceived)
        assert (hello.uid, hello.home) == (os.getuid(), os.path.expanduser("~"))
        ran = session.run(CommandRequest("tee /dev/stderr; exit 7", wants_input=True), AWKWARD)
    assert ran.stdout == AWKWARD
    assert ran.stderr == AWKWARD
    assert ran.status == 7


@pytest.mark.parametrize(("version", "python"), installed_pythons().items())
def test_the_helper_runs_with_every_python_of_this_machine(version: str, python: str, tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(python)
    with local_session(requires.program("dash"), environ={"PATH": f"{tmp_path}:{os.environ['PATH']}"}) as session:
        hello = session.start()
        assert isinstance(hello, HelloReceived)
        assert hello.python.startswith(version + ".")
        ran = session.run(CommandRequest("cat; kill -9 $$", wants_input=True), AWKWARD)
    assert (ran.stdout, ran.status) == (AWKWARD, -9)


def test_the_helper_is_python_3_6_and_needs_the_standard_library_only() -> None:
    tree = ast.parse(HELPER, feature_version=(3, 6))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported <= set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("text", "status"),
    [("exit 0", 0), ("exit 255", 255), ("kill -TERM $$", -15), ("nosuchprogram", 127), ("/etc/passwd", 126)],
)
def test_the_status_is_the_commands_own(text: str, status: int) -> None:
    with local_session(requires.program("dash")) as session:
        session.start()
        assert session.run(CommandRequest(text)).status == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_reaches_the_command_as_itself(number: signal.Signals) -> None:
    text = f"trap 'echo caught; exit 3' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    with local_session(requires.program("dash")) as session:
        session.start()
        ran = session.run(CommandRequest(text), at=once(b"ready", lambda s: s.send(s.encoder.signal(number))))
    assert (ran.stdout, ran.status) == (b"ready\ncaught\n", 3)


def test_a_signal_passes_input_that_nobody_reads() -> None:
    with local_session(requires.program("dash")) as session:
        session.start()
        action = once(b"ready", lambda s: s.send(s.encoder.signal(signal.SIGTERM)))
        ran = session.run(CommandRequest("echo ready; exec sleep 600", wants_input=True), b"x" * (2 << 20), at=action)
    assert ran.status == -signal.SIGTERM


def test_input_stops_when_the_command_has_closed_it_and_the_credit_is_never_exceeded() -> None:
    with local_session(requires.program("dash")) as session:
        session.start()
        ran = session.run(
            CommandRequest("head -c 10; exec <&-; echo; echo closed", wants_input=True), b"0123456789" * CREDIT
        )
    assert ran.stdout == b"0123456789\nclosed\n"
    assert ran.input_closed
    assert ran.status == 0


def test_credit_comes_back_in_large_pieces() -> None:
    """Each message from the agent costs an acknowledgement, so a credit for every frame would halve the rate."""
    with local_session(requires.program("dash")) as session:
        session.start()
        ran = session.run(CommandRequest("cat >/dev/null", wants_input=True), bytes(1 << 20))
    assert ran.status == 0
    assert 1 <= sum(isinstance(event, CreditReceived) for event in ran.events) <= 16


def test_both_output_streams_flow_when_both_are_busy() -> None:
    text = "seq 40000 & seq 50000 90000 >&2; wait"
    with local_session(requires.program("dash")) as session:
        session.start()
        ran = session.run(CommandRequest(text))
    assert ran.stdout == b"".join(b"%d\n" % n for n in range(1, 40001))
    assert ran.stderr == b"".join(b"%d\n" % n for n in range(50000, 90001))
    assert ran.status == 0


@pytest.mark.parametrize("python", [True, False], ids=["python", "shell"])
def test_a_message_that_is_executed_twice_changes_nothing(python: bool, coreutils_path: str) -> None:
    """Protocol 12.16: every message but line 1 is delivered twice."""
    environ = {} if python else {"PATH": coreutils_path}
    data = AWKWARD[-40_000:]
    with local_session(
        requires.program("dash"), environ=environ, deliver=lambda message: (message, message)
    ) as session:
        hello = session.start()
        request = CommandRequest("cat; exit 5", wants_input=True)
        if isinstance(hello, PythonMissing):
            session.send(*shell_helper_lines(session.bootstrap, request, hello.tools))
            ran = session.follow(data, True, credit=0, limit=SHELL_CREDIT, ends=2)
        else:
            ran = session.run(request, data)
    assert isinstance(hello, HelloReceived) is python
    assert (ran.stdout, ran.status) == (data, 5)


def test_a_user_that_cannot_be_had_is_an_error_with_the_programs_own_words() -> None:
    requires.program("sudo")
    with local_session(requires.program("dash")) as session:
        session.start()
        ran = session.run(CommandRequest("true", user="no-such-user"))
    assert [error.kind for error in ran.errors] == ["check"]
    assert "no-such-user" in ran.errors[0].text


def test_directory_and_variables_are_the_commands(tmp_path: Path) -> None:
    with local_session(requires.program("dash")) as session:
        session.start()
        request = CommandRequest('pwd; printf %s "$A"', cwd=str(tmp_path), env={"A": "it's \udcff {{x}}\n"})
        ran = session.run(request)
    assert ran.stdout == f"{tmp_path}\nit's ".encode() + b"\xff {{x}}\n"


def test_a_time_limit_ends_with_term_and_then_kill() -> None:
    text = "trap 'echo term' TERM; echo $$; while :; do sleep 0.05; done"
    with local_session(requires.program("dash")) as session:
        session.start()
        ran = session.run(CommandRequest(text, timeout=0.2, kill_after=0.2))
    assert ran.stdout.endswith(b"term\n")
    assert [error.kind for error in ran.errors] == ["timeout"]
    assert ran.status == -signal.SIGKILL


def _pids(ran: Ran) -> list[int]:
    return [int(word) for word in ran.stdout.split()]


@pytest.mark.parametrize("how", ["end frame", "hang-up", "helper killed"])
def test_nothing_of_the_command_is_left_when_the_session_is_gone(how: str) -> None:
    """The command and its background child ignore HUP; the grace period ends in KILL."""
    text = "trap '' HUP; sleep 600 & echo $$ $!; while :; do sleep 0.05; done"
    left: list[int] = []
    with local_session(requires.program("dash")) as session:
        session.start()
        session.send(*session.encoder.request(CommandRequest(text).fields(with_script=True)))
        ran = Ran()
        until = time.monotonic() + 20
        while len(_pids(ran)) < 2:
            assert time.monotonic() < until
            session.turn()
            for event in session.events:
                ran.stdout += getattr(event, "data", b"")
            session.events.clear()
        left = _pids(ran)
        if how == "end frame":
            session.send(session.encoder.end())
            while not all(map(_gone, left)):
                session.turn()
        elif how == "helper killed":
            os.kill(session.pid, signal.SIGKILL)  # exec: the shell, then sh, then the helper have one process
    assert _wait_gone(*left)


@pytest.mark.parametrize("shell", ["busybox ash", "dash", "bash", "mksh"])
def test_without_python_the_shell_helper_runs(shell: str, busybox_path: str) -> None:
    words = _words(shell)
    with local_session(*words, environ={"PATH": busybox_path}) as session:
        missing = session.start()
        assert isinstance(missing, PythonMissing)
        assert missing_tools(missing.tools) == []
        request = CommandRequest('cat; printf "%s" "$A" >&2; exit 7', wants_input=True, env={"A": "it's\n"})
        session.send(*shell_helper_lines(session.bootstrap, request, missing.tools))
        ran = session.follow(AWKWARD, True, credit=0, limit=SHELL_CREDIT, ends=2)
    assert (ran.stdout, ran.stderr, ran.status) == (AWKWARD, b"it's\n", 7)


def _as_sh(shell: str, times: int = 1) -> Callable[[bytes], tuple[bytes, ...]]:
    """Deliver messages to an instance whose /bin/sh is another shell, each so many times but for line 1."""
    started = f"exec {' '.join(_words(shell))} -c".encode()

    def deliver(message: bytes) -> tuple[bytes, ...]:
        changed = message.replace(b"exec /bin/sh -c", started)
        return (changed,) * (times if changed == message else 1)

    return deliver


@pytest.mark.parametrize("shell", ["bash", "bash --posix", "busybox sh"])
@pytest.mark.parametrize("data", [AWKWARD[-60_000:], b""], ids=["any bytes", "nothing"])
@pytest.mark.parametrize("times", [1, 2], ids=["once", "twice"])
def test_without_python_any_shell_may_be_sh(shell: str, data: bytes, times: int, busybox_path: str) -> None:
    """On RHEL and Amazon Linux it is bash, whose read takes more from a terminal than the line.

    bash and busybox write a long line in pieces: frames of both outputs and credits must not come between them.
    """
    environ = {"PATH": busybox_path}
    with local_session(requires.program("dash"), environ=environ, deliver=_as_sh(shell, times)) as session:
        missing = session.start()
        assert isinstance(missing, PythonMissing)
        request = CommandRequest("tee /dev/stderr; exit 7", wants_input=True)
        session.send(*shell_helper_lines(session.bootstrap, request, missing.tools))
        ran = session.follow(data, True, credit=0, limit=SHELL_CREDIT, ends=2)
    assert (ran.stdout, ran.stderr, ran.status) == (data, data, 7)


@pytest.mark.parametrize("shell", ["bash", "mksh"])
def test_without_python_a_sh_that_reads_ahead_is_refused_before_input_is_damaged(shell: str, busybox_path: str) -> None:
    """A bash before 4.0 has no mapfile, and ksh has nothing like it."""
    started = f"exec {requires.program(shell)} -c '{'enable -n mapfile;' if shell == 'bash' else ''}'".encode()

    def deliver(message: bytes) -> tuple[bytes]:
        return (message.replace(b"exec /bin/sh -c ", started),)

    for wants_input, errors in ((True, ["shell"]), (False, [])):
        with local_session(requires.program("dash"), environ={"PATH": busybox_path}, deliver=deliver) as session:
            missing = session.start()
            assert isinstance(missing, PythonMissing)
            request = CommandRequest("echo out; exit 7", wants_input=wants_input)
            session.send(*shell_helper_lines(session.bootstrap, request, missing.tools))
            ran = session.follow(b"", False, ends=2)
        assert [error.kind for error in ran.errors] == errors
        assert (ran.stdout, ran.status) == ((b"", None) if wants_input else (b"out\n", 7))


@pytest.mark.parametrize("shell", ["busybox ash", "dash", "bash", "sh=bash"])
def test_without_python_a_command_that_ends_early_is_over_although_input_is_not(shell: str, busybox_path: str) -> None:
    words, deliver = (_words("dash"), _as_sh("bash")) if shell == "sh=bash" else (_words(shell), _as_sh("/bin/sh"))
    with local_session(*words, environ={"PATH": busybox_path}, deliver=deliver) as session:
        missing = session.start()
        assert isinstance(missing, PythonMissing)
        request = CommandRequest("echo out; echo err >&2; exit 7", wants_input=True)
        session.send(*shell_helper_lines(session.bootstrap, request, missing.tools))
        ran = session.follow(b"", False, credit=0, ends=2)  # no end of input is sent
    assert (ran.stdout, ran.stderr, ran.status) == (b"out\n", b"err\n", 7)


def test_the_shell_helper_with_openssl_instead_of_base64(coreutils_path: str) -> None:
    requires.program("openssl")
    (Path(coreutils_path) / "base64").unlink()
    with local_session(requires.program("dash"), environ={"PATH": coreutils_path}) as session:
        missing = session.start()
        assert isinstance(missing, PythonMissing)
        request = CommandRequest("cat", wants_input=True)
        session.send(*shell_helper_lines(session.bootstrap, request, missing.tools))
        ran = session.follow(AWKWARD[:50_000], True, credit=0, limit=SHELL_CREDIT, ends=2)
    assert (ran.stdout, ran.status) == (AWKWARD[:50_000], 0)


def test_what_is_missing_for_the_shell_helper_is_named(coreutils_path: str) -> None:
    for name in ("base64", "openssl", "dd"):
        (Path(coreutils_path) / name).unlink(missing_ok=True)
    with local_session(requires.program("dash"), environ={"PATH": coreutils_path}) as session:
        missing = session.start()
    assert isinstance(missing, PythonMissing)
    assert missing_tools(missing.tools) == ["dd", "base64 or openssl"]


PROFILES = {
    "a banner": "echo welcome; sleep 0.3; exec dash",
    "another shell": "exec bash --norc",
    "flushes its input": "sleep 0.2; read -t 1 -n 100000 x; exec bash --norc",
    "a shell inside": "bash --norc; echo left; sleep 600",
}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_the_bootstrap_survives_what_a_shell_profile_does(profile: str) -> None:
    with local_session(requires.program("bash"), "-c", f"echo profile; {profile}") as session:
        assert isinstance(session.start(), HelloReceived)
        assert session.run(CommandRequest("echo $((6*7))")).stdout == b"42\n"


def _failure(session: LocalSession) -> str:
    while session.bootstrap.state is not BootstrapState.FAILED:
        session.turn()
    assert session.bootstrap.failure is not None
    return session.bootstrap.failure.reason


def test_a_password_prompt_is_an_error_at_once() -> None:
    with local_session(requires.program("dash"), "-c", 'printf "[sudo] password for me: "; sleep 600') as session:
        assert "password" in _failure(session)


@pytest.mark.slow
def test_a_shell_that_never_answers_is_tried_three_times() -> None:
    typed: list[bytes] = []

    def deliver(message: bytes) -> tuple[bytes, ...]:
        typed.append(message)
        return (message,)

    with local_session(requires.program("dash"), "-c", "echo no shell here; sleep 600", deliver=deliver) as session:
        assert "did not answer" in _failure(session)
        assert session.bootstrap.failure is not None
        assert b"no shell here" in session.bootstrap.failure.output
    assert len(set(typed)) == len(typed) == 3  # each with a nonce of its own
