"""Finds the command that opens a browser, if there is one, and runs it.

Python's `webbrowser` is not used: it may start a text browser in the user's terminal.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError

# Refused, because they would draw on the terminal, and cannot run the pages of an identity provider.
TEXT_BROWSERS = frozenset(
    ("browsh", "carbonyl", "chawan", "elinks", "links", "links2", "lynx", "netrik", "retawq", "w3m", "www-browser")
)
# Set if BROWSER leads to an editor on another machine, and in WSL.
_APART = ("VSCODE_IPC_HOOK_CLI", "CODESPACES", "REMOTE_CONTAINERS", "WSL_DISTRO_NAME", "WSL_INTEROP")
CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")  # of Docker and Podman
# Variables with these words in their names are not passed to the browser.
_PRIVATE = ("PASSWORD", "PASSPHRASE", "SECRET", "MFA_CODE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")

Which = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Browser:
    """Options for opening an address.

    Args:
        commands: argument lists, tried in order; ``%s`` in an argument is replaced with the address, which is appended
            if there is no ``%s``.
        origin: where the setting comes from, as shown to the user.
    """

    commands: tuple[tuple[str, ...], ...]
    origin: str


@dataclass(frozen=True, slots=True)
class NoBrowser:
    """There is no browser here.

    Args:
        reason: text for the user, such as ``this is an ssh session``.
    """

    reason: str


def find_browser(
    environ: Mapping[str, str],
    chosen: str | None = None,
    *,
    platform: str = sys.platform,
    which: Which | None = None,
    is_container: Callable[[], bool] | None = None,
) -> Browser | NoBrowser:
    """Find the command that opens a browser.

    ``--browser``, ``RUNAS_BROWSER`` and ``BROWSER`` are trusted in every environment, since VS Code and Codespaces set
    ``BROWSER`` and forward the port.

    Args:
        environ: environment variables.
        chosen: the argument of ``--browser``.
        platform: a value of `sys.platform`.
        which: finds a program in PATH.
        is_container: returns True if this process runs in a container.

    Raises:
        ConfigError: ``--browser`` or RUNAS_BROWSER is not the name of a program, or names a text browser.
    """
    find = which or (lambda name: shutil.which(name, path=environ.get("PATH")))
    for value, origin in ((chosen, "--browser"), (environ.get("RUNAS_BROWSER"), "RUNAS_BROWSER")):
        if value:
            return _explicit(value, origin, find)
    commands = _listed(environ.get("BROWSER", ""), find)
    if commands:
        return Browser(commands, "BROWSER")
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        return NoBrowser("this is an ssh session")
    if (is_container or _is_container)():
        return NoBrowser("this is a container and BROWSER is not set")
    return _of_the_system(environ, platform, find)


def open_address(browser: Browser, address: str, environ: Mapping[str, str]) -> bool:
    """Start the browser and return at once; its output does not reach the terminal.

    Args:
        browser: from `find_browser`.
        address: the address to open.
        environ: environment variables for the browser; those that hold secrets are removed.

    Returns:
        False if none of the commands could be started.
    """
    variables = {name: value for name, value in environ.items() if not any(word in name for word in _PRIVATE)}
    for command in browser.commands:
        try:
            process = subprocess.Popen(
                _with_address(command, address),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=variables,
            )
        except OSError:
            continue
        threading.Thread(target=process.wait, daemon=True).start()  # nothing else reaps the process
        return True
    return False


def is_apart(browser: Browser, environ: Mapping[str, str], *, which: Which | None = None) -> bool:
    """Return True if the browser cannot read files of this user: on another machine, outside of WSL, in a snap.

    Args:
        browser: from `find_browser`.
        environ: environment variables.
        which: finds a program in PATH.
    """
    if any(environ.get(name) for name in _APART):
        return True
    find = which or (lambda name: shutil.which(name, path=environ.get("PATH")))
    paths = (os.path.realpath(path) for path in (find(command[0]) for command in browser.commands) if path)
    return any(path.startswith("/snap/") or path == "/usr/bin/snap" for path in paths)


def _explicit(value: str, origin: str, find: Which) -> Browser:
    command = _split(value)
    if not command or find(command[0]) is None:
        raise ConfigError(
            f"browser {value!r} ({origin}) is not a program in PATH",
            code="browser-not-found",
            hint="name a program, or a command line with %s for the address",
        )
    if _is_text_browser(command[0]):
        raise ConfigError(
            f"{value!r} ({origin}) is a text browser, which cannot sign in",
            code="browser-not-found",
            hint="name a graphical browser, or use --no-browser",
        )
    return Browser((command,), origin)


def _listed(value: str, find: Which) -> tuple[tuple[str, ...], ...]:
    """Read BROWSER: commands separated by colons; commands that cannot be used are skipped."""
    commands = (_split(entry) for entry in value.split(os.pathsep))
    return tuple(
        command for command in commands if command and find(command[0]) is not None and not _is_text_browser(command[0])
    )


def _of_the_system(environ: Mapping[str, str], platform: str, find: Which) -> Browser | NoBrowser:
    if platform == "darwin":
        return Browser((("open",),), "the system")
    windows = (("rundll32", "url.dll,FileProtocolHandler"), ("rundll32.exe", "url.dll,FileProtocolHandler"))
    if platform == "win32":
        return Browser((windows[0],), "the system")
    candidates: list[tuple[str, ...]] = []
    if environ.get("WSL_DISTRO_NAME") or environ.get("WSL_INTEROP"):
        candidates += [("wslview",), windows[1]]
    if environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"):
        candidates.append(("xdg-open",))
    usable = tuple(command for command in candidates if find(command[0]) is not None)
    if usable:
        return Browser(usable, "the system")
    if candidates:
        return NoBrowser(f"{candidates[-1][0]} is not in PATH")
    return NoBrowser("there is no display")


def _split(text: str) -> tuple[str, ...]:
    try:
        words = shlex.split(text)
    except ValueError:
        return ()
    return tuple(words[:-1] if words[-1:] == ["&"] else words)


def _is_text_browser(program: str) -> bool:
    return os.path.basename(program).removesuffix(".exe") in TEXT_BROWSERS


def _with_address(command: tuple[str, ...], address: str) -> list[str]:
    if any("%s" in word for word in command[1:]):
        return [command[0], *(word.replace("%s", address) for word in command[1:])]
    return [*command, address]


def _is_container() -> bool:
    return any(Path(path).exists() for path in CONTAINER_FILES)
