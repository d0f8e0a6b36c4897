"""The picker: its ranking, its menu, and itself on a real terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pexpect
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.cli.terminal.picker import Menu, clipped, rank, split_keys

ROWS = ["i-aaaaaaaa  web-blue   10.0.0.1", "i-bbbbbbbb  web-green  10.0.0.2", "i-cccccccc  database   10.0.1.3"]

SCRIPT = """
from aws_runas.aws.ec2 import Instance
from aws_runas.cli.terminal.picker import picker
import os, sys
rows = [
    Instance("i-aaaaaaaa", "web-blue", ("10.0.0.1",), "eu-west-1a"),
    Instance("i-bbbbbbbb", "web-green", ("10.0.0.2",), "eu-west-1b"),
    Instance("i-cccccccc", "database \\x1b[2J", ("10.0.1.3",), "eu-west-1a"),
]
from aws_runas.errors import Interrupted
try:
    pick = picker(os.environ)
    chosen = pick(rows) if pick else "no terminal"
except Interrupted:
    chosen = "interrupted"
print("ANSWER", getattr(chosen, "instance_id", chosen), flush=True)
"""


@pytest.mark.parametrize(
    ("query", "best"),
    [("", 0), ("blue", 0), ("BLUE", 0), ("wg", 1), ("web 2", 1), ("db", 2), ("10.0.1", 2), ("cccc", 2), ("wbgrn", 1)],
)
def test_the_best_fit_comes_first(query: str, best: int) -> None:
    assert rank(query, ROWS)[0] == best


def test_what_does_not_fit_is_left_out() -> None:
    assert rank("zebra", ROWS) == []
    assert rank("web", ROWS) == [0, 1]
    assert rank("web data", ROWS) == []


@given(st.text(max_size=5), st.lists(st.text(max_size=8), max_size=6))
def test_ranking_only_leaves_out_and_reorders(query: str, rows: list[str]) -> None:
    found = rank(query, rows)
    assert len(set(found)) == len(found)
    assert all(0 <= position < len(rows) for position in found)
    if not query.split():
        assert found == list(range(len(rows)))


@given(
    st.lists(
        st.sampled_from(["up", "down", "page down", "page up", "backspace", "clear", "word", "w", "2", " ", "unknown"])
    )
)
def test_the_mark_stays_on_a_row_that_fits(keys: list[str]) -> None:
    menu = Menu(ROWS)
    for key in keys:
        menu.press(key)
        assert menu.fitting == rank(menu.query, ROWS)
        assert menu.chosen() in menu.fitting if menu.fitting else menu.chosen() is None
        assert len(menu.lines(80, 2)) <= 4


def test_a_line_is_cut_to_the_terminal() -> None:
    assert clipped("abcdef", 4) == "abc"
    assert clipped("日本語", 5) == "日本"
    assert clipped("abc", 20) == "abc"


@pytest.mark.parametrize("colors", [(), ("ff0000", "", "00ff00")])
@pytest.mark.parametrize("columns", [8, 10, 19, 20, 40])
def test_no_line_is_wrapped_by_a_narrow_terminal(columns: int, colors: tuple[str, ...]) -> None:
    menu = Menu(ROWS, colors)
    for key in "web-blue":
        menu.press(key)
        for line in menu.lines(columns, 2):
            assert len(re.sub(r"\x1b\[[0-9;]*m", "", line)) < columns


def test_a_terminal_of_two_lines_shows_the_marked_row_only() -> None:
    assert Menu(ROWS).lines(20, 1, has_footer=False) == ["> ", "\x1b[7m> i-aaaaaaaa  web-b\x1b[0m"]
    nothing = Menu(ROWS)
    nothing.press("!")
    assert nothing.lines(40, 1, has_footer=False) == ["> !", "  0 of 3; type to narrow, Enter, Esc"]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "pick.py"
    path.write_text(SCRIPT)
    return path


def started(script: Path, **more: str) -> Any:
    environ = {"TERM": "xterm", "PATH": os.environ["PATH"], **more}
    child = pexpect.spawn(sys.executable, [str(script)], env=environ, encoding="utf-8", timeout=20, dimensions=(24, 80))
    child.expect("database" if environ["TERM"] == "xterm" else "Which one")
    return child


def ended(child: Any, answer: str) -> None:
    child.expect(rf"ANSWER {answer}\r\n")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        ("\r", "i-aaaaaaaa"),
        ("\x1b[B\r", "i-bbbbbbbb"),
        ("\x1b[B\x1b[B\x1b[B\x1b[A\r", "i-bbbbbbbb"),
        ("green\r", "i-bbbbbbbb"),
        ("dtb\r", "i-cccccccc"),
        ("zzz\r\x15web\t\r", "i-bbbbbbbb"),
        ("greenx\x7f\r", "i-bbbbbbbb"),
        ("\x1b", "None"),
        ("\x04", "None"),
        ("\x03", "interrupted"),
    ],
)
def test_keys_choose_on_a_terminal(script: Path, keys: str, answer: str) -> None:
    child = started(script)
    for key in _apart(keys):
        child.send(key)
        if key.startswith("\x1b") and len(key) > 1:
            child.expect(r"of 3; type")  # drawn again: a following key is not read as part of this one
    ended(child, answer)


def _apart(keys: str) -> list[str]:
    """Each arrow by itself; letters together, as a fast typist or a paste sends them."""
    parts: list[str] = []
    for piece in keys.split("\x1b[") if "\x1b[" in keys else [keys]:
        if parts or keys.startswith("\x1b["):
            parts += [f"\x1b[{piece[:1]}", piece[1:]] if piece else []
        else:
            parts.append(piece)
    return [part for part in parts if part]


def test_a_control_sequence_in_a_name_does_not_reach_the_terminal(script: Path) -> None:
    child = started(script)
    child.expect(r"\?\[2J")
    child.send("\r")
    ended(child, "i-aaaaaaaa")


def test_the_terminal_is_as_before_when_a_signal_ends_the_picker(tmp_path: Path, script: Path) -> None:
    child = pexpect.spawn(
        "/bin/sh", env={"TERM": "xterm", "PATH": os.environ["PATH"], "PS1": "$ "}, encoding="utf-8", timeout=20
    )
    child.sendline(f"stty -g > {tmp_path}/before; {sys.executable} {script}; stty -g > {tmp_path}/after; echo DO''NE")
    child.expect("database")
    found = subprocess.run(["pgrep", "-f", str(script)], capture_output=True, text=True, check=True).stdout.split()
    shell = str(child.pid)
    for number in found:
        if number != shell:
            os.kill(int(number), 15)
    child.expect("DONE")
    child.sendline("exit")
    child.expect(pexpect.EOF)
    child.close()
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()


BACKGROUND = """
import os, signal, sys
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.execv(sys.executable, [sys.executable, sys.argv[1]])
assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
os.kill(pid, signal.SIGTERM)
os.kill(pid, signal.SIGCONT)
status = os.waitpid(pid, os.WUNTRACED)[1]
if os.WIFSTOPPED(status):
    os.kill(pid, signal.SIGKILL)
