"""The clock against a time server, where that is asked for. SNTP, one question and one answer."""

from __future__ import annotations

import socket
import struct
import time

from aws_runas.diagnosis.model import Finding, warn
from aws_runas.diagnosis.remote import judge_clock

SERVER = "pool.ntp.org"
PORT = 123  # RFC 5905
TIMEOUT = 3.0  # seconds
_EPOCH = 2_208_988_800  # seconds from 1900, where NTP begins, to 1970
_ERA = 1 << 32  # seconds; the first ends in 2036
_PACKET = struct.Struct("!B3x36xII")  # the first octet, and the transmit timestamp
_CLIENT = 0x23  # no warning, version 4, mode 3 (RFC 5905 7.3)


def check_ntp(server: str = SERVER) -> Finding:
    """Compare this machine's clock with a time server.

    Args:
        server: name or address, with a port after a colon where it is not the usual one.
    """
    host, colon, port = server.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.startswith("[")):
        host, port = server, str(PORT)
    try:
        offset = _offset(host.strip("[]"), int(port))
    except (OSError, ValueError) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else str(error)
        return warn("ntp", f"{server} cannot be asked: {reason}", "name another server: --ntp-server SERVER")
    return judge_clock("ntp", offset, server)


def _offset(host: str, port: int) -> float:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as query:
        query.settimeout(TIMEOUT)
        query.connect(address)
        sent = time.time()
        query.send(bytes([_CLIENT]) + bytes(47))
        answer = query.recv(512)
        received = time.time()
    if len(answer) < _PACKET.size or answer[0] & 7 != 4 or answer[1] == 0:  # mode 4: a server; stratum 0: it refuses
        raise ValueError("not an answer of a time server")
    _, seconds, fraction = _PACKET.unpack_from(answer)
    there: float = seconds - _EPOCH + fraction / _ERA
    while there < sent - _ERA / 2:
        there += _ERA
    return (sent + received) / 2 - there
