"""The lexer of official agents: the verified words of the official agent 3.3."""

from __future__ import annotations

import pytest

from aws_runas.sandbox.agent.words import split_words

VECTORS = [
    ("df -h | wc -l", ["df", "-h", "|", "wc", "-l"]),
    ("echo $HOME *.txt", ["echo", "$HOME", "*.txt"]),
    (r'printf "a\nb\n"', ["printf", "anbn"]),
    (r"sh -c 'echo it'\''s; exit 3'", ["sh", "-c", "echo it's; exit 3"]),
    ("echo a#b #c\nd", ["echo", "a#b", "d"]),
    (r"echo C:\Windows\x", ["echo", "C:Windowsx"]),
    (r"echo 'C:\Windows\x'", ["echo", r"C:\Windows\x"]),
    ('a"b c"d', ["ab cd"]),
    ("''", [""]),
    ("sh -c 'a\nb'", ["sh", "-c", "a\nb"]),
    ("", []),
    (" \t\r\n", []),
    ("# only a comment", []),
    (r"\#x \  ", ["#x", " "]),
    ("'#'x", ["#x"]),
    ('"it\'s"', ["it's"]),
]


@pytest.mark.parametrize(("command", "words"), VECTORS)
def test_command_is_split_as_official_agents_do(command: str, words: list[str]) -> None:
    assert split_words(command) == words


@pytest.mark.parametrize("command", ["echo 'x", 'echo "x', "echo x\\", '"\\'])
def test_unclosed_quote_and_final_backslash_are_errors(command: str) -> None:
    with pytest.raises(ValueError, match="EOF found"):
        split_words(command)
