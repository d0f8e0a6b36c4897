"""Demonstration for ``make demo``: runs aws-runas in a sandbox and shows each command and its output."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence

from aws_runas.errors import AwsRunasError
from aws_runas.sandbox.terminal import Terminal, TerminalTimeout
from aws_runas.sandbox.world import Sandbox, start_sandbox

PORT = 8888
INSTANCE = "i-deadbeef"
STATUS_LINE = re.compile(r"\r?\x1b\[K[^\n\r]*|\^C")
PROGRAM = """\
import botocore.session

sts = botocore.session.get_session().create_client("sts")
print("I am", sts.get_caller_identity()["Arn"])
"""


class StepFailed(Exception):  # noqa: N818
    """Failure of a step of the demonstration."""


def say(text: str = "") -> None:
    """Write a line of the transcript.

    Args:
        text: the line without its line break.
    """
    print(text, flush=True)  # noqa: T201


def show(text: str) -> None:
    """Write a part of a command's output at once.

    Args:
        text: the output as the command wrote it.
    """
    sys.stdout.write(text)
    sys.stdout.flush()


def show_lines(text: str) -> None:
    """Write output without status lines, which overwrite themselves.

    Args:
        text: the output as the command wrote it.
    """
    show(STATUS_LINE.sub("", text))


def type_command(words: Sequence[str], tail: str = "") -> None:
    """Write a command as a user types it.

    Args:
        words: the command and its arguments.
        tail: added unquoted.
    """
    say(f"$ {shlex.join(words)}{tail}")


def expect(condition: bool, what: str) -> None:
    """Fail the demonstration unless a condition holds.

    Args:
        condition: the condition that must be true.
        what: the message if it is false.

    Raises:
        StepFailed: the condition does not hold.
    """
    if not condition:
        raise StepFailed(what)


def credentials(sandbox: Sandbox) -> None:
    """Run a program with the credentials of a role that requires an MFA code."""
    say("1. A program with a role's credentials; the role requires an MFA code, typed at the prompt\n")
    home = sandbox.directory / "home"
    (home / "whoami.py").write_text(PROGRAM, encoding="utf-8")
    say("$ cat whoami.py")
    show(PROGRAM)
    words = ["aws-runas", "my-profile-mfa", "python", "whoami.py"]
    type_command(words)
    with Terminal(words, sandbox.environ, show, home) as terminal:
        terminal.wait_for(": ")
        terminal.keys(sandbox.mfa_code() + "\n")
        terminal.wait_for("assumed-role/my-role-mfa/")
        expect(terminal.finish() == 0, "the program did not end with status 0")
    say("\n   The session token is in the cache, so the next command asks for nothing\n")
    type_command(words)
    with Terminal(words, sandbox.environ, show, home) as terminal:
        terminal.wait_for("assumed-role/my-role-mfa/")
        expect(terminal.finish() == 0, "the program did not end with status 0")


def shell(sandbox: Sandbox) -> None:
    """Run a command in a shell on an instance."""
    say("\n2. A shell on an instance, through the session protocol\n")
    words = ["aws-runas", "shell", "my-profile", INSTANCE]
    type_command(words)
    with Terminal(words, sandbox.environ, show) as terminal:
        prompt = "# " if terminal_user_is_root() else "$ "
        terminal.wait_for(prompt)
        terminal.keys("echo six times seven is $((6 * 7))\r")
        terminal.wait_for("six times seven is 42")
        terminal.wait_for(prompt)
        terminal.keys("exit\r")
        status = terminal.finish()
    expect(status == 0, f"the shell ended with status {status}")


def terminal_user_is_root() -> bool:
    """Return True if shells of the sandbox's agent show the prompt of root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def program() -> str:
    """Return the command that the reader types for aws-runas: its name, or its shortest path if it is not in PATH."""
    if shutil.which("aws-runas"):
        return "aws-runas"
    beside = os.path.join(os.path.dirname(sys.executable), "aws-runas")
    return min(beside, os.path.relpath(beside), key=len)


def free_port() -> int:
    """Return PORT, or a port that the system picks if PORT is in use.

    Raises:
        StepFailed: no port is free.
    """
    for port in (PORT, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise StepFailed("no free port")


def forward(sandbox: Sandbox) -> None:
    """Send an HTTP request through a forwarded port."""
    say("\n3. A port of the instance on this machine\n")
    port = free_port()
    if port != PORT:
        say(f"   (port {PORT} is taken here, so the demonstration uses {port})")
    words = ["aws-runas", "forward", "-p", str(port), "my-profile", f"{INSTANCE}:9000"]
    type_command(words)
    with Terminal(words, sandbox.environ, show_lines) as terminal:
        terminal.wait_for(f":{port}")
        terminal.wait_for("\n")
        say("   (in another terminal)")
        url = f"http://127.0.0.1:{port}/"
        fetch = [
            ["curl", "--silent", "--show-error", "--max-time", "20", url],
            ["python", "-c", f"import urllib.request as u; print(u.urlopen({url!r}, timeout=20).read().decode())"],
        ]
        words = fetch[0] if shutil.which("curl", path=sandbox.environ["PATH"]) else fetch[1]
        type_command(words)
        answer = subprocess.run(
            words, env=sandbox.environ, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=30, check=False
        )
        show(answer.stdout.decode())
        expect(answer.returncode == 0 and b"hello from the sandbox" in answer.stdout, "no answer arrived")
        say("   (Ctrl-C in the first one)")
        terminal.keys("\x03")
        status = terminal.finish()
    expect(status in (0, 130), f"the forward ended with status {status}")


def main() -> int:
    """Run the demonstration and return 0, or 1 if a step failed."""
    try:
        type_command(["aws-runas", "sandbox"])
        with start_sandbox() as sandbox:
            say(f"   (a small AWS at {sandbox.endpoint}; the next steps run inside it)\n")
            for step in (credentials, shell, forward):
                step(sandbox)
    except (StepFailed, TerminalTimeout, AwsRunasError, OSError, subprocess.SubprocessError) as problem:
        say(f"\ndemo: failed: {problem}")
        return 1
    say(f"\nThat was all: the sandbox is gone. Your turn: {shlex.quote(program())} sandbox")
    return 0


if __name__ == "__main__":
    sys.exit(main())
