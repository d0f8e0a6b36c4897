"""Messages that are written together and sent one at a time by the kernel (docs/adr/0216).

A wake-up for each message is most of the cost of a paced upload. Linux can space the segments of a connection:
SO_MAX_PACING_RATE limits their rate, and MSG_EOR keeps it from joining two messages in one segment.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
from struct import Struct
from typing import Final, cast

EXTRA_INFO: Final = "pacing"  # name under which `get_extra_info` of a transport, also of TLS on top, returns this one
SO_MAX_PACING_RATE: Final = 47  # linux/asm-generic/socket.h; the module socket does not have it
UNLIMITED: Final = 0xFFFF_FFFF
FIRST_KERNEL: Final = (4, 20)  # earlier ones send two segments at a time if the queueing discipline is fq
UNPACED_SEGMENTS: Final = 10  # a connection begins with so many segments without pacing (net/ipv4/tcp_output.c)
_RATE: Final = Struct("=I")  # the int of setsockopt is signed
_SEGMENTS_SENT: Final = Struct("=156xI")  # tcpi_data_segs_out in struct tcp_info (linux/tcp.h)


def is_supported() -> bool:
    """Return True if the kernel can space segments."""
    if sys.platform != "linux":
        return False
    release = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return release is not None and (int(release[1]), int(release[2])) >= FIRST_KERNEL


class PacedTransport:
    """A transport on a TCP socket whose writes the kernel can space. TLS may run on top of it.

    It has all methods of the transport that it wraps.

    Args:
        transport: the transport of the socket.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        # asyncio offers no flags for a write, and hides `send` of its socket.
        self._socket: socket.socket | None = getattr(transport.get_extra_info("socket"), "_sock", None)
        self._rate = UNLIMITED
        self._is_supported = self._socket is not None and is_supported()
        self._is_past_beginning = False
        self.write = transport.write

    def __getattr__(self, name: str) -> object:
        return getattr(self._transport, name)

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Return information about the transport; see asyncio.BaseTransport."""
        return self if name == EXTRA_INFO else self._transport.get_extra_info(name, default)

    def space(self, size: int, seconds: float) -> bool:
        """Have each write leave as a segment of its own, and segments of this size some time apart.

        The kernel halves the time while it is late. Shorter segments follow sooner, in proportion.

        Args:
            size: bytes of a write.
            seconds: time between two segments.

        Returns:
            True if what is written now is spaced, also from what was written before.
        """
        rate = int(size / seconds)
        if rate == self._rate:
            return True
        if not self._is_supported or not self._is_paced():
            return False
        was_spaced = self._rate != UNLIMITED
        return self._set_rate(rate) and was_spaced

    def stop_spacing(self) -> None:
        """Send what is written from now on without delay."""
        if self._rate != UNLIMITED:
            self._set_rate(UNLIMITED)

    def _is_paced(self) -> bool:
        """Return True if the connection has sent enough for the kernel to pace it."""
        if not self._is_past_beginning and self._socket is not None:
            try:
                info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SEGMENTS_SENT.size)
            except OSError:
                self._is_supported = False
                return False
            self._is_past_beginning = (
                len(info) == _SEGMENTS_SENT.size and _SEGMENTS_SENT.unpack(info)[0] >= UNPACED_SEGMENTS
            )
        return self._is_past_beginning

    def _set_rate(self, rate: int) -> bool:
        """Return True if the kernel has accepted the rate."""
        if self._socket is None:
            return False
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, _RATE.pack(rate))
        except OSError:  # the connection has ended, or this is not TCP of Linux
            self._is_supported = False
            return False
        self._rate = rate
        self.write = self._transport.write if rate == UNLIMITED else self._write_segment
        return True

    def _write_segment(self, data: bytes | bytearray | memoryview) -> None:
        sent = 0
        if self._socket is not None and not self._transport.get_write_buffer_size():
            try:
                sent = self._socket.send(data, socket.MSG_EOR)
            except OSError:  # no room: asyncio waits for it; or the end of the connection: asyncio reports it
                sent = 0
        if sent < len(data):
            self._transport.write(memoryview(data)[sent:])


def paced(transport: asyncio.Transport) -> asyncio.Transport:
    """Return a PacedTransport for the transport of a TCP socket.

    Args:
        transport: see PacedTransport.
    """
    return cast("asyncio.Transport", PacedTransport(transport))


def pacing_of(transport: asyncio.BaseTransport) -> PacedTransport | None:
    """Return the PacedTransport below a transport, None if there is none.

    Args:
        transport: a transport of a socket, or TLS on top of it.
    """
    found = transport.get_extra_info(EXTRA_INFO)
    return found if isinstance(found, PacedTransport) else None
