"""Standard streams that are closed or full: results that cannot be written are never a silent success."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aws_runas.sandbox.world import Sandbox

PROGRAM = f"{sys.executable} -m aws_runas"


def _shell(sandbox: Sandbox, line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f"{PROGRAM} {line}"],
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=True,
    )


@pytest.mark.parametrize("stream", [">&-", ">/dev/full"])
@pytest.mark.parametrize(
    "line",
    [
        "run my-profile i-deadbeef echo hi",
        "shell my-profile i-deadbeef",
        "whoami my-profile",
    ],
)
def test_output_that_cannot_be_written_is_an_error(sandbox: Sandbox, line: str, stream: str) -> None:
    ran = _shell(sandbox, f"{line} {stream}")
    reason = "bad file descriptor" if stream == ">&-" else "no space left on device"
    assert ran.returncode == 1
    assert f"standard output cannot be written: {reason}" in ran.stderr.lower()
    assert "internal error" not in ran.stderr
    assert stream == ">/dev/full" or "free some space" not in ran.stderr


def test_a_command_without_output_needs_no_standard_output(sandbox: Sandbox) -> None:
    assert _shell(sandbox, "run my-profile i-deadbeef true >&-").returncode == 0


def test_a_full_file_for_standard_output_is_an_error(sandbox: Sandbox) -> None:
    ran = _shell(sandbox, "run --stdout /dev/full my-profile i-deadbeef echo hi")
    assert ran.returncode == 1
    assert "standard output cannot be written: no space left on device" in ran.stderr.lower()


def test_a_file_for_standard_output_that_cannot_be_made_is_named(sandbox: Sandbox) -> None:
    ran = _shell(sandbox, "run --stdout /dev/null/x my-profile i-deadbeef echo hi")
    assert ran.returncode == 2
    assert "cannot write '/dev/null/x': not a directory; name a file that you can write" in ran.stderr


def test_ssh_without_standard_input_ends_as_at_its_end(sandbox: Sandbox) -> None:
    ran = _shell(sandbox, "ssh my-profile i-deadbeef:1 <&-")
    assert ran.returncode == 6
    assert "internal error" not in ran.stderr


@pytest.mark.parametrize(
    ("line", "ready"),
    [("forward -p 0 my-profile i-deadbeef:9000", "cannot be written"), ("serve ecs -p 0 my-profile", "served")],
)
def test_an_announcement_that_cannot_be_written_is_a_warning(sandbox: Sandbox, line: str, ready: str) -> None:
    with subprocess.Popen(
        ["sh", "-c", f"exec {PROGRAM} {line} >/dev/full"], env=sandbox.environ, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        lines = []
        for text in running.stderr:
            lines.append(text)
            if ready in text:
                break
        running.terminate()
    assert any("warning" in text and "no space left on device" in text for text in lines)