print("STOPPED" if os.WIFSTOPPED(status) else f"STATUS {os.WEXITSTATUS(status)}")
"""


def test_signal_ends_a_picker_in_the_background_as_below_timeout(script: Path) -> None:
    environ = {"TERM": "xterm", "PATH": os.environ["PATH"]}
    child = pexpect.spawn(
        sys.executable, ["-c", BACKGROUND, str(script)], env=environ, encoding="utf-8", timeout=60, dimensions=(24, 80)
    )
    assert child.expect(["STATUS 143", "STOPPED"]) == 0
    child.expect(pexpect.EOF)
    child.close()


def test_a_terminal_without_a_cursor_gets_numbers(script: Path) -> None:
    child = started(script, TERM="dumb")
    child.sendline("9")
    child.expect("Which one")
    child.sendline("2")
    ended(child, "i-bbbbbbbb")


def test_without_a_terminal_there_is_no_picker(script: Path) -> None:
    found = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    assert found.stdout == "ANSWER no terminal\n"


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("\x1b[B\r", ["down", "enter"]),
        ("\x1b[B\x1b[B\x1bOA\r", ["down", "down", "up", "enter"]),
        ("ab\x7fc", ["a", "b", "backspace", "c"]),
        ("\x1b", ["cancel"]),
        ("\x1b[1;5C\r", ["unknown", "enter"]),
        ("\x1b[200~web\x1b[201~", ["unknown", "w", "e", "b", "unknown"]),
    ],
)
def test_keys_that_arrive_in_one_read_all_count(text: str, keys: list[str]) -> None:
    assert split_keys(text) == keys
