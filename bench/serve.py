"""Load test of the credential servers: ``.venv/bin/python -m bench.serve``.

Requests per second and the 99th percentile with 1, 16 and 256 keep-alive clients, compared with a bare http.server that
sends the same bytes (aws-vault and aws-sso are Go programs and not available from the package indexes). Server and
clients share the machine, so compare rows, not machines. Also: the number of renewals that many clients cause.
"""

from __future__ import annotations

import argparse
import http.client
import http.server
import multiprocessing
import resource
import selectors
import socket
import statistics
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from aws_runas.aws.credentials import Credentials
from aws_runas.serve.app import App, Options
from aws_runas.serve.desk import Desk
from aws_runas.serve.endpoint import Endpoint
from aws_runas.serve.guards import Users
from aws_runas.serve.profiles import ProfileFacts, Profiles, Prompt
from aws_runas.serve.renewal import Renewal
from aws_runas.serve.server import Server
from bench.results import Results

TOKEN = "a-token-of-the-benchmark"
ROLE = "/latest/meta-data/iam/security-credentials/bench"
CLIENTS = (1, 16, 256)


class _Provider:
    """Gives credentials for one hour; each call takes a while, as with STS."""

    def __init__(self, delay: float = 0.0, life: float = 3600.0) -> None:
        self.delay, self.life, self.calls = delay, life, 0

    def credentials(self, *, refresh: bool = False) -> Credentials:  # noqa: ARG002 - each call is new
        self.calls += 1
        time.sleep(self.delay)
        now = datetime.now(UTC)
        return Credentials("ASIA" + "X" * 16, "s" * 40, "t" * 900, now + timedelta(seconds=self.life), now)


class _Catalogue:
    def open(self, name: str | None, prompt: Prompt, desk: Desk) -> tuple[ProfileFacts, _Provider]:  # noqa: ARG002
        return ProfileFacts(name or "bench", "arn:aws:iam::123456789012:role/bench", "eu-west-1"), _Provider()

    def names(self) -> list[tuple[str, bool]]:
        return [("bench", True)]


def _serve_container(listener: socket.socket) -> None:
    Server([listener], App(Profiles(_Catalogue(), "bench"), Options("ecs", TOKEN)).handle).serve_forever()


def _serve_metadata(listener: socket.socket) -> None:
    options = Options("ec2", allow_v1=False, is_neighbour=Users().is_neighbour)
    Server([listener], App(Profiles(_Catalogue(), "bench"), options).handle).serve_forever()


def _serve_endpoint(listener: socket.socket) -> None:
    Endpoint(listener, TOKEN, _Provider(), role_arn="arn:aws:iam::123456789012:role/bench").start()
    threading.Event().wait()


def _serve_bare(listener: socket.socket) -> None:
    """Run the baseline: the standard library's threading server with the same body and without any checks."""
    body = b"{" + b"x" * 1100 + b"}"

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = 65536  # one write for head and body, otherwise delayed acknowledgements dominate the result
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Bare(http.server.ThreadingHTTPServer):
        request_queue_size = 512

        def __init__(self) -> None:
            super().__init__(("127.0.0.1", 0), Handler, bind_and_activate=False)
            self.socket.close()
            self.socket = listener
            self.server_activate()

    Bare().serve_forever()


def _load(port: int, request: bytes, clients: int, total: int) -> tuple[float, float, float]:
    """Return requests per second, median and 99th percentile in milliseconds, for clients that wait for each answer."""
    selector = selectors.DefaultSelector()
    begun: dict[socket.socket, float] = {}
    left: dict[socket.socket, int] = {}
    sockets: dict[int, socket.socket] = {}
    took: list[float] = []
    for _ in range(clients):
        sock = socket.create_connection(("127.0.0.1", port), timeout=30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(sock, selectors.EVENT_READ, bytearray())
        left[sock] = total // clients
        sockets[sock.fileno()] = sock
    start = time.perf_counter()
    for sock in left:
        begun[sock] = time.perf_counter()
        sock.sendall(request)
    while selector.get_map():
        for key, _ in selector.select():
            buffer = key.data
            sock = sockets[key.fd]
            buffer += sock.recv(65536)
            end = buffer.find(b"\r\n\r\n")
            if end < 0 or len(buffer) < end + 4 + _length(buffer[:end]):
                continue
            if not buffer.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"the server said {bytes(buffer[:80])!r}")
            took.append((time.perf_counter() - begun[sock]) * 1000)
            buffer.clear()
            left[sock] -= 1
            if left[sock]:
                begun[sock] = time.perf_counter()
                sock.sendall(request)
            else:
                selector.unregister(sock)
                sock.close()
    seconds = time.perf_counter() - start
    took.sort()
    return len(took) / seconds, statistics.median(took), took[int(len(took) * 0.99) - 1]


