"""The outside world of one command as one object, so that tests can pass their own."""

from __future__ import annotations

import errno
import io
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, Final, Literal, TextIO, cast

from aws_runas import files
from aws_runas.dataclass import dataclass
from aws_runas.notices import LossyWriter
from aws_runas.redact import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from aws_runas.config.files import ConfigFiles


class _Closed(io.BytesIO):
    """Replacement for a standard output that was closed before the start. Writing to it is an error."""

    def write(self, _data: object) -> int:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class _PatientStderr(io.FileIO):
    """Wrapper for stderr that no write stops: not a full disk, not a closed pipe, and during a session no full one."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._writer = LossyWriter(descriptor)

    def write(self, data: ReadableBuffer, /) -> int:
        written = bytes(data)
        self._writer.write(written)
        return len(written)


def _stderr() -> TextIO:
    stream = sys.stderr
    if stream is None:
        return io.StringIO()
    if stream is not sys.__stderr__ or not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = cast("BinaryIO", _PatientStderr(stream.fileno()))
    return io.TextIOWrapper(raw, stream.encoding, stream.errors, write_through=True)


@dataclass(frozen=True, slots=True)
class Environment:
    """Streams, variables, home and clock of one run.

    Args:
        stdin, stdout: binary, as a program's data passes through them; results are written as UTF-8.
        stderr: text, for the user.
        environ: the variables, never changed.
        home: contains ``.aws``, unless variables name the files.
        now: seconds since the epoch.
        function: ``VERSION:SHELL:NAME`` of the shell function that requests exports, "" if none does.
    """

    stdin: BinaryIO = field(default_factory=lambda: sys.stdin.buffer if sys.stdin else io.BytesIO())
    stdout: BinaryIO = field(default_factory=lambda: sys.stdout.buffer if sys.stdout else _Closed())
    stderr: TextIO = field(default_factory=_stderr)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    home: Path = field(default_factory=Path.home)
    now: Callable[[], float] = time.time
    function: str = ""
    _files: list[ConfigFiles] = field(default_factory=list, repr=False)

    def config_files(self) -> ConfigFiles:
        """Return the config and credentials files, read at the first call of this run.

        Raises:
            ConfigError: a file is damaged or cannot be read.
        """
        if not self._files:
            from aws_runas.config.files import load_files

            found = load_files(self.environ, self.home)
            for path in (found.config.path, found.credentials.path):
                files.remove_unfinished(path, min_age=files.LEFTOVER_AGE)
            self._files.append(found)
        return self._files[0]

    def warn(self, line: str) -> None:
        """Write a warning to stderr.

        Args:
            line: without a line end; control characters are escaped.
        """
        self.tell(f"aws-runas: warning: {printable(line)}\n")

    def tell(self, text: str) -> None:
        """Write to stderr at once, for the user. Control characters other than line ends and tabs are escaped.

        Args:
            text: with its line end; may contain untrusted text.
        """
        self.stderr.write(printable(text, keep="\n\t"))
        self.stderr.flush()

    def cache_directory(self) -> Path:
        """Return the cache directory of this run; it may not exist yet."""
        from aws_runas.config.files import config_path
        from aws_runas.credentials.cache import cache_directory

        return cache_directory(self.environ, config_path(self.environ, self.home), self.home)

    def profile_names(self) -> list[str]:
        """Return the names of the profiles in both files.

        Raises:
            ConfigError: see `config_files`.
        """
        return self.config_files().profile_names()


StreamName = Literal["stdin", "stdout", "stderr"]
STREAMS: Final[tuple[StreamName, ...]] = ("stdin", "stdout", "stderr")


def stream_descriptor(env: Environment, name: StreamName) -> int:
    """Return the descriptor of a standard stream, or of a replacement.

    The replacement of a closed standard input is empty. That of a closed standard error discards everything. Writing to
    that of a closed standard output fails, as in a shell, because the requested output would be lost otherwise.
    """
    stream: IO[bytes] | IO[str] = getattr(env, name)
    try:
        return stream.fileno()
    except (OSError, ValueError):  # closed, or not a real file
        return os.open(os.devnull, os.O_WRONLY if name == "stderr" else os.O_RDONLY)
