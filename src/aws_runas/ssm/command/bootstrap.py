"""Bootstrap of the helper in a shell session: raw mode, a marker, numbered lines, then the helper itself.

Line 1 is typed into the session's shell. It replaces that shell with ``sh``, puts the terminal into raw mode, prints a
marker and then executes each line that begins with the nonce. Only line 1 is sent before the marker arrives: data sent
earlier might reach the shell as commands (spec sessions 0.4).

A message may be executed twice (spec 12.16). So each line fits into one message and can be repeated without harm (it is
an assignment, or a line that the next reader skips), and the helper checks its own checksum.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.ssm.command.helper import HELPER, packed_helper

FIRST_OUTPUT_WAIT: Final = 1.2  # seconds of silence before line 1 is typed, spec sessions 0.4
SETTLE_WAIT: Final = 0.05  # seconds after the first output: a shell profile may still print or flush its input
MARKER_WAIT: Final = 3.0  # seconds, spec sessions 0.4
HELLO_WAIT: Final = 20.0  # seconds from the marker to the helper's first frame
ATTEMPTS: Final = 3  # spec sessions 0.4
KEPT_BYTES: Final = 4096  # kept of the last output; the echo of line 1 is removed before it is shown
SHOWN_BYTES: Final = 200  # of the last output, shown in an error; spec sessions 0.4
CHUNK: Final = 900  # characters of an assignment; together with the nonce, it fits into a message of 1,024 bytes
PYTHONS: Final = ("python3", "/usr/libexec/platform-python", "python")  # spec sessions 0.5
# Shell text whose next part runs if the Python in $p is new enough. -V prints the version before the interpreter is set
# up, on standard output since 3.4; a wrapper may print warnings on standard error.
NEW_ENOUGH: Final = 'case $("$p" -V 2>/dev/null </dev/null) in "Python 3."[6-9]*|"Python 3."[1-9][0-9]*)'
TOOLS: Final = ("stty", "dd", "base64", "openssl", "od", "sha256sum", "shasum", "setsid", "gzip", "tar")
# Messages of a helper that was damaged in transit: another attempt helps, another interpreter does not.
_DAMAGED: Final = (b"is damaged", b"zlib.error", b"binascii.Error")
_PASSWORD: Final = re.compile(rb"(?i)(password|passphrase|passwort)[^\n]{0,80}: ?$")

# Runs the program in RUNAS_HELPER after comparing its checksum. The checksum detects damage in transit, as from a
# repeated or lost message. Importing hashlib would take a third of Python's startup time.
_LOADER: Final = (
    "import os,zlib,binascii,sys;"
    'p=zlib.decompress(binascii.a2b_base64(os.environ.pop("RUNAS_HELPER")));'
    'zlib.crc32(p)==%d or sys.exit("runas: the helper is damaged");exec(p)'
)


class BootstrapState(Enum):
    """The progress of a bootstrap."""

    WAITING = auto()  # for the shell's first output
    TYPED = auto()  # line 1 was sent; the marker is awaited
    LOADING = auto()  # the lines were sent; the helper's first frame is awaited
    RUNNING = auto()  # the helper has answered, or the shell has reported that there is no Python
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class BootstrapFailure:
    """Failure of a bootstrap.

    Args:
        reason: one line.
        output: the last output before the failure.
    """

    reason: str
    output: bytes


def quote(text: str) -> str:
    """Quote text as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def first_line(nonce: str) -> bytes:
    """Return line 1. It begins with a space so that shell histories skip it; its echo does not contain the marker."""
    script = (
        f'stty raw -echo 2>/dev/null;printf "\\036{nonce}\\036";'
        f'while IFS= read -r l;do case $l in @{nonce}*)eval "${{l#@{nonce}}}";;esac;done'
    )
    return f" exec /bin/sh -c {quote(script)}\n".encode("ascii")


def start_python(helper: str) -> str:
    """Return the shell text that starts the first Python that is new enough; if there is none, the text after it runs.

    Args:
        helper: shell text of the packed helper: literal characters, or variables in double quotes.
    """
    loader = quote(_LOADER % zlib.crc32(HELPER.encode("ascii")))
    return (
        f"for p in {' '.join(PYTHONS)};do {NEW_ENOUGH}"
        f'RUNAS_HELPER={helper};export RUNAS_HELPER;exec "$p" -I -S -c {loader};;esac;done'
    )


def list_tools() -> str:
    """Return the shell text that prints which tools exist, as a frame of letter ``n``."""
    return (
        f'printf "\\036n0";for t in {" ".join(TOOLS)};do command -v $t >/dev/null 2>&1&&printf "$t.";done;printf "\\n"'
    )


def assignments(name: str, text: str, size: int) -> tuple[list[str], str]:
    """Split a long value into assignments.

    Args:
        name: prefix of the shell variables.
        text: base64 characters.
        size: characters of one assignment.

    Returns:
        The assignments, and the shell text that joins the value again.
    """
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    lines = [f"{name}{number}={part}" for number, part in enumerate(parts)]
    return lines, '"' + "".join(f"${{{name}{number}}}" for number in range(len(parts))) + '"'


