"""The errors of the protocol core. Its decoders raise nothing else.

ProtocolError
+-- LocalProtocolError    the caller was about to violate the protocol: a bug
+-- RemoteProtocolError   the peer violated it, or exceeds the limits of spec 15
"""

from __future__ import annotations


class ProtocolError(Exception):
    """A violation of the data channel's rules."""


class LocalProtocolError(ProtocolError):
    """A request of the caller that the protocol does not allow now."""


class RemoteProtocolError(ProtocolError):
    """Data of the peer that cannot be understood or accepted."""
