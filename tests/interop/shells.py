"""Real shells, asked what they would complete a line to."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pexpect

from tests.support import requires

PROMPT = "READY> "
WIDTH = 20_000  # columns: a line with every candidate in it must not wrap


def environment(home: Path, **more: str) -> dict[str, str]:
    """Variables for a shell that knows nothing but ours."""
    folder = Path(sys.executable).parent
    return {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(home),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
        "PS1": PROMPT,
        "AWS_CONFIG_FILE": str(home / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
        **more,
    }


class Shell:
    """A shell on a terminal in which one key inserts every candidate and another prints the line."""

    def __init__(self, child: Any) -> None:
        self._child = child

    def complete(self, line: str) -> str:
        """Press TAB behind a line; the line as it is then."""
        self._child.send(f"{line}\t\x18p")
        self._child.expect(r"LINE<([^\r\n]*)>")
        whole: str = self._child.match[1]
        self._child.send("\x15\x0b")
        self._child.send("\x18r")
        self._child.expect(r"LINE<>")
        return whole

    def completions(self, line: str) -> list[str]:
        """Complete the last word of a line; the candidates as the shell would put them there."""
        self._child.send(f"{line}\x1b*\x18p")
        self._child.expect(r"LINE<([^\r\n]*)>")
        whole: str = self._child.match[1]
        self._child.send("\x15\x0b")
        self._child.send("\x18r")
        self._child.expect(r"LINE<>")
        front = line[: len(line) - len(line.split(" ")[-1])]
        assert whole.startswith(front), whole
        return whole[len(front) :].split()


@contextlib.contextmanager
def bash(script: str, environ: Mapping[str, str]) -> Iterator[Shell]:
    """Start bash with a completion script loaded."""
    setup = [
        f"source {script}",
        "bind '\"\\e*\": insert-completions'",
        'bind -x \'"\\C-xp": printf "LINE<%s>\\n" "$READLINE_LINE"\'',
        'bind -x \'"\\C-xr": printf "LINE<%s>\\n" "$READLINE_LINE"\'',
    ]
    with _started([requires.program("bash"), "--norc", "--noprofile", "-i"], environ, setup) as shell:
        yield shell


@contextlib.contextmanager
def zsh(script: str, environ: Mapping[str, str]) -> Iterator[Shell]:
    """Start zsh with a completion script loaded."""
    setup = [
        "autoload -Uz compinit; compinit -u -D",
        f"source {script}",
        "zstyle ':completion:all-matches::::' completer _all_matches _complete",
        "zstyle ':completion:all-matches:*' insert true",
        "zle -C all-matches complete-word _generic",
        "show() { printf 'LINE<%s>\\n' $BUFFER }; zle -N show",
        "bindkey '^[*' all-matches; bindkey '^Xp' show; bindkey '^Xr' show; bindkey '^U' kill-whole-line",
    ]
    environ = {**environ, "TERM": "xterm"}  # zsh edits no line on a dumb terminal
    with _started([requires.program("zsh"), "-f", "-i"], environ, setup) as shell:
        yield shell


@contextlib.contextmanager
def _started(words: list[str], environ: Mapping[str, str], setup: list[str]) -> Iterator[Shell]:
    child = pexpect.spawn(
        words[0], words[1:], env=dict(environ), encoding="utf-8", timeout=30, dimensions=(24, WIDTH), echo=False
    )
    try:
        child.expect_exact(PROMPT)
        for line in [*setup, "echo SET''UP"]:
            child.sendline(line)
        child.expect("SETUP")
        child.expect_exact(PROMPT)
        yield Shell(child)
    finally:
        child.close(force=True)


def fish(script: str, environ: Mapping[str, str], line: str) -> list[str]:
    """Ask fish; it tells by itself what it would offer."""
    program = requires.program("fish")
    found = subprocess.run(
        [program, "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script, line],
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert not found.stderr, found.stderr
    return [row.partition("\t")[0] for row in found.stdout.splitlines()]
