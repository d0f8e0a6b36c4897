"""Every interpreter that we start ignores the current directory: a module there must not run with our rights."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from aws_runas.sandbox.configuration import MFA_PROGRAM

SOURCE = Path(__file__).parents[2] / "src" / "aws_runas"
SAFE = ("-P", "-I", "-IS")  # no current directory on the module path


def is_interpreter(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "executable" and ast.unparse(node.value) == "sys"


def elements_of(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.List | ast.Tuple):
        return node.elts
    return node.args if isinstance(node, ast.Call) else []


def starts() -> list[tuple[str, str]]:
    """File and first argument of each command line that begins with our interpreter."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            elements = elements_of(node)
            for place, element in enumerate(elements[:-1]):
                if is_interpreter(element):
                    found.append((path.relative_to(SOURCE).as_posix(), ast.unparse(elements[place + 1])))
    return found


def test_start_of_the_sandbox_is_found() -> None:
    assert "sandbox/world.py" in {name for name, _ in starts()}


@pytest.mark.parametrize("start", starts(), ids=str)
def test_interpreter_is_started_without_the_current_directory(start: tuple[str, str]) -> None:
    assert start[1].strip("'") in SAFE, f"{start[0]} starts Python with {start[1]}"


def test_interpreter_in_the_mfa_program_is_isolated() -> None:
    assert "'{python}' -IS -" in MFA_PROGRAM
