"""Windows consoles: not supported yet; the error says so.

A console needs its input read in a thread and both of its modes set (virtual terminal input and output, UTF-8 code
pages). None of it could be tried where this was written, so the native session refuses; ``--plugin`` is left.
"""

from __future__ import annotations

from aws_runas.errors import SessionError


def refuse() -> SessionError:
    """The error for a native session on a Windows console."""
    return SessionError(
        "native sessions are not available on Windows yet",
        code="terminal-unsupported",
        hint="use --plugin with the session-manager-plugin, or run aws-runas in WSL",
    )
