"""A separate browser window: finds the program, starts it with two descriptors for DevTools, and drives it.

There is no TCP port, so other users of the machine cannot reach the browser. Its profile is in a separate directory,
since browsers do not allow DevTools with the user's default profile.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from aws_runas import files
from aws_runas.config.profile import Setting
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError, CredentialsError
from aws_runas.signin.devtools import DevTools, Outcome, WindowClosed

END_TIME = 5.0  # seconds for the browser to close its files
READ_SIZE = 64 * 1024
TEST_ARGUMENTS = "RUNAS_TEST_BROWSER_ARGUMENTS"  # only for tests: --headless, --no-sandbox
PROGRAMS = {  # auth_browser -> programs
    "chrome": ("google-chrome", "google-chrome-stable", "chrome"),
    "msedge": ("microsoft-edge", "microsoft-edge-stable", "msedge"),
    "chromium": ("chromium", "chromium-browser"),
    "brave": ("brave-browser", "brave"),
    "vivaldi": ("vivaldi", "vivaldi-stable"),
}
_PLACES = {  # paths of the programs on macOS and Windows
    "darwin": {
        "chrome": ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",),
        "msedge": ("/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",),
        "chromium": ("/Applications/Chromium.app/Contents/MacOS/Chromium",),
        "brave": ("/Applications/Brave Browser.app/Contents/MacOS/Brave Browser",),
        "vivaldi": ("/Applications/Vivaldi.app/Contents/MacOS/Vivaldi",),
    },
}
_ARGUMENTS = (
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-sync",
    "--window-size=500,750",
)
_PRIVATE = ("PASSWORD", "PASSPHRASE", "SECRET", "MFA_CODE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")


def find_program(chosen: Setting[str] | None, environ: Mapping[str, str], *, platform: str = sys.platform) -> str:
    """Return the path of the browser.

    Args:
        chosen: ``auth_browser``: a name in PROGRAMS or a path; None for the first one that exists.
        environ: environment variables.
        platform: a value of `sys.platform`.

    Raises:
        ConfigError: the chosen browser does not exist.
        CredentialsError: no browser exists.
    """
    if chosen is not None and chosen.value.lower() not in PROGRAMS:
        path: str | None = shutil.which(os.path.expanduser(chosen.value), path=environ.get("PATH"))
        if path is None:
            raise ConfigError(
                f"auth_browser {chosen.value} ({chosen.origin}) is not a program",
                code="browser-not-found",
                hint=f"use one of: {', '.join(PROGRAMS)}; or the path of a browser of the Chrome family",
            )
        return path
    names = list(PROGRAMS) if chosen is None else [chosen.value.lower()]
    for name in names:
        for program in (*PROGRAMS[name], *_PLACES.get(platform, {}).get(name, ())):
            path = shutil.which(program, path=environ.get("PATH"))
            if path is not None:
                return path
    if chosen is not None:
        raise ConfigError(
            f"auth_browser {chosen.value} ({chosen.origin}) is not installed",
            code="browser-not-found",
            hint="install it, or name another browser",
        )
    raise CredentialsError(
        "no browser of the Chrome family is installed",
        code="browser-missing",
        hint="install Chromium, Chrome, Edge, Brave or Vivaldi, or set auth_browser = PATH",
    )


def why_impossible(environ: Mapping[str, str], *, platform: str = sys.platform) -> str:
    """Return why no window can be opened here; "" if one can."""
    if platform == "win32":
        return "driving a browser works on Linux and macOS only"
    has_display = environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY") or platform == "darwin"
    if not has_display and "--headless" not in environ.get(TEST_ARGUMENTS, ""):
        return "there is no display"
    return ""


@dataclass(frozen=True, slots=True)
class Window:
    """Options of the window.

    Args:
        program: path of the browser.
        profile: directory of the browser profile; None for an empty one that is removed afterwards.
        timeout: seconds that the sign-in may take.
    """

    program: str
    profile: Path | None
    environ: Mapping[str, str]
    timeout: float
    clock: Callable[[], float] = time.monotonic

    def run(self, machine: DevTools) -> Outcome:
        """Open the window and drive it until the machine has an outcome.

        Raises:
            CredentialsError: the browser cannot be started, was closed, or the sign-in took too long.
        """
        reason = why_impossible(self.environ)
        if reason:
            raise CredentialsError(
                f"no browser window can be opened: {reason}",
                code="browser-missing",
                hint="sign in on a desktop, or use provider form or process",
            )
        with self._directory() as directory, _started(self.program, self._arguments(directory), self.environ) as pipes:
            outcome = self._drive(machine, *pipes)
        if isinstance(outcome, WindowClosed):
            is_root = hasattr(os, "geteuid") and os.geteuid() == 0
            raise CredentialsError(
                f"the sign-in did not end: {outcome.reason}",
                code="login-denied",
                hint="browsers of the Chrome family refuse to run as root: use another user"
                if is_root
                else "try again, and leave the window open until it says that you are signed in",
            )
        return outcome

    @contextlib.contextmanager
    def _directory(self) -> Iterator[Path]:
        if self.profile is not None:
            try:
                files.make_private_directory(self.profile)
            except OSError as error:
                raise CredentialsError(
                    f"cannot use {self.profile}: {(error.strerror or str(error)).lower()}",
                    code="browser-profile-unusable",
                    hint="use --fresh-browser, or make it a private directory",
                ) from None
            # one window for each profile: a second browser process would pass its page to the first one and exit
            with files.lock(self.profile.with_name(f"{self.profile.name}.lock")):
                yield self.profile
            return
        with tempfile.TemporaryDirectory(prefix="aws-runas-browser-", ignore_cleanup_errors=True) as name:
            yield Path(name)

    def _arguments(self, directory: Path) -> list[str]:
        more = self.environ.get(TEST_ARGUMENTS, "").split()
        return [self.program, *_ARGUMENTS, f"--user-data-dir={directory}", *more, "about:blank"]

    def _drive(self, machine: DevTools, reader: int, writer: int) -> Outcome:
        deadline = self.clock() + self.timeout
        os.set_blocking(reader, False)
        with selectors.DefaultSelector() as selector:
            selector.register(reader, selectors.EVENT_READ)
            while machine.outcome is None:
                _write(writer, machine.data_to_send())
                left = deadline - self.clock()
                if left <= 0:
                    raise CredentialsError(
                        f"no sign-in within {self.timeout:.0f} s",
                        code="login-timeout",
                        hint="try again; aws-runas login --timeout 15m gives more time",
                    )
                if selector.select(left):
                    _read(reader, machine)
            outcome = machine.outcome
            machine.close()
            _write(writer, machine.data_to_send())
            self._wait_end(selector, reader)
        return outcome

    def _wait_end(self, selector: selectors.BaseSelector, reader: int) -> None:
        """Read until the browser has closed its end of the pipe: then its cookies are on disk."""
        deadline = self.clock() + END_TIME
        while self.clock() < deadline and selector.select(max(0.0, deadline - self.clock())):
            try:
                if not os.read(reader, READ_SIZE):
                    return
            except OSError:
                return


def _write(descriptor: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # the browser has ended; the next read detects it
        while data:
            data = data[os.write(descriptor, data) :]


def _read(descriptor: int, machine: DevTools) -> None:
    try:
        data = os.read(descriptor, READ_SIZE)
    except BlockingIOError:
        return
    except OSError:
        data = b""
    if data:
        machine.receive_data(data)
    else:
        machine.receive_end()


@contextlib.contextmanager
def _started(program: str, arguments: list[str], environ: Mapping[str, str]) -> Iterator[tuple[int, int]]:
    """Start the browser with our pipes as its descriptors 3 and 4; end it when the block exits."""
    variables = {name: value for name, value in environ.items() if not any(word in name for word in _PRIVATE)}
    to_browser, from_browser = os.pipe(), os.pipe()
    # above 4, so that no dup2 in the child closes a descriptor that the next one needs
    high = [_above(descriptor) for descriptor in (to_browser[0], from_browser[1])]
    try:
        actions = [
            (os.POSIX_SPAWN_DUP2, high[0], 3),
            (os.POSIX_SPAWN_DUP2, high[1], 4),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        try:
            process = os.posix_spawn(program, arguments, variables, file_actions=actions, setpgroup=0)
        except OSError as error:
            raise CredentialsError(
                f"cannot start {program}: {(error.strerror or str(error)).lower()}",
                code="browser-missing",
                hint="set auth_browser to another browser",
            ) from None
        finally:
            for descriptor in (to_browser[0], from_browser[1], *high):
                os.close(descriptor)
        try:
            yield from_browser[0], to_browser[1]
        finally:
            os.close(to_browser[1])  # a browser exits when its pipe is closed
            to_browser = (-1, -1)
            _end(process)
    finally:
        for descriptor in {from_browser[0], to_browser[1]} - {-1}:
            os.close(descriptor)


def _above(descriptor: int) -> int:
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)


def _end(process: int) -> None:
    """Wait for the browser, and kill its process group if it does not exit by itself."""
    deadline = time.monotonic() + END_TIME
    while time.monotonic() < deadline:
        try:
            if os.waitpid(process, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return
        time.sleep(0.02)
    with contextlib.suppress(OSError):
        os.killpg(process, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.waitpid(process, 0)
