"""What reaches the user on stderr is escaped: there is one way to it, and three modules that draw or render."""

from __future__ import annotations

import ast
import io
import logging
from pathlib import Path

import pytest

from aws_runas.cli.app import _start_log
from aws_runas.cli.commands.forward.report import ForwardReport
from aws_runas.cli.environment import Environment
from aws_runas.ssm.forward import events

SOURCE = Path(__file__).parents[2] / "src" / "aws_runas"
# Environment.tell; the renderer of results; and what draws a status line, where messages are escaped one by one
WRITERS = {
    "cli/environment.py",
    "cli/output.py",
    "cli/commands/forward/report.py",
    "cli/commands/fleet/report.py",
}
HOSTILE = "a\x1b]0;b\x07\x9bc\u202ed\ne"


def writes_to_stderr(path: Path) -> bool:
    """Tell whether a module calls ``...stderr.write`` or prints to it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called.endswith("stderr.write") or called == "print":
            return True
    return False


def test_only_writers_that_escape_write_to_stderr() -> None:
    found = {path.relative_to(SOURCE).as_posix() for path in (SOURCE / "cli").rglob("*.py") if writes_to_stderr(path)}
    assert found == WRITERS


@pytest.fixture
def env() -> Environment:
    return Environment(stdin=io.BytesIO(), stdout=io.BytesIO(), stderr=io.StringIO(), environ={}, now=lambda: 0.0)


def shown(env: Environment) -> str:
    assert isinstance(env.stderr, io.StringIO)
    assert isinstance(env.stdout, io.BytesIO)
    return env.stderr.getvalue() + env.stdout.getvalue().decode()


def test_what_is_told_is_escaped(env: Environment) -> None:
    env.tell(f"{HOSTILE}\n")
    env.warn(HOSTILE)
    assert shown(env) == ("a\\x1b]0;b\\x07\\x9bc\\u202ed\ne\naws-runas: warning: a\\x1b]0;b\\x07\\x9bc\\u202ed\\ne\n")


@pytest.mark.parametrize("as_json", [False, True])
def test_events_of_a_forward_are_escaped(env: Environment, as_json: bool) -> None:
    report = ForwardReport(env, quiet=False, verbose=True, as_json=as_json, event_lines=as_json)
    report.notify(events.Listening(HOSTILE, "127.0.0.1", 1, "", HOSTILE, HOSTILE, HOSTILE, 1))
    report.notify(events.ConnectionLost(HOSTILE, HOSTILE))
    report.message(HOSTILE)
    assert shown(env).count("x1b" if not as_json else "u001b") >= 3
    assert all(character.isprintable() or character == "\n" for character in shown(env))


def test_lines_of_the_log_are_escaped(env: Environment) -> None:
    logger = logging.getLogger("aws_runas")
    before = (logger.handlers, logger.level, logger.propagate)
    try:
        _start_log(1, env.stderr)
        logging.getLogger("aws_runas.test").debug("target %s", HOSTILE)
    finally:
        logger.handlers, logger.level, logger.propagate = before
    assert shown(env) == "aws-runas: DEBUG target a\\x1b]0;b\\x07\\x9bc\\u202ed\ne\n"
