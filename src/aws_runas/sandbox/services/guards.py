"""Access rules: requests come from the user who started the sandbox, to a loopback name, and from no web page."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aws_runas.sandbox.services.errors import Reply
from aws_runas.sandbox.services.requests import Request
from aws_runas.socket_owner import SocketOwners

NAMES = ("127.0.0.1", "localhost", "[::1]")
# Pages for the user's browser. Opening one changes nothing, and no frame can show one. Only a form of the page itself,
# or an address with a secret, changes something.
BROWSER_PATHS = ("/authorize", "/device", "/federation", "/oauth")


@dataclass(frozen=True, slots=True)
class Guard:
    """The checks of one listener.

    Args:
        owners: finds the user at the other end of a connection.
        any_port: accept every port in Host, because forwarded ports lead to the listener.
    """

    owners: SocketOwners
    any_port: bool = False

    def refuse_peer(self, transport: asyncio.Transport) -> Reply | None:
        """Return a refusal for a connection of another user of this machine, else None."""
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if peer and local and self.owners.is_own(peer[:2], local[:2]):
            return None
        return Reply(403, b"the sandbox belongs to another user\n")

    def refuse_request(self, request: Request, port: int) -> Reply | None:
        """Return a refusal for a request of a web page (foreign or rebound name, Origin, fetch), else None.

        Args:
            port: of the listener.
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
    """Return True if a browser opens a page itself or sends that page's own form: no script, frame or foreign form."""
    mode, destination = (
        request.headers.get("sec-fetch-mode", "navigate"),
        request.headers.get("sec-fetch-dest", "document"),
    )
    if (mode, destination) != ("navigate", "document"):
        return False
    if request.method == "POST":
        own = request.headers.get("origin") in (None, f"http://{host.lower()}")
        return own and request.headers.get("sec-fetch-site") in (None, "same-origin")
    return "origin" not in request.headers
