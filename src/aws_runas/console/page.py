"""A page that redirects the browser to an address, to keep the address out of argv, where other users could read it.

Only this user can read the page. A separate process removes it, because ours may have ended or been killed by then.
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

LIFETIME = 30  # seconds; a cold browser start on a slow machine takes several
PREFIX = "aws-runas-console-"

# The program that removes the page: its argv contains only the path.
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
    """Return a page that redirects to an address; it loads nothing and sends no referrer."""
    target = html.escape(address, quote=True)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>aws-runas</title>\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">\n'
        f'<meta http-equiv="refresh" content="0;url={target}"></head>\n'
        f'<body><p><a rel="noreferrer" href="{target}">Continue to the AWS console</a></p></body></html>\n'
    )


def write_page(address: str, environ: Mapping[str, str], lifetime: float = LIFETIME) -> Path:
    """Write the page to a new directory, which is removed after a while.

    Args:
        address: the address to open.
        environ: names the runtime directory, which the system empties when the user logs out.
        lifetime: seconds until a separate process removes the page.

    Raises:
        OSError: the page cannot be written.
    """
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_base(environ)))
    path = directory / f"{secrets.token_hex(8)}.html"
    try:
        _start_remover(path, lifetime)  # before the write: if we are killed, nothing is left
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
    threading.Thread(target=process.wait, daemon=True).start()  # no other code collects its exit status
