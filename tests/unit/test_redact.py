"""Text for a terminal."""

from __future__ import annotations

import pytest

from aws_runas import redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, größer, 名前", "plain, größer, 名前"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("\x9b31m", "\\x9b31m"),
        ("user\u202egnp.exe", "user\\u202egnp.exe"),
        ("byte \udce9", "byte \\udce9"),
    ],
)
def test_text_of_others_cannot_steer_the_terminal(text: str, shown: str) -> None:
    assert redact.printable(text) == shown


def test_what_the_caller_wrote_stays() -> None:
    assert redact.printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"
