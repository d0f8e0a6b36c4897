"""Lexer of official agents, which split a command into words without a shell.

Source: sessions without a terminal in docs/protocol; verified words in tests/unit/sandbox/agent/test_words.py.
"""

from __future__ import annotations

from collections.abc import Iterator

BLANKS = " \t\r\n"
QUOTES = "'\""


def split_words(text: str) -> list[str]:
    """Split a command as official agents do before they start it.

    Blanks separate words. Single quotes keep everything. Elsewhere a backslash makes the next character literal and
    disappears. ``#`` at the start of a word begins a comment. No other character is special.

    Args:
        text: the ``command`` parameter of the document.

    Returns:
        The words; there may be none.

    Raises:
        ValueError: a quote is not closed, or the text ends in a backslash.
    """
    words: list[str] = []
    word: list[str] = []
    in_word = False
    quote = ""
    characters = iter(text)
    for character in characters:
        if not in_word:
            if character in BLANKS:
                continue
            if character == "#":
                _skip_line(characters)
                continue
            in_word = True
        if character == "\\" and quote != "'":
            word.append(_escaped(characters))
        elif quote:
            quote = _inside(character, quote, word)
        elif character in QUOTES:
            quote = character
        elif character in BLANKS:
            words.append("".join(word))
            word, in_word = [], False
        else:
            word.append(character)
    if quote:
        raise ValueError("EOF found when expecting closing quote")
    return [*words, "".join(word)] if in_word else words


def _inside(character: str, quote: str, word: list[str]) -> str:
    """Add a character inside quotes to the word, and return the quote that is still open after it."""
    if character == quote:
        return ""
    word.append(character)
    return quote


def _escaped(characters: Iterator[str]) -> str:
    character = next(characters, None)
    if character is None:
        raise ValueError("EOF found after escape character")
    return character


def _skip_line(characters: Iterator[str]) -> None:
    for character in characters:
        if character == "\n":
            return
