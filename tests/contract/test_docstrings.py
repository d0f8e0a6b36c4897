"""Docstrings: what their first line says, and which arguments they describe."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "aws_runas"
Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
PRONOUNS = (
    r"(How|Which|Why|When|It|They|Whether|What|Who|Whom|Whose|Where|"
    r"This|That|These|Those|He|She|We|You|Does|Did|Is|Are)\b"
)


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


MANY = 3  # parameters from which a public function describes them
REFERENCE = re.compile(r"\b[Ss]ee `{0,2}[A-Za-z_]\w*(\.\w+)*`{0,2}")  # to the function that it implements or wraps
SENT_TO_INSTANCES = "ssm/copy/file_server.py"  # as it is; each byte delays the start of a copy
NUMBER = re.compile(r"(float|int)( \| None)?")


def _public_functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Functions of modules and methods of classes, without those that Command.read describes for every command."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = str(path.relative_to(SOURCE))
        for owner in _public_owners(ast.parse(path.read_text(encoding="utf-8"))):
            for node in owner.body:
                if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name.startswith("_"):
                    continue
                if name != SENT_TO_INSTANCES and not (name.startswith("cli/commands/") and node.name == "read"):
                    yield f"{name} {node.name}", node


def _public_owners(module: ast.Module) -> Iterator[ast.Module | ast.ClassDef]:
    owners: list[ast.Module | ast.ClassDef] = [module]
    while owners:
        owner = owners.pop()
        yield owner
        owners += [node for node in owner.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")]


def _with_many_parameters() -> Iterator[tuple[str, str, list[ast.arg]]]:
    for name, node in _public_functions():
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        arguments = [argument for argument in arguments if argument.arg not in ("self", "cls")]
        text = ast.get_docstring(node) or ""
        if len(arguments) >= MANY and not REFERENCE.search(text):
            yield name, text, arguments


def test_public_functions_with_many_parameters_describe_them() -> None:
    functions = list(_with_many_parameters())
    assert len(functions) > 200
    assert [name for name, text, _ in functions if not _described(text)] == []


NO_VERB = re.compile(
    r"(The|A|An|One|All|Every|Everything|Nothing|As|Like|Tell whether|Do (it|what)|Called|Asked|Bytes|Names)\b"
    r"|\w*[^s]s\b(?!\w)|[A-Z]\w*[A-Z]\w*\b"
)
VERBS_IN_S = ("Address", "Process", "Pass", "Discuss", "Dismiss", "Compress", "Focus")


def test_first_line_of_a_public_function_begins_with_a_verb() -> None:
    """Return ..., Declare ...: not the noun that it returns, and not what has happened."""
    wrong = []
    for name, node in _public_functions():
        is_property = any(ast.unparse(item).endswith("property") for item in node.decorator_list)
        text = ast.get_docstring(node) or ""
        if NO_VERB.match(text) and not is_property and not text.startswith(VERBS_IN_S):
            wrong.append(f"{name}: {text.splitlines()[0]}")
    assert wrong == []


def test_their_numbers_have_a_unit_or_a_meaning() -> None:
    wrong = [
        f"{name} {argument.arg}"
        for name, text, arguments in _with_many_parameters()
        for argument in arguments
        if argument.annotation is not None
        and NUMBER.fullmatch(ast.unparse(argument.annotation))
        and not argument.arg.startswith("_")
        and argument.arg not in _described(text)
    ]
    assert wrong == []
