"""What is printed for PowerShell, parsed by a grammar of PowerShell: there is no PowerShell here to run it."""

from __future__ import annotations

import pytest
import tree_sitter
import tree_sitter_powershell

from aws_runas.aws.credentials import Credentials
from aws_runas.cli import shell_function
from aws_runas.cli.completion import powershell
from aws_runas.cli.completion.table import table
from aws_runas.credentials.printing import VARIABLES, render, render_unset, variables

LANGUAGE = tree_sitter.Language(tree_sitter_powershell.language())
HOSTILE = 'it\'s $HOME `id` "quoted" $(calc) \\n @(1) #no ;rm ${x} & { } *'


def parse(script: str) -> list[tree_sitter.Node]:
    """Return every node of a script that has no error."""
    nodes = [tree_sitter.Parser(LANGUAGE).parse(script.encode()).root_node]
    for node in nodes:
        nodes += node.children
    wrong = [(node.start_point, node.text) for node in nodes if node.is_error or node.is_missing]
    assert wrong == []
    return nodes


def texts(nodes: list[tree_sitter.Node], kind: str) -> list[str]:
    return [(node.text or b"").decode() for node in nodes if node.type == kind]


def test_the_grammar_finds_errors() -> None:
    for broken in ("if ($x { y }", "function a { 'x }", "$Env:A = 'it's'"):
        with pytest.raises(AssertionError):
            parse(broken)


@pytest.mark.parametrize("name", ["runas", "aws_1"])
def test_the_shell_function_is_one_function_of_its_name(name: str) -> None:
    nodes = parse(shell_function.text("powershell", name))
    assert texts(nodes, "function_name") == [name]


def test_the_completion_parses() -> None:
    assert "Register-ArgumentCompleter" in texts(parse(powershell.script(table())), "command_name")


def test_values_stay_literal_strings() -> None:
    """Nothing in a value is a variable, an expression or the end of its string."""
    keys = Credentials("ASIAKEY", "wJalr/XUtn+FEMI=", "IQoJb3//==")
    given = variables(keys, "eu-west-1", HOSTILE)
    nodes = parse(render(keys, "powershell", region="eu-west-1", profile=HOSTILE))
    literals = texts(nodes, "verbatim_string_characters")
    assert [literal[1:-1].replace("''", "'") for literal in literals] == list(given.values())
    assert set(texts(nodes, "variable")) >= {f"$Env:{name}" for name in given}
    assert texts(nodes, "sub_expression") == []


def test_unset_removes_every_variable() -> None:
    nodes = parse(render_unset("powershell"))
    assert texts(nodes, "command_name") == ["Remove-Item"] * len(VARIABLES)
