"""Guards for requests. Each is a pure function that stops one attack, named in docs/explanation/security.md.

A guard returns the refusal, or None to let the request pass.
"""

from __future__ import annotations

import hmac

from aws_runas.dataclass import dataclass
from aws_runas.serve import replies
from aws_runas.serve.http import Connection, Request, Response
from aws_runas.socket_owner import SocketOwners

NAMES = frozenset({"localhost", "127.0.0.1", "[::1]", "169.254.169.254"})
TOKEN_HEADER = "x-awsrunas-token"  # noqa: S105 - the name of a header
# Headers that proxies add: RFC 7239 and 9110, and common non-standard forms.
FORWARDING = frozenset(
    (
        "forwarded",
        "forwarded-for",
        "via",
        "x-host",
        "x-http-host-override",
        "x-real-port",
        "x-rewrite-url",
    )
)
# the client address seen by a proxy: Fly-Client-IP, Ali-CDN-Real-IP, CDN-Src-IP, X-Azure-ClientIP and later ones
FORWARDING_SUFFIXES = ("-ip", "clientip", "socketip", "-ipv6", "client-addr", "remote-addr")
FORWARDING_PREFIXES = ("x-forwarded", "x-original-", "x-originating-", "x-envoy-", "x-nginx-", "x-traefik-")


@dataclass(frozen=True, slots=True)
class Policy:
    """Access rules of one server.

    Args:
        bearer: the token that a container client must send; None for EC2, which has no such token.
        page_token: the token that the page sends with every state change; None if there is no page.
    """

    bearer: str | None = None
    page_token: str | None = None

    def __repr__(self) -> str:
        return "Policy(...)"


def host(request: Request) -> Response | None:
    """Refuse a foreign Host header, such as that of a web page whose name was rebound to an address of this machine.

    Args:
        request: as received.

    Returns:
        None if the request passes, else the response that refuses it.
    """
    value = request.header("host")
    if request.connection.local == "":  # a unix socket: browsers cannot reach it, and clients send an arbitrary name
        return None
    if value is None:  # HTTP/1.0
        return replies.error(400, "host-missing", "the request names no host")
    name, port = split_host(value)
    local = request.connection.local
    own = NAMES | {f"[{local}]" if ":" in local else local}
    if name.lower() in own and port in ("", str(request.connection.local_port)):
        return None
    return replies.error(421, "host-refused", "this server does not answer to that host name")


def split_host(value: str) -> tuple[str, str]:
    """Split a Host header into name and port; the port is "" if there is none.

    Args:
        value: the value of the header.
    """
    if value.startswith("["):
        name, bracket, rest = value.partition("]")
        return name + bracket, rest[1:] if rest.startswith(":") and rest != ":" else rest
    name, colon, port = value.partition(":")
    return name, port if not colon or port else ":"  # no client writes "localhost:"


def forwarded(request: Request) -> Response | None:
    """Refuse forwarded requests. A misconfigured proxy would give credentials to all its clients.

    Args:
        request: as received.

    Returns:
        None if the request passes, else the response that refuses it.
    """
    for name, _ in request.headers:
        if name in FORWARDING or name.startswith(FORWARDING_PREFIXES) or name.endswith(FORWARDING_SUFFIXES):
            return replies.error(403, "forwarded-refused", "forwarded requests are refused")
    return None


def browser(request: Request) -> Response | None:
    """Refuse credentials to any request from a browser, including our own page.

    Browsers send Sec-Fetch headers to loopback only, not to http://169.254.169.254, and no Origin for an image or
    script of another page. In those cases, only User-Agent and Referer identify a browser.

    Args:
        request: as received.

    Returns:
        None if the request passes, else the response that refuses it.
    """
    agent = (request.header("user-agent") or "").lower()
    if (
        request.header("origin") is not None
        or request.header("referer") is not None
        or any(name.startswith(("sec-fetch-", "sec-ch-")) for name, _ in request.headers)
        or agent.lstrip().startswith("opera/")
        or ("mozilla/" in agent and "powershell" not in agent)  # PowerShell cmdlets send Mozilla as well
    ):
        return replies.error(403, "browser-refused", "credentials are not given to web pages")
    return None


