"""What ``--on`` selects."""

from __future__ import annotations

import pytest

from aws_runas.errors import UsageError
from aws_runas.fleet.selectors import Candidate, parse_selectors

WEB = Candidate("i-0aaaaaaaa", "web-1", {"Name": "web-1", "Env": "prod", "Role": "web", "a+b": "c"})
DB = Candidate("i-0bbbbbbbb", "db", {"Name": "db", "Env": "prod", "aws:autoscaling:groupName": "data"})
OFFICE = Candidate("mi-0cccccccc", "office")
ALL = (WEB, DB, OFFICE)


def selected(*texts: str, groups: dict[str, frozenset[str]] | None = None, content: str = "") -> list[str]:
    selectors = parse_selectors(texts, lambda _: content)
    return [one.instance_id for one in ALL if any(selector.matches(one, groups or {}) for selector in selectors)]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("all", ["i-0aaaaaaaa", "i-0bbbbbbbb", "mi-0cccccccc"]),
        ("i-0aaaaaaaa", ["i-0aaaaaaaa"]),
        ("i-0aaaaaaaa,mi-0cccccccc", ["i-0aaaaaaaa", "mi-0cccccccc"]),
        ("tag:Env=prod", ["i-0aaaaaaaa", "i-0bbbbbbbb"]),
        ("tag:Env", ["i-0aaaaaaaa", "i-0bbbbbbbb"]),
        ("tag:Env=PROD", []),
        ("tag:Env=prod+tag:Role=web", ["i-0aaaaaaaa"]),
        ("tag:a+b=c", ["i-0aaaaaaaa"]),
        ("Name:web-*", ["i-0aaaaaaaa"]),
        ("Name:d?", ["i-0bbbbbbbb"]),
        ("asg:data", ["i-0bbbbbbbb"]),
        ("group:blue", ["mi-0cccccccc"]),
        ("all+tag:Role=web", ["i-0aaaaaaaa"]),
    ],
)
def test_a_selector_selects(text: str, ids: list[str]) -> None:
    assert selected(text, groups={"blue": frozenset({"mi-0cccccccc"})}) == ids


def test_several_selectors_add_up() -> None:
    assert selected("Name:db", "i-0aaaaaaaa") == ["i-0aaaaaaaa", "i-0bbbbbbbb"]


def test_a_file_holds_one_id_on_each_line() -> None:
    assert selected("file:hosts", content="# web\n i-0aaaaaaaa \n\nmi-0cccccccc\n") == ["i-0aaaaaaaa", "mi-0cccccccc"]


@pytest.mark.parametrize("text", ["", "web", "tag:", "tag:=x", "Name:", "i-xyz", "i-0aaaaaaaa,web", "+all", "group:"])
def test_anything_else_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(UsageError, match="is not a selector") as raised:
        parse_selectors([text], lambda _: "")
    assert "tag:KEY=VALUE" in str(raised.value.hint)


@pytest.mark.parametrize(("content", "named"), [("web\n", "'web'"), ("", "no instance id")])
def test_a_file_with_something_else_is_refused(content: str, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        parse_selectors(["file:hosts"], lambda _: content)


def test_an_unreadable_file_is_named() -> None:
    def read(_: str) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(UsageError, match="hosts cannot be read: No such file"):
        parse_selectors(["file:hosts"], read)
