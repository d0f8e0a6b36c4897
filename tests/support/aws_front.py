"""A proxy that plays the hosts of AWS: for programs that take no other address, such as version 2.9 of the AWS CLI.

It ends the TLS of each CONNECT with a certificate of a test's authority, and hands the request to the sandbox under
the sandbox's own name. Requests that are signed would no longer fit their signature: send those to the sandbox itself.
"""

from __future__ import annotations

import contextlib
import http.client
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.certificates import Certificates

HOSTS = ("portal.sso.us-east-1.amazonaws.com", "oidc.us-east-1.amazonaws.com")
DROPPED = ("host", "connection", "proxy-connection", "content-length")


class Front:
    """The proxy.

    Args:
        asked: method, host and path of every request.
    """

    def __init__(self, endpoint: str, directory: Path) -> None:
        self.certificates = Certificates(directory, *HOSTS)
        self.sandbox = urlsplit(endpoint)
        self.asked: list[str] = []
        self.url = ""

    def environ(self) -> dict[str, str]:
        """Variables with which a program takes the way through it."""
        ca = str(self.certificates.authority)
        return {"HTTPS_PROXY": self.url, "NO_PROXY": "127.0.0.1,localhost", "AWS_CA_BUNDLE": ca}

    def forward(self, request: BaseHTTPRequestHandler, host: str) -> None:
        """Ask the sandbox and answer."""
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        self.asked.append(f"{request.command} {host} {request.path.partition('?')[0]}")
        connection = http.client.HTTPConnection(str(self.sandbox.hostname), self.sandbox.port, timeout=30)
        with contextlib.closing(connection):
            headers = {name: value for name, value in request.headers.items() if name.lower() not in DROPPED}
            connection.request(request.command, request.path, body, headers)
            reply = connection.getresponse()
            content = reply.read()
        request.send_response_only(reply.status)
        for name, value in reply.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                request.send_header(name, value)
        request.send_header("Content-Length", str(len(content)))
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(content)


@contextlib.contextmanager
def running(endpoint: str, directory: Path) -> Iterator[Front]:
    """Run the proxy.

    Args:
        endpoint: address of the sandbox.
        directory: for the certificates.
    """
    front = Front(endpoint, directory)

    class Inside(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            front.forward(self, self.server.host)  # type: ignore[attr-defined]
            self.close_connection = True

        do_GET = do_POST = handle_any  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            head = b""
            while b"\r\n\r\n" not in head:
                part = self.request.recv(4096)
                if not part:
                    return
                head += part
            host = head.split()[1].decode().rpartition(":")[0]
            if host not in HOSTS:
                self.request.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
                return
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            with (
                contextlib.suppress(OSError),
                front.certificates.server.wrap_socket(self.request, server_side=True) as tls,
            ):
                Inside(tls, self.client_address, _Named(host))  # type: ignore[arg-type]

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Connection) as server:
        front.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield front
        finally:
            server.shutdown()
            thread.join(10)


class _Named:
    """What a handler looks at of its server."""

    def __init__(self, host: str) -> None:
        self.host = host