def same_origin(request: Request) -> Response | None:
    """Refuse a page of another site: it must neither read nor change anything here.

    Args:
        request: as received.

    Returns:
        None if the request passes, else the response that refuses it.
    """
    origin = request.header("origin")
    if origin is not None and origin.lower() != f"http://{request.header('host') or ''}".lower():
        return replies.error(403, "origin-refused", "requests of other origins are refused")
    if (request.header("sec-fetch-site") or "none").lower() not in ("same-origin", "none"):
        return replies.error(403, "origin-refused", "requests of other sites are refused")
    return None


def framed(request: Request) -> Response | None:
    """Refuse to be embedded as a frame, an image or a script in another document. A link to the page is allowed.

    Args:
        request: as received.

    Returns:
        None if the request passes, else the response that refuses it.
    """
    if request.header("sec-fetch-dest") not in (None, "document", "empty"):
        return replies.error(403, "origin-refused", "the page cannot be shown in a frame")
    return None


def page_token(request: Request, policy: Policy) -> Response | None:
    """Refuse a state change without the page token, or the bearer token if the server has one.

    Args:
        request: as received.
        policy: contains the tokens.

    Returns:
        None if the request passes, else the response that refuses it.
    """
    sent = request.header(TOKEN_HEADER)
    if sent is None and policy.bearer is not None and request.header("authorization") is not None:
        return bearer(request, policy)
    if sent is not None and policy.page_token is not None and _equal(sent, policy.page_token):
        return None
    return replies.error(403, "page-token-missing", f"a change needs the page's token in the header {TOKEN_HEADER}")


def bearer(request: Request, policy: Policy) -> Response | None:
    """Refuse a client without the token: another user of this machine, or a container that was not given it.

    Args:
        request: as received.
        policy: contains the token.

    Returns:
        None if the request passes, else the response that refuses it.
    """
    if policy.bearer is None:
        return None
    sent = request.header("authorization") or ""
    # SDKs send the value of the variable unchanged; users of curl write Bearer before it.
    if _equal(sent, policy.bearer) or _equal(sent.removeprefix("Bearer "), policy.bearer):
        return None
    return replies.error(
        401, "token-refused", "the Authorization header holds no valid token", (("WWW-Authenticate", "Bearer"),)
    )


def _equal(sent: str, expected: str) -> bool:
    return hmac.compare_digest(sent.encode("utf-8", "surrogateescape"), expected.encode("utf-8", "surrogateescape"))


class Users(SocketOwners):
    """Lookup of the users of connections. Not thread-safe."""

    def user_of(self, connection: Connection) -> int | None:
        """Return the user id of the client's end of a connection; None if the kernel does not find the socket.

        Args:
            connection: between two addresses of this machine.
        """
        return self.owner_of((connection.peer, connection.peer_port), (connection.local, connection.local_port))

    def is_neighbour(self, request: Request) -> bool:
        """Return True if a request comes from this process's user or root, on this machine.

        The file mode protects a unix socket. If the system does not report the user, the check is for loopback only.

        Args:
            request: as received.
        """
        connection = request.connection
        if not connection.peer:
            return True
        if not is_loopback(connection.local) and connection.peer != connection.local:
            return False
        return self.is_own((connection.peer, connection.peer_port), (connection.local, connection.local_port))


def is_loopback(address: str) -> bool:
    """Return True if only this machine can reach an address: 127.0.0.0/8, ::1, and IMDS on our loopback interface.

    Args:
        address: the local address of a connection.
    """
    return address.startswith("127.") or address in ("::1", "::ffff:127.0.0.1", "169.254.169.254")
