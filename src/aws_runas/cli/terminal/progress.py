"""The progress of a copy on stderr: a bar on a terminal, lines or JSON elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TextIO

from aws_runas.cli.terminal.status_line import StatusLine
from aws_runas.redact import printable

if TYPE_CHECKING:
    from aws_runas.ssm.copy.transfer import Progress

PLAIN_INTERVAL: Final = 5.0  # seconds between two lines
JSON_INTERVAL: Final = 1.0
BAR_INTERVAL: Final = 0.2
UNITS: Final = ("B", "kB", "MB", "GB", "TB")


class ProgressLine:
    """Shows the progress of a copy.

    Args:
        kind: ``auto``, ``bar``, ``plain``, ``json`` or ``none``.
        clock: monotonic seconds.
    """

    def __init__(self, stream: TextIO, kind: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._kind = kind if kind != "auto" else "bar" if stream.isatty() else "none"
        self._status_line = StatusLine(stream)
        self._clock = clock
        self._began = clock()
        self._shown_at = self._began

    def show(self, progress: Progress) -> None:
        """Draw the progress, unless it was drawn only a moment ago.

        Args:
            progress: progress of the copy.
        """
        now = self._clock()
        interval = {"bar": BAR_INTERVAL, "plain": PLAIN_INTERVAL, "json": JSON_INTERVAL}.get(self._kind)
        if interval is None or now - self._shown_at < interval:
            return
        self._shown_at = now
        seconds = now - self._began
        if self._kind == "json":
            values = {"event": "progress", "done": progress.done, "total": progress.total, "files": progress.files_done}
            self._write(json.dumps(values | {"seconds": round(seconds, 1)}) + "\n")
        elif self._kind == "plain":
            self._write(f"aws-runas: {describe(progress, seconds)}\n")
        else:
            self._write(self._status_line.drawn(describe(progress, seconds)))

    def note(self, text: str) -> None:
        """Write a line for the user; the bar is drawn again below it.

        Args:
            text: without a line end.
        """
        self.close()
        self._write(f"aws-runas: {printable(text)}\n")

    def close(self) -> None:
        """Remove the bar."""
        self._write(self._status_line.removed())

    def summary(self, progress: Progress, sessions: int, carrier: str) -> str:
        """Return the last line, "" if no progress is shown.

        Args:
            progress: progress of the copy.
            sessions: number of sessions used.
            carrier: transport of the bytes.
        """
        if self._kind == "none":
            return ""
        seconds = max(self._clock() - self._began, 0.001)
        if self._kind == "json":
            values = {"event": "finished", "done": progress.done, "files": progress.files_done, "sent": progress.sent}
            return json.dumps(values | {"sessions": sessions, "carrier": carrier, "seconds": round(seconds, 1)}) + "\n"
        plural = "" if progress.files_done == 1 else "s"
        rate = size(progress.done / seconds)
        return (
            f"aws-runas: {progress.files_done} file{plural}, {size(progress.done)} in {seconds:.1f} s, {rate}/s, "
            f"sessions: {sessions} ({carrier})\n"
        )

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def describe(progress: Progress, seconds: float) -> str:
    """Return percentage, bytes, rate and remaining time.

    Args:
        progress: progress of the copy.
        seconds: time since it began.
    """
    done = progress.done - progress.resumed
    rate = done / seconds if seconds > 0 else 0.0
    text = f"{size(progress.done)} of {size(progress.total)}" if progress.total else size(progress.done)
    percent = f"{100 * progress.done // progress.total:3d} %  " if progress.total else ""
    left = (progress.total - progress.done) / rate if rate > 0 else 0.0
    remaining = f"  {int(left) // 60}:{int(left) % 60:02d} left" if left else ""
    return f"{percent}{text}  {size(rate)}/s  {progress.files_done} of {progress.files} files{remaining}"


def size(count: float) -> str:
    """Return bytes with a unit, such as ``1.2 MB``.

    Args:
        count: number of bytes.
    """
    for unit in UNITS[:-1]:
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} {UNITS[-1]}"
