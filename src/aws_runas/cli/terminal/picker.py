"""Picker for one row on the terminal: a list that narrows as the user types.

The list is drawn below the cursor on the terminal itself (/dev/tty) and cleared afterwards, so pipes do not matter and
the screen is left as it was. A terminal that cannot move its cursor gets a numbered list.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import select
import shutil
import signal
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from aws_runas.errors import Interrupted

if TYPE_CHECKING:
    from aws_runas.aws.ec2 import Instance
    from aws_runas.targets.model import Pick

    PickRow = Callable[[Sequence[str], Sequence[str]], int | None]

TERMINAL = "/dev/tty"
ROWS = 12  # lines of the list shown at once
ESCAPE_WAIT = 0.05  # seconds in which the rest of a key's sequence follows its ESC
_KEYS = {
    "\r": "enter", "\n": "enter", "\t": "down", "\x0e": "down", "\x10": "up", "\x1b[A": "up", "\x1b[B": "down",
    "\x1bOA": "up", "\x1bOB": "down", "\x1b[5~": "page up", "\x1b[6~": "page down", "\x1b[Z": "up", "\x7f": "backspace",
    "\x08": "backspace", "\x15": "clear", "\x17": "word", "\x03": "interrupt", "\x04": "cancel", "\x1b": "cancel",
}  # fmt: skip
# One key: a control sequence, an SS3 key, a lone ESC, or any character (ECMA-48, 5.4).
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1bO[ -~]|\x1b|[^\x1b]", re.DOTALL)


def picker(environ: Mapping[str, str]) -> Pick | None:
    """Return the function that asks the user to choose an instance, or None if there is no terminal to ask on.

    Args:
        environ: TERM says whether the terminal can move its cursor.
    """
    pick_row = row_picker(environ)
    if pick_row is None:
        return None

    def pick(instances: Sequence[Instance]) -> Instance | None:
        chosen = pick_row(rows_of(instances), ())
        return None if chosen is None else instances[chosen]

    return pick


def row_picker(environ: Mapping[str, str]) -> PickRow | None:
    """Return the function that asks the user to choose a row, or None if there is no terminal to ask on.

    It takes the rows and a color for each (six hex digits, "" for none; or no colors at all), and returns the position
    of the chosen row, or None if the user chose none.

    Args:
        environ: TERM says whether the terminal can move its cursor.
    """
    try:
        os.close(os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return None
    plain = environ.get("TERM", "dumb") in ("", "dumb")
    return pick_by_number if plain or os.name != "posix" else pick_by_typing


def pick_by_number(rows: Sequence[str], _colors: Sequence[str]) -> int | None:
    """Show a numbered list and read a number.

    Args:
        rows: rows of the list.
        _colors: not shown.

    Returns:
        Position of the chosen row, None if the user typed nothing.
    """
    with open(TERMINAL, "w", encoding="utf-8", errors="replace") as screen, open(TERMINAL, encoding="utf-8") as keys:
        for number, row in enumerate(rows, 1):
            screen.write(f"{number:4}  {row}\n")
        while True:
            screen.write(f"Which one, 1 to {len(rows)}? ")
            screen.flush()
            try:
                line = keys.readline()
            except KeyboardInterrupt:
                raise Interrupted from None
            if not line.strip():
                return None
            if line.strip().isdecimal() and 1 <= int(line) <= len(rows):
                return int(line) - 1


def pick_by_typing(rows: Sequence[str], colors: Sequence[str]) -> int | None:
    """Show a list that narrows as the user types. Arrow keys move, Enter chooses, Esc cancels.

    Args:
        rows: rows of the list.
        colors: colors of the rows, or empty.

    Returns:
        Position of the chosen row, None if the user canceled.
    """
    descriptor = os.open(TERMINAL, os.O_RDWR | os.O_NOCTTY)
    with open(descriptor, "w", encoding="utf-8", errors="replace") as screen, _raw(descriptor):
        menu = Menu(rows, colors)
        try:
            for key in _read_keys(descriptor, menu, screen):
                if key == "interrupt":
                    raise Interrupted
                if key == "cancel":
                    return None
                if key == "enter":
                    chosen = menu.chosen()
                    if chosen is not None:
                        return chosen
                menu.press(key)
            return None
        finally:
            screen.write("\r\x1b[J")
            screen.flush()


def rows_of(instances: Sequence[Instance]) -> list[str]:
    """Lay out instances for choosing: id, name, addresses and zone, control characters shown as ``?``.

    Args:
        instances: at least one.
    """
    from aws_runas.targets.model import listing

    return [displayed(row) for row in listing(instances)]


def displayed(text: str) -> str:
    """Return a text with ``?`` in place of each control character.

    Args:
        text: untrusted text.
    """
    return "".join(character if character.isprintable() else "?" for character in text)


class Menu:
    """The typed text, the rows that match it, and the marked row; independent of the terminal.

    Args:
        rows: every choice as it is shown.
        colors: color of the mark in front of each row, six hex digits or ""; empty if no row has one.
    """

    def __init__(self, rows: Sequence[str], colors: Sequence[str] = ()) -> None:
        self.rows = rows
        self.colors = colors if any(colors) else ()
        self.query = ""
        self.fitting = list(range(len(rows)))
        self.marked = 0

    def chosen(self) -> int | None:
        """Return the position of the marked row, None if no row matches."""
        return self.fitting[self.marked] if self.fitting else None

    def press(self, key: str) -> None:
        """Handle a key.

        Args:
            key: a name such as ``up``, or the typed character.
        """
        moves = {"up": -1, "down": 1, "page up": -ROWS, "page down": ROWS}
        if key in moves:
            self.marked = max(0, min(len(self.fitting) - 1, self.marked + moves[key]))
            return
        before = self.query
        if key == "backspace":
            self.query = self.query[:-1]
        elif key == "clear":
            self.query = ""
        elif key == "word":
            self.query = " ".join(self.query.split()[:-1])
        elif len(key) == 1 and key.isprintable():
            self.query += key
        if self.query != before:
            self.fitting = rank(self.query, self.rows)
            self.marked = 0

    def lines(self, columns: int, most: int, *, has_footer: bool = True) -> list[str]:
        """Return the lines to draw: the prompt, and as many rows around the marked one as fit.

        Args:
            columns: width of the terminal.
            most: maximum rows of the list.
            has_footer: there is room for a last line that says how many rows fit.
        """
        first = max(0, min(self.marked - most // 2, len(self.fitting) - most))
        drawn = [clipped(f"> {self.query}", columns)]
        for position in range(first, min(first + most, len(self.fitting))):
            row = clipped(self.rows[self.fitting[position]], columns - (4 if self.colors else 2))
            swatch = self._swatch(self.fitting[position])
            drawn.append(swatch + (f"\x1b[7m> {row}\x1b[0m" if position == self.marked else f"  {row}"))
        footer = f"  {len(self.fitting)} of {len(self.rows)}; type to narrow, Enter, Esc"
        return [*drawn, clipped(footer, columns)] if has_footer or not self.fitting else drawn

    def _swatch(self, position: int) -> str:
        """Return a cell in the color of a row (ISO 8613-6, direct color), and a blank."""
        if not self.colors:
            return ""
        color = self.colors[position]
        if not color:
            return "  "
        red, green, blue = bytes.fromhex(color)
        return f"\x1b[48;2;{red};{green};{blue}m \x1b[0m "


def clipped(text: str, columns: int) -> str:
    """Cut a text to a width. Wide characters take two columns.

    Args:
        text: without control characters.
        columns: one more than the text may take.
    """
    taken = 0
    for position, each in enumerate(text):
        taken += 2 if unicodedata.east_asian_width(each) in "WF" else 0 if unicodedata.combining(each) else 1
        if taken >= columns:
            return text[:position]
    return text


def _read_keys(descriptor: int, menu: Menu, screen: TextIO) -> Iterator[str]:
    """Draw before each wait for input; yield the keys until the terminal is closed."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    while True:
        size = shutil.get_terminal_size()
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(descriptor)
        columns, height = size.columns or 80, size.lines or 24  # some terminals do not know their size
        lines = menu.lines(columns, max(1, min(ROWS, height - 3)), has_footer=height > 2)
        column = sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in lines[0]) + 1
        screen.write("\r\x1b[J" + "\r\n".join(lines) + f"\x1b[{len(lines) - 1}A\x1b[{column}G")
        screen.flush()
        data = os.read(descriptor, 1024)
        if not data:
            return
        if data.startswith(b"\x1b") and len(data) == 1 and select.select([descriptor], [], [], ESCAPE_WAIT)[0]:
            data += os.read(descriptor, 1024)
        yield from split_keys(decoder.decode(data))


def split_keys(text: str) -> list[str]:
    """Split the result of one read into keys: names such as ``up``, or the characters typed.

    A terminal may deliver several keys at once, such as Down and Enter from a fast typist, or a paste.

    Args:
        text: decoded input.
    """
    keys = []
    for sequence in _SEQUENCE.findall(text):
        keys.append(_KEYS.get(sequence, "unknown" if len(sequence) > 1 else sequence))
    return keys


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Read single keys without echo. The terminal settings are restored at any exit, including by a signal."""
    import termios
    import tty

    before = termios.tcgetattr(descriptor)

    def end(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    handlers = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)
        yield
    finally:
        # a background process, such as one below `timeout`, would be stopped here and never end
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTTOU})
        for number, handler in handlers.items():
            signal.signal(number, handler)


_START = 3  # a match at the start of a word scores more than one inside,
_RUN = 2  # and so does one right after the previous match


def rank(query: str, rows: Sequence[str]) -> list[int]:
    """Return the positions of the rows that match, the best first, ties in their order.

    Args:
        query: words; the letters of each must occur in the row in order, in any case and with any text between them.
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
    """Return how well a word matches a text; a higher number is better.

    Args:
        word, text: casefolded.

    Returns:
        The score, None if the word does not match.
    """
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
