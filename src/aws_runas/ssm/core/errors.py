"""The errors of the protocol core. Its decoders raise nothing else.

ProtocolError
+-- LocalProtocolError    the caller was about to violate the protocol: a bug
+-- RemoteProtocolError   the peer violated it, or exceeds the limits of spec 15
"""

from __future__ import annotations


class ProtocolError(Exception):
    """A violation of the data channel protocol."""


class LocalProtocolError(ProtocolError):
    """A call that the protocol does not allow in the current state."""


class RemoteProtocolError(ProtocolError):
    """Data from the peer that cannot be decoded or accepted."""
