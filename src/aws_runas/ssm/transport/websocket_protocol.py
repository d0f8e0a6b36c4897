"""The parts of `websockets` that are used: its protocol without I/O.

Import them from here. `websockets.version` imports `importlib.metadata`, which a release does not use; with zipfile and
the compression modules that is a twentieth of the start of a session.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_METADATA = "importlib.metadata"


class _Metadata(ModuleType):
    """Stands in for importlib.metadata and loads it at the first use."""

    def __getattr__(self, name: str) -> object:
        _remove(self)
        return getattr(importlib.import_module(_METADATA), name)


_lock = threading.Lock()


def _remove(stand_in: ModuleType) -> None:
    """Let the next import load the module. The attribute of importlib stays: another thread may be about to use it."""
    with _lock:
        if sys.modules.get(_METADATA) is stand_in:
            del sys.modules[_METADATA]


@contextmanager
def _without_metadata() -> Iterator[None]:
    """Keep imports from loading importlib.metadata, unless they use it or it is loaded already."""
    stand_in = _Metadata(_METADATA)
    importlib.__dict__.setdefault("metadata", stand_in)  # the import system sets it for modules that it loads itself
    if sys.modules.setdefault(_METADATA, stand_in) is not stand_in:
        yield
        return
    try:
        yield
    finally:
        _remove(stand_in)


with _without_metadata():
    from websockets.client import ClientProtocol
    from websockets.exceptions import InvalidHandshake, InvalidStatus, ProtocolError
    from websockets.frames import CloseCode, Frame, Opcode
    from websockets.http11 import Request, Response
    from websockets.protocol import State
    from websockets.server import ServerProtocol
    from websockets.uri import WebSocketURI

__all__ = [
    "ClientProtocol",
    "CloseCode",
    "Frame",
    "InvalidHandshake",
    "InvalidStatus",
    "Opcode",
    "ProtocolError",
    "Request",
    "Response",
    "ServerProtocol",
    "State",
    "WebSocketURI",
]
