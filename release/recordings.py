"""Records what a user sees in a terminal, in the sandbox, as asciicasts: ``make recordings`` renders them.

Source: https://docs.asciinema.org/manual/asciicast/v2/
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pexpect

from aws_runas.sandbox.world import Sandbox, start_sandbox

COLUMNS, ROWS = 88, 15
PROMPT = "$ "
TYPING = 0.04  # seconds between two keys
PAUSE = 1.0  # seconds after a command's answer
DEADLINE = 30  # seconds for each answer


class Recorder:
    """A shell on a terminal whose output is kept with its times."""

    def __init__(self, environ: dict[str, str]) -> None:
        self._began = time.monotonic()
        self.events: list[tuple[float, str]] = []
        settings = environ | {"PS1": PROMPT, "INPUTRC": "/dev/null", "TERM": "xterm-256color", "PATH": _path(environ)}
        self._shell = pexpect.spawn(
            "bash", ["--norc", "--noprofile", "-i"], env=settings, dimensions=(ROWS, COLUMNS), encoding="utf-8",
            timeout=DEADLINE,
        )  # fmt: skip
        self._shell.logfile_read = self  # what the terminal shows
        self._shell.expect_exact(PROMPT)

    def write(self, text: str) -> None:
        """Take what the terminal showed."""
        self.events.append((time.monotonic() - self._began, text))

    def flush(self) -> None:
        """Do nothing: every write is kept at once."""

    def type(self, line: str, answer: str = PROMPT) -> None:
        """Type a line as a person does, and wait for its answer."""
        for key in line:
            self._shell.send(key)
            self._shell.expect_exact(key)
            time.sleep(TYPING)
        self._shell.send("\r")
        self._shell.expect_exact(answer)
        self.pause()

    def expect(self, text: str) -> None:
        """Wait until the terminal has shown a text."""
        self._shell.expect_exact(text)

    def pause(self, seconds: float = PAUSE) -> None:
        """Let the viewer read, while the terminal goes on."""
        self._shell.expect([pexpect.TIMEOUT], timeout=seconds)

    def close(self) -> None:
        """End the shell."""
        self._shell.close(force=True)


def credentials(recorder: Recorder, sandbox: Sandbox) -> None:
    """A program with a role that wants an MFA code, and the next one that asks for nothing."""
    show = "aws sts get-caller-identity --query Arn --output text"
    recorder.type(f"aws-runas my-profile-mfa {show}", "MFA code for arn:aws:iam::123456789012:mfa/sandbox-user: ")
    recorder.type(sandbox.mfa_code())
    recorder.type(f"aws-runas my-profile-mfa {show}")
    recorder.pause(2)


def shell(recorder: Recorder, sandbox: Sandbox) -> None:
    """A shell on an instance whose connection is cut while it prints."""
    recorder.type("aws-runas shell my-profile i-deadbeef", "# ")
    recorder.type("for i in 1 2 3 4 5 6; do echo line $i; sleep 1; done", "line 3")
    sandbox.cut(abort=True)
    recorder.expect("line 6")
    recorder.expect("# ")
    recorder.type("exit")
    recorder.pause(2)


SCENES: dict[str, Callable[[Recorder, Sandbox], None]] = {"credentials": credentials, "shell": shell}


def record(name: str) -> str:
    """Play a scene in a sandbox of its own and return it as an asciicast."""
    with TemporaryDirectory() as home, start_sandbox() as sandbox:
        recorder = Recorder(sandbox.environ | {"RUNAS_CACHE_DIR": f"{home}/cache"})
        try:
            began = recorder.events[-1][0] if recorder.events else 0.0
            SCENES[name](recorder, sandbox)
        finally:
            recorder.close()
    header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": f"aws-runas: {name}"}
    lines = [json.dumps(header)]
    lines += [json.dumps([round(max(at - began, 0.0), 3), "o", text]) for at, text in recorder.events]
    return "\n".join(lines) + "\n"


def _path(environ: dict[str, str]) -> str:
    return f"{Path(sys.executable).parent}:{environ['PATH']}"


def main() -> None:
    """Write every scene into the directory that is named."""
    for name in SCENES:
        (Path(sys.argv[1]) / f"{name}.cast").write_text(record(name), encoding="utf-8")


if __name__ == "__main__":
    main()