def load_helper(bootstrap: Bootstrap) -> list[str]:
    """Return the shell texts that start the helper, or list the tools if no Python can be used."""
    if bootstrap.without_python:
        return [list_tools()]
    lines, helper = assignments("a", packed_helper(), bootstrap.chunk_size())
    return [*lines, f"{start_python(helper)};{list_tools()}"]


class Bootstrap:
    """Starts the helper in a shell session. Does no I/O.

    Args:
        make_nonce: returns 16 fresh hexadecimal characters.
        message_size: bytes of one message; lines are padded to it, so that each message is one line.
        now: monotonic seconds, when the session started.
        load: returns the shell texts that follow the marker, one per line; by default those that load the helper.
        without_python: do not use Python, because the instance's Python does not start.

    Source: spec sessions 0.4 and 0.5.
    """

    def __init__(
        self,
        make_nonce: Callable[[], str],
        message_size: int,
        now: float,
        load: Callable[[Bootstrap], list[str]] | None = None,
        *,
        without_python: bool = False,
    ) -> None:
        self._make_nonce = make_nonce
        self._load_texts = load or load_helper
        self.without_python = without_python
        self._message_size = message_size
        self.state = BootstrapState.WAITING
        self.failure: BootstrapFailure | None = None
        self.nonce = ""
        self._nonces: list[str] = []
        self._tail = b""  # received, but not recognized yet
        self._shown = b""  # last output, for an error
        self._behind_marker = b""  # the last output after the marker
        self._due: float | None = now + FIRST_OUTPUT_WAIT
        self._to_send: list[bytes] = []

    def receive_data(self, data: bytes, now: float) -> bytes:
        """Process output of the session, and return the helper's part: everything after the marker.

        Args:
            data: output of the session.
            now: monotonic seconds.
        """
        if self.state in (BootstrapState.LOADING, BootstrapState.RUNNING):
            self._note(data)
            self._behind_marker = (self._behind_marker + data)[-KEPT_BYTES:]
            return data
        if self.state is BootstrapState.FAILED:
            return b""
        self._note(data)
        self._tail = (self._tail + data)[-8192:]
        if self.state is BootstrapState.WAITING:
            self._due = min(self._due or now, now + SETTLE_WAIT)
        for nonce in self._nonces:
            marker = f"\x1e{nonce}\x1e".encode("ascii")
            _, found, behind = self._tail.partition(marker)
            if found:
                self.nonce = nonce
                self._load(now)
                self._behind_marker = behind
                return behind
        if _PASSWORD.search(self._tail):
            self._fail("the session asks for a password")
        return b""

    @property
    def python_failed(self) -> bool:
        """True if the interpreter printed something other than the helper's first frame."""
        words = self._behind_marker
        return self.state is BootstrapState.LOADING and bool(words.strip()) and not any(map(words.count, _DAMAGED))

    def session_ended(self) -> BootstrapFailure:
        """Return why no helper is running; call it if the session ends before a helper has answered."""
        return self.failure or self._describe("the session ended")

    def helper_answered(self) -> None:
        """Note the helper's first frame: the bootstrap is complete."""
        self.state = BootstrapState.RUNNING
        self._due = None

    def handle_timer(self, now: float) -> None:
        """Type line 1, type it again with a new nonce, or give up, if that is due."""
        if self._due is None or now < self._due:
            return
        if self.state is BootstrapState.LOADING:
            self._fail("the helper did not start")
        elif len(self._nonces) >= ATTEMPTS:
            self._fail(f"the shell did not answer {ATTEMPTS} times")
        else:
            self._nonces.append(self._make_nonce())
            self.state = BootstrapState.TYPED
            self._to_send.append(first_line(self._nonces[-1]))
            self._due = now + MARKER_WAIT

    def next_timer(self) -> float | None:
        """Return when `handle_timer` has work, in monotonic seconds; None for never."""
        return self._due

    def data_to_send(self) -> list[bytes]:
        """Return the queued messages, and empty the queue. Send each as one message."""
        to_send, self._to_send = self._to_send, []
        return to_send

    def line(self, text: str) -> bytes:
        """Return shell text as a line that the remote shell executes, padded to whole messages."""
        line = f"@{self.nonce}{text}".encode("ascii")
        missing = -(len(line) + 1) % self._message_size
        return line + b" " * missing + b"\n"

    def chunk_size(self) -> int:
        """Return how many characters of a value one line may assign."""
        return max(min(CHUNK, self._message_size - 64), 16)

    def _load(self, now: float) -> None:
        self._to_send += [self.line(text) for text in self._load_texts(self)]
        self.state = BootstrapState.LOADING
        self._due = now + HELLO_WAIT
        self._tail = b""

    def _note(self, data: bytes) -> None:
        self._shown = (self._shown + data)[-KEPT_BYTES:]

    def _fail(self, reason: str) -> None:
        self.state = BootstrapState.FAILED
        self._due = None
        self.failure = self._describe(reason)

    def _describe(self, reason: str) -> BootstrapFailure:
        lines = self._shown.splitlines(keepends=True)
        foreign = [line for line in lines if not any(nonce.encode("ascii") in line for nonce in self._nonces)]
        return BootstrapFailure(reason, b"".join(foreign)[-SHOWN_BYTES:])
