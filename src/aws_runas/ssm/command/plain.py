"""Carrier N without Python: plain streams, each ended by a sentinel that is removed. Does no I/O.

The sentinel ends each stream in ASCII, so the agent keeps no incomplete character back (spec sessions 0.3 b). The
character U+FFFD is still damaged there (0.3 a).
"""

from __future__ import annotations

from typing import Final

MAX_STATUS_DIGITS: Final = 3


def plain_script(nonce: str) -> str:
    """Return the shell text that runs the script in RUNAS_SCRIPT and prints the sentinels."""
    return (
        "unset RUNAS_REQUEST RUNAS_HELPER;"
        'C=$(printf %s "$RUNAS_SCRIPT"|base64 -d 2>/dev/null||printf %s "$RUNAS_SCRIPT"|openssl base64 -d -A);'
        'unset RUNAS_SCRIPT;{ (eval "$C" 2>&3 3>&-);S=$?;} 3>&2 2>/dev/null;'
        f'printf "\\036{nonce} $S\\036";printf "\\036{nonce}\\036" >&2'
    )


class SentinelFilter:
    """One stream: passes data on and keeps back what may be the sentinel.

    Args:
        nonce: of plain_script.
        with_status: the sentinel holds the command's status, as on standard output.
    """

    def __init__(self, nonce: str, *, with_status: bool) -> None:
        self._start = f"\x1e{nonce}{' ' if with_status else ''}".encode("ascii")
        self._longest = len(self._start) + MAX_STATUS_DIGITS + 1
        self._kept = b""
        self.status: int | None = None
        self.ended = False

    def receive_data(self, data: bytes) -> bytes:
        """Take output, and return the part that is the command's."""
        if self.ended:
            return b""
        data = self._kept + data
        at = data.rfind(self._start)
        if at >= 0:
            digits, found, _ = data[at + len(self._start) :].partition(b"\x1e")
            if found and len(digits) <= MAX_STATUS_DIGITS and (digits.isdigit() or not digits):
                self.status = int(digits or b"0")
                self.ended = True
                self._kept = b""
                return data[:at]
        last = data.rfind(b"\x1e")
        kept = max(len(data) - self._longest, 0) if last < 0 else max(last, len(data) - self._longest)
        if last < 0 or last < len(data) - self._longest:
            kept = len(data)
        self._kept = data[kept:]
        return data[:kept]

    def rest(self) -> bytes:
        """Return what was kept back, at the end of a session without a sentinel."""
        kept, self._kept = self._kept, b""
        return kept
