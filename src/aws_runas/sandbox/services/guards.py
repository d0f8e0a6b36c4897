"""Who may ask: the user who started the sandbox, under a loopback name, and no web page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aws_runas.sandbox.services.errors import Reply
from aws_runas.sandbox.services.requests import Request
from aws_runas.socket_owner import SocketOwners

NAMES = ("127.0.0.1", "localhost", "[::1]")
# Pages for the user's own browser. Opening one changes nothing, and it can be in no frame; what changes something is a
# form of the page itself, or an address that holds a secret.
BROWSER_PATHS = ("/authorize", "/device", "/federation", "/oauth")


@dataclass(frozen=True, slots=True)
class Guard:
    """The checks of one listener.

    Args:
        any_port: Host may name another port: the listener is reached through forwards.
    """

    owners: SocketOwners
    any_port: bool = False

    def refuse_peer(self, transport: asyncio.Transport) -> Reply | None:
        """Refuse connections of other users of this machine."""
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if peer and local and self.owners.is_own(peer[:2], local[:2]):
            return None
        return Reply(403, b"the sandbox belongs to another user\n")

    def refuse_request(self, request: Request, port: int) -> Reply | None:
        """Refuse requests of web pages: a foreign or rebound name, an Origin, a fetch.

        Args:
            port: our own.
        """
        host = request.headers.get("host")
        if host is None:
            return Reply(400, b"the request names no host\n")
        name, _, given = host.lower().rpartition(":")
        if name not in NAMES or not (given == str(port) or (self.any_port and given.isascii() and given.isdigit())):
            return Reply(421, b"the sandbox does not answer to that host name\n")
        if request.path in BROWSER_PATHS and _is_own_page(request, host):
            return None
        if "origin" in request.headers or "sec-fetch-site" in request.headers:
            return Reply(403, b"the sandbox does not answer to web pages\n")
        return None


def _is_own_page(request: Request, host: str) -> bool:
    """Tell whether a browser shows a page itself, or sends that page's own form: no script, frame or foreign form."""
    mode, place = request.headers.get("sec-fetch-mode", "navigate"), request.headers.get("sec-fetch-dest", "document")
    if (mode, place) != ("navigate", "document"):
        return False
    if request.method == "POST":
        own = request.headers.get("origin") in (None, f"http://{host.lower()}")
        return own and request.headers.get("sec-fetch-site") in (None, "same-origin")
    return "origin" not in request.headers
