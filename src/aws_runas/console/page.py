"""The page that leads a browser to an address, so that the address is in no argv, where other users could read it.

The page is a file of this user alone. A process of its own removes it: ours may have ended by then, and may be killed.
"""

from __future__ import annotations

import html
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from aws_runas import files

LIFETIME = 30  # seconds; a browser that starts cold on a slow machine needs several
PREFIX = "aws-runas-console-"

# What removes the page: its argv holds the path alone.
_REMOVER = """
import os, sys, time
time.sleep(float(sys.argv[2]))
for remove, path in ((os.unlink, sys.argv[1]), (os.rmdir, os.path.dirname(sys.argv[1]))):
    try:
        remove(path)
    except OSError:
        pass
"""


def redirect_page(address: str) -> str:
    """Return a page that leads to an address; it loads nothing, and tells the next page nothing of itself."""
    target = html.escape(address, quote=True)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>aws-runas</title>\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">\n'
        f'<meta http-equiv="refresh" content="0;url={target}"></head>\n'
        f'<body><p><a rel="noreferrer" href="{target}">Continue to the AWS console</a></p></body></html>\n'
    )


def write_page(address: str, environ: Mapping[str, str], lifetime: float = LIFETIME) -> Path:
    """Write the page into a directory of its own, to be removed after a while.

    Args:
        address: where it leads.
        environ: names the directory for files of this login, which the system empties at its end.
        lifetime: seconds until a process of its own removes it.

    Raises:
        OSError: it cannot be written.
    """
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_base(environ)))
    path = directory / f"{secrets.token_hex(8)}.html"
    try:
        _start_remover(path, lifetime)  # first: should we be killed, nothing is left
        with files.open_private_directory(directory) as opened:
            opened.write(path.name, redirect_page(address).encode("utf-8", "surrogateescape"))
    except BaseException:
        path.unlink(missing_ok=True)
        directory.rmdir()
        raise
    return path


def _base(environ: Mapping[str, str]) -> str | None:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    return runtime if runtime.startswith("/") and os.access(runtime, os.W_OK | os.X_OK) else None


def _start_remover(path: Path, lifetime: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _REMOVER, str(path), str(lifetime)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
        env={name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ},  # Python needs it on Windows
    )
    threading.Thread(target=process.wait, daemon=True).start()  # nothing else collects its exit status
