"""Fuzzy matching for the picker: which rows fit what was typed, the best first."""

from __future__ import annotations

from collections.abc import Sequence

_START = 3  # a letter at the start of a word counts more than one inside,
_RUN = 2  # and one right after the letter before it too


def rank(query: str, rows: Sequence[str]) -> list[int]:
    """Return the positions of the rows that fit, the best first, equals in their order.

    Args:
        query: words; each must be in the row, letter by letter in order, whatever the case and what is between.
        rows: as they are shown.
    """
    words = query.casefold().split()
    scored = []
    for position, row in enumerate(rows):
        text = row.casefold()
        scores = [score(word, text) for word in words]
        if None not in scores:
            scored.append((-sum(one for one in scores if one is not None), position))
    return [position for _, position in sorted(scored)]


def score(word: str, text: str) -> int | None:
    """Judge how well a word fits a text, both casefolded: None when it does not, more is better."""
    whole = text.find(word)
    if whole >= 0:
        starts = any(text.startswith(word, at) and _starts_word(text, at) for at in range(whole, len(text)))
        return (_START + _RUN) * len(word) + (_START if starts else 0)
    total, position, last = 0, 0, -2
    for letter in word:
        found = text.find(letter, position)
        if found < 0:
            return None
        total += 1 + (_START if _starts_word(text, found) else 0) + (_RUN if found == last + 1 else 0)
        last, position = found, found + 1
    return total


def _starts_word(text: str, at: int) -> bool:
    return at == 0 or not text[at - 1].isalnum()
