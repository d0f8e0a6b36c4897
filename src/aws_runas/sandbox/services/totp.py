"""MFA codes (RFC 6238: HMAC-SHA-1, 30 seconds, 6 digits) and the device that accepts each once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import threading

STEP = 30  # seconds, RFC 6238 section 4.1
DRIFT = 1  # steps that a device's clock may be off, either way


def code_at(seed: str, step: int) -> str:
    """Return the code of one time step.

    Args:
        seed: base32, as a virtual device shows it.
        step: seconds since the epoch divided by STEP.
    """
    key = base64.b32decode(seed + "=" * (-len(seed) % 8), casefold=True)
    digest = hmac.digest(key, struct.pack(">Q", step), hashlib.sha1)
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


class Device:
    """One MFA device: checks codes, takes each time step once, and can be asked for a code that is still good."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self._used: set[int] = set()
        self._promised: set[int] = set()
        self._lock = threading.Lock()

    def accept(self, code: str, now: float) -> bool:
        """Take a code if it belongs to now (or was promised) and was not taken before."""
        current = int(now // STEP)
        with self._lock:
            for step in sorted({*range(current - DRIFT, current + DRIFT + 1), *self._promised}):
                if step not in self._used and hmac.compare_digest(code_at(self.seed, step), code):
                    self._used.add(step)
                    self._promised.discard(step)
                    return True
        return False

    def fresh_code(self, now: float) -> str:
        """Return a code that nobody was given yet and that will be accepted, even where others used up the present.

        A person would wait for the device to show the next one; a hundred tests cannot.
        """
        with self._lock:
            step = int(now // STEP)
            while step in self._used or step in self._promised:
                step += 1
            self._promised.add(step)
            return code_at(self.seed, step)
