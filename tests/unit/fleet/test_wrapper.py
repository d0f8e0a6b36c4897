"""The wrapper, run by a real sh, and what the service makes of its output."""

from __future__ import annotations

import base64
import os
import re
import signal
import subprocess
import zlib
from pathlib import Path

import pytest

from aws_runas.fleet import wrapper
from aws_runas.fleet.wrapper import LIST_SEPARATOR, TRUNCATION_MARKS, Unwrapped, unwrap, wrap, wrap_powershell
from tests.unit.cli.test_powershell import parse

NONCE = "0123abcd"


def run(script: str, *, cwd: str | None = None, user: str | None = None, pack: bool = True) -> tuple[str, str, int]:
    """Run the line as AWS-RunShellScript does, with sh."""
    line = wrap(script, NONCE, cwd=cwd, user=user, pack=pack)
    assert "{{" not in line
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    return done.stdout.decode(), done.stderr.decode(), done.returncode


def whole(script: str, *, cwd: str | None = None, user: str | None = None) -> Unwrapped:
    stdout, stderr, _ = run(script, cwd=cwd, user=user)
    return unwrap(stdout, stderr, NONCE)


@pytest.mark.parametrize(
    ("script", "stdout", "stderr", "status"),
    [
        ("echo hello", "hello\n", "", 0),
        ("printf x", "x", "", 0),
        ("true", "", "", 0),
        ("echo out; echo err >&2; exit 3", "out\n", "err\n", 3),
        ("printf 'no line end' >&2; exit 255", "", "no line end", 255),
        ("echo '{{ssm:name}} $HOME *'", "{{ssm:name}} $HOME *\n", "", 0),
        ("echo grüße", "grüße\n", "", 0),
        (f"echo {NONCE} 1 2 3", f"{NONCE} 1 2 3\n", "", 0),
        ("cat", "", "", 0),
        ("kill -9 $$", "", "", 137),
    ],
)
def test_output_and_status_come_back_exactly(script: str, stdout: str, stderr: str, status: int) -> None:
    raw_out, raw_err, code = run(script)
    assert code == status
    found = unwrap(raw_out, raw_err, NONCE)
    assert (found.stdout, found.exit_status, found.whole) == (stdout, status, True)
    assert stderr in found.stderr
    listed = unwrap(raw_out + LIST_SEPARATOR + raw_err if raw_err else raw_out, None, NONCE)
    assert (listed.stdout, listed.whole) == (stdout, True)


def test_long_output_is_packed_and_unpacked() -> None:
    script = "i=0; while [ $i -lt 4000 ]; do echo line $i of a log; i=$((i+1)); done"
    stdout, _, _ = run(script)
    assert len(stdout) < 24_000
    found = unwrap(stdout, "", NONCE)
    assert found.whole
    assert found.stdout == "".join(f"line {number} of a log\n" for number in range(4000))


def test_without_packing_long_output_is_readable() -> None:
    stdout, _, _ = run("i=0; while [ $i -lt 4000 ]; do echo line $i; i=$((i+1)); done", pack=False)
    assert stdout.startswith(f"text:{NONCE} 38890 0 0\nline 0\nline 1\n")
    found = unwrap(stdout, "", NONCE)
    assert found.whole
    assert found.stdout.startswith("line 0\nline 1\n")


@pytest.mark.parametrize("mark", TRUNCATION_MARKS)
@pytest.mark.parametrize("packed", [False, True])
def test_output_that_the_service_cut_is_not_called_whole(mark: str, packed: bool) -> None:
    stdout, _, _ = run("seq 1 20000", pack=packed)
    cut = unwrap(stdout[:2400] + mark, "", NONCE)
    assert not cut.whole
    assert cut.exit_status == 0  # the first line has it too
    assert cut.stdout.startswith("1\n2\n3\n")
    assert cut.missing == sum(len(f"{number}\n") for number in range(1, 20001)) - len(cut.stdout)


def test_short_output_that_was_cut_has_neither_status_nor_counts() -> None:
    stdout, _, _ = run("seq 1 100")
    cut = unwrap(stdout[:50] + TRUNCATION_MARKS[0], "", NONCE)
    assert (cut.exit_status, cut.whole, cut.missing) == (None, False, 0)


ODD_OUTPUTS = {
    "nul": b"a\0b\n",
    "carriage return": b"50 %\r100 %\r\n",
    "colours": b"\033[31mred\033[0m\n",
    "not utf-8": b"\xff\xfe\xfd caf\xe9\n",
    "cut character": b"\xe2\x82",
    "replacement character": "\N{REPLACEMENT CHARACTER}\n".encode(),
    "form feed": b"page\f\x0bpage\x85\n",
    "utf-8": "grüße \N{SNOWMAN}\n".encode(),
}


@pytest.mark.parametrize("data", ODD_OUTPUTS.values(), ids=ODD_OUTPUTS)
@pytest.mark.parametrize("stream", ["", " >&2"])
def test_odd_bytes_come_back_exactly_from_both_streams(data: bytes, stream: str, tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(data)
    line = wrap(f"cat {file}{stream}", NONCE)
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=False, stdin=subprocess.DEVNULL)
    stdout, stderr = (text.decode("utf-8", "replace") for text in (done.stdout, done.stderr))  # as the service has it
    for found in (
        unwrap(stdout, stderr, NONCE),
        unwrap(stdout + (LIST_SEPARATOR + stderr) * bool(stderr), None, NONCE),
    ):
        assert found.whole
        text = found.stderr if stream else found.stdout
        assert text.encode("utf-8", "surrogateescape") == data


def test_long_stderr_is_packed_too() -> None:
    stdout, stderr, _ = run("yes a line of a log | head -n 1000 >&2")
    assert len(stderr) < 8_000
    found = unwrap(stdout, stderr, NONCE)
    assert (found.stderr, found.whole) == ("a line of a log\n" * 1000, True)