def _length(head: bytearray) -> int:
    return int(bytes(head).lower().split(b"content-length:")[1].split(b"\r\n")[0])


def _request(path: str, port: int, header: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{header}Accept: application/json\r\n\r\n".encode()


def _token(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "21600"})
    token = connection.getresponse().read().decode()
    connection.close()
    return token


Row = tuple[str, Callable[[socket.socket], None], Callable[[int], bytes]]
ROWS: tuple[Row, ...] = (
    (
        "serve ecs, /credentials with its token",
        _serve_container,
        lambda port: _request("/credentials", port, f"Authorization: {TOKEN}\r\n"),
    ),
    (
        "serve ec2, IMDSv2 with its token, user asked of the kernel",
        _serve_metadata,
        lambda port: _request(ROLE, port, f"X-aws-ec2-metadata-token: {_token(port)}\r\n"),
    ),
    (
        "the endpoint of a program run by us",
        _serve_endpoint,
        lambda port: _request("/credentials", port, f"Authorization: {TOKEN}\r\n"),
    ),
    ("bare http.server (threads, no checks)", _serve_bare, lambda port: _request("/", port, "")),
)


def _measure(rounds: int, total: int) -> dict[str, dict[int, tuple[float, float, float]]]:
    found: dict[str, dict[int, list[tuple[float, float, float]]]] = {name: {} for name, _, _ in ROWS}
    servers = []
    for name, serve, request in ROWS:
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        process = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
        process.start()
        port = listener.getsockname()[1]
        listener.close()
        servers.append((name, port, request(port), process))
    try:
        for _ in range(rounds):  # interleaved: load from outside affects all rows
            for clients in CLIENTS:
                for name, port, request_bytes, _ in servers:
                    found[name].setdefault(clients, []).append(_load(port, request_bytes, clients, total))
    finally:
        for *_, process in servers:
            process.terminate()
            process.join()
    return {
        name: {clients: _median(runs) for clients, runs in by_clients.items()} for name, by_clients in found.items()
    }


def _median(runs: list[tuple[float, float, float]]) -> tuple[float, float, float]:
    rate, middle, tail = (statistics.median(run[at] for run in runs) for at in range(3))
    return rate, middle, tail


def _renewals() -> list[tuple[str, int]]:
    """Count the provider calls for 256 clients: at a cold start, and when credentials expire."""
    cold = _Provider(delay=0.2)
    renewal, done = Renewal(cold), threading.Semaphore(0)
    for _ in range(256):
        renewal.get(lambda _: done.release())
    for _ in range(256):
        done.acquire()
    lives = _Provider(delay=0.05, life=3.0)
    renewal, end = Renewal(lives), time.monotonic() + 6.05
    asked = 0
    while time.monotonic() < end:
        waiting = threading.Semaphore(0)
        for _ in range(256):
            renewal.get(lambda _, waiting=waiting: waiting.release())  # type: ignore[misc]
        for _ in range(256):
            waiting.acquire()
        asked += 256
        time.sleep(0.01)
    return [("256 clients at a cold start, STS takes 0.2 s", cold.calls),
            (f"{asked:,} requests in 6 s, credentials live 3 s, STS takes 0.05 s", lives.calls)]  # fmt: skip


def main() -> None:
    """Measure and print the tables of docs/reference/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="repetitions; medians are printed")
    parser.add_argument("--requests", type=int, default=5120, help="per row and number of clients")
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096) if hard > 0 else 4096, hard))
    results = Results("serve")
    found = _measure(options.rounds, options.requests)
    titles = [f"{count} client{'s' * (count > 1)}: req/s, p50 / p99 ms" for count in CLIENTS]
    cells = [
        [name, *(f"{rate:,.0f}, {middle:.2f} / {tail:.2f}" for rate, middle, tail in by_clients.values())]
        for name, by_clients in found.items()
    ]
    results.table("Requests", ("server", *titles), cells)
    results.add("The 99th percentile of 256 clients", "ms", {name: runs[256][2] for name, runs in found.items()})
    renewals = [[what, str(calls)] for what, calls in _renewals()]
    results.table("Renewals", ("renewals", "calls of the provider"), renewals)
    results.write()


if __name__ == "__main__":
    main()
