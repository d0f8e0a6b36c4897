"""The two ways to break the protocol. Nothing else leaves a decoder of this package.

ProtocolError
+-- LocalProtocolError    we were about to break it: a bug of the caller
+-- RemoteProtocolError   the peer broke it, or wants more than the limits of spec 15 allow
"""

from __future__ import annotations


class ProtocolError(Exception):
    """The rules of the data channel were broken."""


class LocalProtocolError(ProtocolError):
    """The caller asked for something that the protocol does not allow now."""


class RemoteProtocolError(ProtocolError):
    """What the peer sent cannot be understood or accepted."""
