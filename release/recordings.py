"""Terminal recordings in the sandbox: ``python -m release.recordings DIRECTORY TERMTOSVG``.

Each scene gives an asciicast and an animated SVG. The first frame already shows the first command, and a browser
without animations shows the last frame.

Source: https://docs.asciinema.org/manual/asciicast/v2/
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pexpect

from aws_runas.sandbox.world import Sandbox, start_sandbox

COLUMNS = 88
PROMPT = "$ "
TYPING = 0.03  # seconds per key in the recording
READING = 1.2  # seconds before a line is typed, and before it is sent
LONGEST_WAIT = 3.0  # seconds for output
LAST_PICTURE = 4000  # milliseconds before the animation restarts
ABSENCE = 2.5  # seconds without a network
DEADLINE = 30  # seconds for each answer
THEME = "gjm8"
VIEW = "#screen_view"  # the element that moves from frame to frame in the SVG


@dataclass(frozen=True, slots=True)
class Event:
    """One piece of terminal output.

    Args:
        at: seconds since the start of the shell.
        text: the output.
        typed: True for the echo of a key.
    """

    at: float
    text: str
    typed: bool = False


class Recorder:
    """A shell on a terminal whose output is recorded with its times."""

    def __init__(self, environ: dict[str, str], rows: int) -> None:
        self._typing = False
        self.events: list[Event] = []
        settings = environ | {"PS1": PROMPT, "INPUTRC": "/dev/null", "TERM": "xterm-256color", "PATH": _path(environ)}
        self._shell = pexpect.spawn(
            "bash", ["--norc", "--noprofile", "-i"], env=settings, dimensions=(rows, COLUMNS), encoding="utf-8",
            timeout=DEADLINE,
        )  # fmt: skip
        self._shell.logfile_read = self  # receives the terminal's output
        self._shell.expect_exact(PROMPT)

    def write(self, text: str) -> None:
        """Record terminal output."""
        self.events.append(Event(time.monotonic(), text, typed=self._typing))

    def flush(self) -> None:
        """Do nothing: every write is recorded at once."""

    def type(self, line: str, answer: str = PROMPT) -> None:
        """Type a line, and wait for its answer."""
        self._typing = True
        for key in line:
            self._shell.send(key)
            self._shell.expect_exact(key)
        self._typing = False
        self._shell.send("\r")
        self._shell.expect_exact(answer)

    def expect(self, text: str) -> None:
        """Wait until the terminal has shown a text."""
        self._shell.expect_exact(text)

    def pause(self, seconds: float) -> None:
        """Wait while the terminal continues."""
        self._shell.expect([pexpect.TIMEOUT], timeout=seconds)

    def close(self) -> None:
        """End the shell."""
        self._shell.close(force=True)


def credentials(recorder: Recorder, sandbox: Sandbox) -> None:
    """Play a program with a role that requires an MFA code, and a second one that asks for nothing."""
    show = "aws sts get-caller-identity --query Arn --output text"
    recorder.type(f"aws-runas my-profile-mfa {show}", "MFA code for arn:aws:iam::123456789012:mfa/sandbox-user: ")
    recorder.type(sandbox.mfa_code())
    recorder.type(f"aws-runas my-profile-mfa {show}")


def shell(recorder: Recorder, sandbox: Sandbox) -> None:
    """Play a shell on an instance whose connection is cut during output and refused by the service for a while."""
    recorder.type("aws-runas shell my-profile i-deadbeef", "# ")
    recorder.type("for i in 1 2 3 4 5 6; do echo line $i; sleep 1; done", "line 3")
    sandbox.set_faults(resume_fails="InternalServerError")
    sandbox.cut(abort=True)
    recorder.expect("connection lost")
    recorder.pause(ABSENCE)
    sandbox.set_faults(resume_fails="")
    recorder.expect("connection regained")
    recorder.expect("line 6")
    recorder.expect("# ")
    recorder.type("exit")


Scene = Callable[[Recorder, Sandbox], None]
SCENES: dict[str, tuple[Scene, int]] = {"credentials": (credentials, 7), "shell": (shell, 15)}  # and its number of rows


def record(name: str) -> str:
    """Play a scene in a new sandbox and return it as an asciicast."""
    scene, rows = SCENES[name]
    with TemporaryDirectory() as home, start_sandbox() as sandbox:
        recorder = Recorder(sandbox.environ | {"RUNAS_CACHE_DIR": f"{home}/cache"}, rows)
        try:
            scene(recorder, sandbox)
        finally:
            recorder.close()
    header = {"version": 2, "width": COLUMNS, "height": rows, "title": f"aws-runas: {name}"}
    lines = [header, *([round(at, 3), "o", text] for at, text in paced(recorder.events))]
    return "".join(json.dumps(line) + "\n" for line in lines)


def paced(events: Sequence[Event]) -> list[tuple[float, str]]:
    """Return events with the times of the recording.

    The first line is visible from the start. Keys have even intervals, and each line is visible before it is sent.
    """
    found = [(0.0, "")]
    at, is_first = 0.0, True
    for before, event in zip([events[0], *events], events, strict=False):
        if is_first and (event.typed or not before.typed):
            pass
        elif event.typed and before.typed:
            at += TYPING
        elif event.typed or before.typed:
            at += READING
            is_first = False
        else:
            at += min(event.at - before.at, LONGEST_WAIT)
        if at == found[-1][0]:
            found[-1] = (at, found[-1][1] + event.text)
        else:
            found.append((at, event.text))
    return found


def with_still(svg: str) -> str:
    """Return an animated SVG that shows its last frame if animations are not supported."""
    moves = re.findall(r"translateY\(-?\d+px\)", svg)
    still = (
        f"{VIEW} {{transform: {moves[-1]};}} @media (prefers-reduced-motion: reduce) {{{VIEW} {{animation: none;}}}}"
    )
    return svg.replace("</style>", f"</style><style>{still}</style>", 1)


def render(cast: Path, termtosvg: str) -> None:
    """Draw an asciicast as an animated SVG in the same directory.

    Args:
        cast: its file.
        termtosvg: the program that draws it.
    """
    picture = cast.with_suffix(".svg")
    subprocess.run([termtosvg, "render", cast, picture, "-t", THEME, "-D", str(LAST_PICTURE)], check=True)
    picture.write_text(with_still(picture.read_text(encoding="utf-8")), encoding="utf-8")


def _path(environ: dict[str, str]) -> str:
    return f"{Path(sys.executable).parent}:{environ['PATH']}"


def main() -> None:
    """Write every scene to the named directory."""
    for name in SCENES:
        cast = Path(sys.argv[1]) / f"{name}.cast"
        cast.write_text(record(name), encoding="utf-8")
        render(cast, sys.argv[2])


if __name__ == "__main__":
    main()
