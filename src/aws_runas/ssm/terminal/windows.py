"""Windows consoles: not supported yet, and the error says so.

A console needs its input read in a thread and both of its modes set (virtual terminal input and output, UTF-8 code
pages). None of that was tried on Windows, so the native session refuses; ``--plugin`` remains.
"""

from __future__ import annotations

from aws_runas.errors import SessionError


def refuse() -> SessionError:
    """Return the error for a native session on a Windows console."""
    return SessionError(
        "native sessions are not available on Windows yet",
        code="terminal-unsupported",
        hint="use --plugin with the session-manager-plugin, or run aws-runas in WSL",
    )
