"""Context of providers and sign-ins: their run, the user's options, and lines from the terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path

from aws_runas.dataclass import dataclass
from aws_runas.signin.person import TERMINAL, login_choice, may_sign_in

MAX_LINE = 65536  # bytes
DEFAULT_TIMEOUT = 600.0  # seconds that a sign-in may take


class TerminalLines:
    """Reads lines from the terminal of this process. Call `close`, or use ``with``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> TerminalLines:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._descriptor

    def read_line(self) -> str | None:
        """Return the typed line; None at the end of input."""
        try:
            data = os.read(self._descriptor, MAX_LINE)
        except OSError:
            return None
        return data.decode("utf-8", "replace") if data else None


def open_terminal() -> TerminalLines | None:
    """Open the terminal for reading; return None if there is none, or if another job of the shell has it."""
    if os.name != "posix":
        return None
    try:
        descriptor = os.open(TERMINAL, os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return None
    try:
        if os.tcgetpgrp(descriptor) == os.getpgrp():  # reading in the background would stop this process
            return TerminalLines(descriptor)
    except OSError:
        pass
    os.close(descriptor)
    return None


def _silent(_: str) -> None:
    pass


def _nothing() -> None:
    pass


def _no() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run that providers belong to.

    Args:
        environ: environment variables, which contain settings and paths.
        home: the user's home directory.
        now: returns seconds since the epoch.
        warn: receives lines that the user should see.
        debug: receives lines for ``-v``; never a secret.
        trace: receives a line for each AWS call; None if they are not needed.
    """

    environ: Mapping[str, str]
    home: Path
    now: Callable[[], float]
    warn: Callable[[str], None] = _silent
    debug: Callable[[str], None] = _silent
    trace: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class SignInOptions:
    """The flags of `login`.

    Args:
        device_code: use a device code instead of a browser on this machine.
        no_browser: print the address instead of opening a browser.
        browser: command that opens an address; None for RUNAS_BROWSER, BROWSER or the system's default.
        redirect_port: port of the callback; 0 lets the system choose.
        timeout: seconds that a sign-in may take.
        fresh_browser: use an empty browser profile for the separate browser window.
        force: sign in even if there is a valid session.
    """

    device_code: bool = False
    no_browser: bool = False
    browser: str | None = None
    redirect_port: int = 0
    timeout: float = DEFAULT_TIMEOUT
    fresh_browser: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class SignInContext:
    """The environment of a sign-in, which tests can replace.

    Args:
        cache: the cache directory, for locks.
        environ: environment variables.
        home: the home directory, which contains ``.aws/sso/cache``.
        say: receives lines that the user must see, such as the address to open; prints them on stderr.
        debug: receives lines for ``-v``; never a code, a state or a token.
        options: flags of the user.
        unattended: this run serves another program, so no window may open (RUNAS_LOGIN=always overrides).
        explicit: the user asked for the sign-in itself (`login`); a terminal is not required in this case.
        is_terminal_taken: returns True if the user's program has the terminal, so that no prompt may use it any more.
        is_attended: returns True if a person started the sign-in on our web page and waits there; has the same effect
            as `explicit`, but may change.
        terminal: opens the terminal for a pasted address; returns None if nothing can be pasted.
        signed_in: called after each sign-in, to discard what was cached for the user before.
        now: returns seconds since the epoch.
        clock: returns monotonic seconds.
        sleep: waits for seconds.
    """

    cache: Path
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    home: Path = field(default_factory=Path.home)
    say: Callable[[str], None] = _silent
    debug: Callable[[str], None] = _silent
    options: SignInOptions = SignInOptions()
    unattended: bool = False
    explicit: bool = False
    is_terminal_taken: Callable[[], bool] = _no
    is_attended: Callable[[], bool] = _no
    terminal: Callable[[], TerminalLines | None] = open_terminal
    signed_in: Callable[[], None] = _nothing
    now: Callable[[], float] = time.time
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    @property
    def is_asked_for(self) -> bool:
        """True if the user asked for the sign-in itself."""
        return self.explicit or self.is_attended()

    def may_sign_in(self) -> bool:
        """Return True if a window may open or the user may be prompted.

        Raises:
            ConfigError: RUNAS_LOGIN is invalid.
        """
        if self.is_asked_for:
            return login_choice(self.environ) != "never"
        return may_sign_in(self.environ, unattended=self.unattended or self.is_terminal_taken())
