"""The line that a command keeps redrawing at the bottom of its output on a terminal."""

from __future__ import annotations

import os
from typing import TextIO

DEFAULT_COLUMNS = 80  # of a terminal that does not know its size


class StatusLine:
    """A line that replaces the previous one when drawn, and that can be removed completely.

    It is drawn and removed only while our process group is in the foreground: a background job must not draw over a
    prompt. A terminal that became narrower wraps the line that it shows; all its rows are removed.

    Args:
        stream: stream of the terminal. The caller writes the results of the methods to it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._shown = ""

    def drawn(self, text: str) -> str:
        """Return the characters that draw a text, cut to one row; "" if nothing should be drawn.

        Args:
            text: without control characters and wide characters.
        """
        text = text[: max(1, self._columns() - 1)]
        if text == self._shown or not self._owns_terminal():
            return ""
        start = self._removal()
        self._shown = text
        return start + text

    def removed(self) -> str:
        """Return the characters that remove the line, if there is one; the next `drawn` begins a new one."""
        text = self._removal() if self._shown and self._owns_terminal() else ""
        self._shown = ""
        return text

    def _removal(self) -> str:
        rows_above = (len(self._shown) - 1) // self._columns() if self._shown else 0
        return "\r" + "\x1b[A" * rows_above + ("\x1b[J" if rows_above else "\x1b[K")

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or DEFAULT_COLUMNS
        except (OSError, ValueError):
            return DEFAULT_COLUMNS

    def _owns_terminal(self) -> bool:
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except (OSError, ValueError):
            return False
        except AttributeError:  # Windows, which has no process groups
            return True
