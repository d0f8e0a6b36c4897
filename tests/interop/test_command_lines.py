"""Sixty command lines: what the helper runs, on both carriers, does what a local ``sh -c`` does."""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
from pathlib import Path
from random import Random

import pytest

from aws_runas.ssm.command.carrier import document_command
from aws_runas.ssm.command.frames import CommandExited, FrameParser, OutputReceived, PythonMissing
from aws_runas.ssm.command.request import CommandRequest, join_words
from aws_runas.ssm.command.shell_helper import SentinelFilter
from tests.integration.command.local_pty import local_session
from tests.support import requires

NONCE = "00112233445566ff"
LONG = "".join(Random(7).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=30_000))
LINES = [
    "true",
    "false",
    "exit 255",
    "echo hello",
    "echo 'single quotes'",
    'echo "double quotes"',
    "echo it\\'s",
    "echo 'it'\\''s'",
    "echo a#b #comment",
    "# only a comment",
    "echo '# no comment'",
    "echo \\\\",
    "echo 'C:\\Windows\\x'",
    "printf 'a\\nb\\n'",
    'printf "a\\nb\\n"',
    "printf 'no newline'",
    "echo one; echo two",
    "echo one\necho two",
    "echo one &&\necho two",
    "cat <<'END'\nline $HOME\nEND",
    "cat <<END\nline $((1+2))\nEND",
    "echo $((6*7))",
    "x=5; echo $x ${x} \"$x\" '$x'",
    "echo $HOME",
    "echo ~",
    "pwd",
    "echo /etc/pass*",
    "echo '*'",
    "echo '[a-z]?'",
    "seq 5 | tail -2",
    "seq 100 | wc -l",
    "echo err >&2",
    "echo out; echo err >&2; exit 3",
    "(exit 9)",
    "nosuchprogram-x",
    "/etc",
    "kill -TERM $$",
    "kill -9 $$",
    "sh -c 'kill -INT $$'; echo after $?",
    "echo '{{x}}' {{ y }} '{{{{'",
    "echo ünïcödé €",
    "echo '\u202e right to left'",
    "printf '\\000\\001\\377'",
    "printf '\\357\\277\\275'",
    "printf '\\377\\376\\375'",
    "echo '\udcff\udcfe'",
    "echo '`backquotes`' \"`echo sub`\"",
    "echo $(echo $(echo nested))",
    "echo a    b",
    "echo '\t'tab",
    "set -- a 'b c' d; for w; do echo \"[$w]\"; done",
    "f() { echo function $1; return 4; }; f x",
    "trap 'echo at exit' EXIT; exit 6",
    "read x || echo no input",
    "cat",
    "echo ${UNSET-default} ${#HOME}",
    'echo "$0"',
    "[ -t 0 ] || echo no terminal",
    "echo 'quote \" inside' \"quote ' inside\"",
    "echo !history ! not",
    f"printf %s {LONG} | md5sum; printf %s '{LONG}' | wc -c",
]


def _local(line: str, tmp_path: Path) -> tuple[bytes, bytes, int]:
    ran = subprocess.run(
        ["sh", "-c", os.fsencode(line)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        cwd=os.path.expanduser("~"),
        check=False,
        timeout=30,
    )
    return ran.stdout, ran.stderr, ran.returncode


@pytest.mark.parametrize("line", LINES, ids=[line[:20] for line in LINES])
def test_on_the_shell_a_line_does_what_it_does_here(line: str, tmp_path: Path) -> None:
    with local_session(requires.program("dash")) as session:
        session.start()
        ran = session.run(CommandRequest(line))
    assert (ran.stdout, ran.stderr, ran.status) == _local(line, tmp_path)


def _on_document(request: CommandRequest, environ: dict[str, str]) -> tuple[bytes, bytes, int | None]:
    """Start the command as the agent does: its lexer, which treats this text as shlex does, and no shell."""
    words = shlex.split(document_command(request, NONCE))
    assert words[:2] == ["sh", "-c"]
    assert len(words) == 3
    ran = subprocess.run(
        [requires.program("dash"), *words[1:]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=os.environ | environ,
        check=False,
        timeout=30,
    )
    parser = FrameParser()
    events = parser.receive_data(ran.stdout)
    if any(isinstance(event, PythonMissing) for event in events):
        out, err = SentinelFilter(NONCE, with_status=True), SentinelFilter(NONCE, with_status=False)
        return out.receive_data(parser.take_rest()), err.receive_data(ran.stderr), out.status
    assert ran.stderr == b""
    outputs = {1: b"", 2: b""}
    status = None
    for event in events:
        if isinstance(event, OutputReceived):
            outputs[event.stream] += event.data
        elif isinstance(event, CommandExited):
            status = event.status
    return outputs[1], outputs[2], status


@pytest.mark.parametrize("line", LINES, ids=[line[:20] for line in LINES])
def test_on_the_document_a_line_does_what_it_does_here(line: str, tmp_path: Path) -> None:
    assert _on_document(CommandRequest(line), {}) == _local(line, tmp_path)


@pytest.mark.parametrize("line", LINES[:-2:4], ids=[line[:20] for line in LINES[:-2:4]])
def test_on_the_document_without_python_a_line_does_what_it_does_here(line: str, tmp_path: Path) -> None:
    busybox = requires.program("busybox")
    applets = tmp_path / "bin"
    applets.mkdir()
    for name in subprocess.check_output([busybox, "--list"], text=True).split():
        (applets / name).symlink_to(busybox)
    out, err, status = _on_document(CommandRequest(line), {"PATH": str(applets)})
    here = _local(line, tmp_path)
    assert (out, bool(err), status) == (here[0], bool(here[1]), here[2] if here[2] >= 0 else 128 - here[2])


def test_nothing_of_the_user_is_readable_in_the_document_parameter_and_no_braces_are_there() -> None:
    request = CommandRequest("echo {{secret}}", env={"TOKEN": "hidden-value"}, cwd="/srv/{{x}}")
    command = document_command(request, NONCE)
    assert "secret" not in command
    assert "hidden-value" not in command
    assert "{{" not in command
    assert base64.b64encode(request.script(with_env=True).encode()).decode() in command
    words = base64.b64decode(command.split("RUNAS_REQUEST=")[1].split(";")[0]).decode().split("\0")
    assert dict(zip(words[::2], words[1::2], strict=False))["check"] == request.check()


def test_several_words_are_one_argument_each(tmp_path: Path) -> None:
    words = ["printf", "[%s]", "a b", "", "it's", "$HOME", "*", "-n", "x\ny", "\udcff"]
    text = join_words(words, join=False)
    assert _local(text, tmp_path)[0] == b"[a b][][it's][$HOME][*][-n][x\ny][\xff]"
    assert join_words(["grep", "a", "b"], join=True) == "grep a b"
    assert join_words(["df | wc"], join=False) == "df | wc"
