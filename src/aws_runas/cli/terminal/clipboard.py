"""The clipboard: a program of the desktop, else the terminal itself (OSC 52). The text never appears in argv."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping

from aws_runas.errors import CredentialsError

TIME_LIMIT = 10  # seconds for a program
TERMINAL = "/dev/tty"


def copy_text(text: str, environ: Mapping[str, str], platform: str = sys.platform) -> str:
    """Put a text on the clipboard.

    Args:
        text: without control characters.
        environ: identifies the desktop.
        platform: as `sys.platform`.

    Returns:
        Name of the program that took the text, or "the terminal".

    Raises:
        CredentialsError: there is neither a program for the clipboard nor a terminal.
    """
    for command in _commands(environ, platform):
        program = shutil.which(command[0], path=environ.get("PATH"))
        if program is not None and _run([program, *command[1:]], text, environ):
            return command[0]
    try:
        with open(TERMINAL, "wb", buffering=0) as terminal:
            terminal.write(b"\x1b]52;c;" + base64.b64encode(text.encode()) + b"\x07")
    except OSError:
        raise CredentialsError(
            "there is no clipboard: no program for it was found, and there is no terminal",
            code="clipboard-missing",
            hint="install wl-clipboard, xclip or xsel, or use --print",
        ) from None
    return "the terminal"


def _commands(environ: Mapping[str, str], platform: str) -> Iterator[list[str]]:
    if platform == "darwin":
        yield ["pbcopy"]
    if platform == "win32" or environ.get("WSL_DISTRO_NAME") or environ.get("WSL_INTEROP"):
        yield ["clip.exe"]
    if environ.get("WAYLAND_DISPLAY"):
        yield ["wl-copy"]
    if environ.get("DISPLAY"):
        yield ["xclip", "-selection", "clipboard"]
        yield ["xsel", "--clipboard", "--input"]


def _run(command: list[str], text: str, environ: Mapping[str, str]) -> bool:
    """Pass the text to a program. Its output is discarded: it may leave a process running that holds the clipboard."""
    try:
        done = subprocess.run(
            command,
            input=text.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIME_LIMIT,
            env={name: value for name, value in environ.items() if not name.startswith(("AWS_", "RUNAS_"))},
            cwd=os.sep,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
