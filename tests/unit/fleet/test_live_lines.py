"""Output of an instance as lines, while it comes: any pieces, and a line without end."""

from __future__ import annotations

from aws_runas.fleet.sessions import MAX_LINE, MAX_OUTPUT, Lines


def test_a_line_without_end_is_shown_in_pieces_and_kept_up_to_a_bound() -> None:
    shown: list[str] = []
    lines = Lines(shown.append, lambda _: None)
    for _ in range(MAX_OUTPUT // 50_000 + 5):
        lines.receive(b"a" * 50_000)
        assert len(lines._rest) <= MAX_LINE  # a long rest would be copied with each message
    lines.receive(b"b\nc")
    lines.end()
    assert len(lines.kept) == MAX_OUTPUT
    assert "".join(shown).replace("a", "") == "bc"
    assert max(map(len, shown)) <= MAX_LINE + 50_000