def test_output_that_is_too_long_even_packed_is_missed_by_the_byte() -> None:
    stdout, _, _ = run("head -c 750000 /dev/urandom | base64 -w 75")
    whole_size = 1_000_000 + 13_334  # base64 and its line ends
    cut = unwrap(stdout[:24_000] + TRUNCATION_MARKS[1], "", NONCE)
    assert not cut.whole
    assert 15_000 < len(cut.stdout) < 24_000
    assert cut.missing == whole_size - len(cut.stdout)


def test_output_that_lost_bytes_in_the_middle_is_not_whole_and_says_how_many() -> None:
    stdout, _, _ = run("echo 0123456789")
    found = unwrap(stdout.replace("345", ""), "", NONCE)
    assert (found.whole, found.missing) == (False, 3)


def test_stderr_that_was_cut_is_not_whole() -> None:
    stdout, stderr, _ = run("seq 1 100 >&2")
    assert unwrap(stdout, stderr, NONCE).whole
    assert not unwrap(stdout, stderr[:50], NONCE).whole


def test_a_directory_and_a_missing_one(tmp_path: Path) -> None:
    odd = tmp_path / "it's a dir"
    odd.mkdir()
    assert whole("pwd", cwd=str(odd)).stdout == f"{odd}\n"
    missing = whole("echo ran", cwd=str(tmp_path / "nowhere"))
    assert missing.stdout == ""
    assert missing.exit_status != 0
    assert "nowhere" in missing.stderr


def test_another_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "sudo"
    fake.write_text('#!/bin/sh\necho "sudo $*" >&2\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = whole("echo ran", user="deploy")
    assert found.stdout == "ran\n"
    assert "sudo -n -u deploy -H -- sh" in found.stderr


def test_nothing_is_left_in_the_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    run("echo hello")
    assert list(tmp_path.iterdir()) == []


def follow(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, end: str) -> tuple[str, str]:
    """Run a script until its first line has arrived; then let it go on or kill it. Return both streams."""
    monkeypatch.setattr(wrapper, "EARLY_INTERVAL", "0.02")
    gate = tmp_path / "gate"
    line = wrap(script.replace("GATE", f"while [ ! -e {gate} ]; do sleep 0.02; done"), NONCE)
    process = subprocess.Popen(
        ["sh", "-c", line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, bufsize=0,
    )  # fmt: skip
    assert process.stdout is not None
    early = process.stdout.readline()
    if end == "kill":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        gate.touch()
    stdout, stderr = process.communicate()
    return (early + stdout).decode("utf-8", "replace"), stderr.decode("utf-8", "replace")


def test_what_a_killed_command_has_written_was_sent_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stdout, stderr = follow("echo early; sleep 1000", tmp_path, monkeypatch, end="kill")
    found = unwrap(stdout, stderr, NONCE)
    assert (found.stdout, found.exit_status, found.whole) == ("early\n", None, False)


@pytest.mark.parametrize(
    ("script", "output"),
    [
        ("echo early; GATE; echo late", b"early\nlate\n"),
        ("echo early; GATE; printf '\\377\\000'", b"early\n\xff\0"),
        ("echo early; GATE; seq 1 9000", b"early\n" + b"".join(b"%d\n" % one for one in range(1, 9001))),
        ("seq 1 900; GATE; exit 7", b"".join(b"%d\n" % one for one in range(1, 901))),
        ("printf 'early\\n\\342'; GATE; printf '\\230\\203'", "early\n\N{SNOWMAN}".encode()),
        ("echo early; GATE; : >/dev/stdout", b""),
    ],
    ids=["goes on", "becomes odd", "becomes long", "beyond what is sent early", "cut character", "shrinks"],
)
def test_what_was_sent_early_is_not_there_twice(
    script: str, output: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = unwrap(*follow(script, tmp_path, monkeypatch, end="go on"), NONCE)
    assert found.stdout.encode("utf-8", "surrogateescape") == output
    assert (found.whole, found.exit_status) == (True, 7 if "exit 7" in script else 0)


def test_a_bomb_is_not_unpacked_without_bound() -> None:
    packer = zlib.compressobj(wbits=31)
    packed = base64.b64encode(packer.compress(b"\0" * (64 << 20)) + packer.flush()).decode()
    found = unwrap(f"gzip:{NONCE} {64 << 20} 0 0\n{packed}\n{NONCE} {64 << 20} 0 0\n", "", NONCE)
    assert not found.whole
    assert len(found.stdout) <= 16 << 20


def test_powershell_text_is_encoded_whole() -> None:
    line = wrap_powershell("Get-Process | Select {{x}}", cwd="C:\\it's")
    encoded = line.partition("FromBase64String('")[2].partition("'")[0]
    assert base64.b64decode(encoded).decode() == "Set-Location -LiteralPath 'C:\\it''s'; Get-Process | Select {{x}}"
    assert "{{" not in line


@pytest.mark.parametrize("script", ["Get-Date | Out-String", "'it''s'; \"$x\"", "}) ; exit 0 # @{"])
@pytest.mark.parametrize("cwd", [None, "C:\\it's $HOME; rm"])
def test_powershell_line_is_powershell_whatever_the_text(script: str, cwd: str | None) -> None:
    line = wrap_powershell(script, cwd=cwd)
    parse(line)
    (encoded,) = re.findall(r"FromBase64String\('([A-Za-z0-9+/=]+)'\)", line)
    text = base64.b64decode(encoded).decode()
    assert text.endswith(script)
    if cwd is not None:
        parse(text.removesuffix(script))
        assert "-LiteralPath 'C:\\it''s $HOME; rm'" in text
