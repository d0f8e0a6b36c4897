"""Docstrings: the arguments that they describe exist, and their first line says what the object is or does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "aws_runas"
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
PRONOUNS = r"(It|They|Whether|What|Who|Whom|Whose|Where|This|That|These|Those|He|She|We|You|Does|Did|Is|Are)\b"


def _docstrings() -> Iterator[tuple[str, Documented, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Documented) and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(SOURCE)} {getattr(node, 'name', '(module)')}", node, text


def _described(text: str) -> set[str]:
    """Return the names in the section Args."""
    section = re.search(r"^Args:\n((?: {4}.*\n?|\n)+)", text, re.MULTILINE)
    lines = section[1].splitlines() if section else []
    named = [match[1] for line in lines if (match := re.match(r" {4}(\w[\w, ]*): ", line))]
    return {name.strip() for names in named for name in names.split(",")}


def _parameters(node: Documented) -> set[str]:
    if isinstance(node, ast.Module):
        return set()
    if isinstance(node, ast.ClassDef):
        fields = {
            item.target.id
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        }
        makers = [item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
        return fields.union(*map(_parameters, makers))
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return {argument.arg for argument in named if argument is not None}


def test_described_arguments_exist() -> None:
    wrong = {}
    for name, node, text in _docstrings():
        inherits = isinstance(node, ast.ClassDef) and bool(node.bases)
        unknown = _described(text) - _parameters(node)
        if unknown and not inherits:
            wrong[name] = unknown
    assert not wrong


def test_first_line_names_the_object_or_its_action() -> None:
    """Return ..., Declare ..., a noun: never a pronoun, a question, or the section Args."""
    found = [
        f"{name}: {text.splitlines()[0]}" for name, _, text in _docstrings() if re.match(rf"Args:|{PRONOUNS}", text)
    ]
    assert not found
