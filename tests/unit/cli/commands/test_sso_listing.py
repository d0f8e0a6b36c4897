"""``sso list``: one line a role, whatever an administrator called the account."""

from __future__ import annotations

from aws_runas.cli.commands.sso import _listing
from aws_runas.identity.sso_assignments import Assignment


def test_a_name_with_line_breaks_and_colours_is_one_plain_line() -> None:
    assignment = Assignment("a\x1b[31m\nb", "111111111111", "Admin")
    lines = _listing([assignment], {}, "text").splitlines()
    assert [line.isprintable() for line in lines] == [True, True]
    assert r"a\x1b[31m\nb" in lines[1]
