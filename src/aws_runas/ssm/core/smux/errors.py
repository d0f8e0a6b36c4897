"""What can be wrong with a smux session, told apart by who is at fault."""

from __future__ import annotations


class SmuxError(Exception):
    """Root of the two below."""


class RemoteProtocolError(SmuxError):
    """The peer sent what smux version 1 does not allow; the session cannot go on."""


class LocalProtocolError(SmuxError):
    """We were about to do what smux version 1 does not allow: a mistake of the caller."""
