"""The ways to the stream that a company's network leaves open: a proxy's CONNECT, and certificates of one's own."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from pathlib import Path
from types import TracebackType

import pytest

from aws_runas.errors import AwsRunasError, ConfigError, SessionError
from aws_runas.ssm.transport.dialling import Dialling
from tests.integration.channel.client import ListedService, connect
from tests.integration.channel.stream_server import Connection, StreamServer
from tests.support.certificates import FAR, Certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


class ConnectProxy:
    """An HTTP proxy that connects the far name to a local port, and writes down what it was asked.

    Args:
        answer: the first line of its answer.
    """

    def __init__(
        self, port: int, *, answer: str = "200 Connection established", tls: ssl.SSLContext | None = None
    ) -> None:
        self._port = port
        self._answer = answer
        self._tls = tls
        self.requests: list[list[str]] = []
        self.port = 0

    async def __aenter__(self) -> ConnectProxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head.decode().split("\r\n")[:-2])
        writer.write(f"HTTP/1.1 {self._answer}\r\nVia: test\r\n\r\n".encode())
        if self._answer.startswith("200"):
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
            await asyncio.gather(self._copy(reader, inner_writer), self._copy(inner_reader, writer))
            return
        writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()


async def hold(connection: Connection) -> None:
    await connection.websocket.wait_closed()


def far_url(server: StreamServer) -> str:
    return server.url().replace("localhost", FAR)


async def open_and_leave(url: str, server: StreamServer, dialling: Dialling) -> Connection:
    channel, _ = await connect(url, ListedService(resumes=[("token-1", "")]), dialling=dialling)
    connection = await server.until_connected()
    await channel.terminate()
    await connection.websocket.wait_closed()
    return connection


def test_tls_is_verified_against_the_bundle(certificates: Certificates) -> None:
    async def run() -> None:
        async with StreamServer(hold, tls=certificates.server) as server:
            dialling = Dialling(ca_bundle=str(certificates.authority), environ={})
            connection = await open_and_leave(server.url(), server, dialling)
        assert connection.opening["TokenValue"] == "token-0"

    asyncio.run(run())


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(certificates: Certificates) -> None:
    async def run() -> None:
        async with StreamServer(hold, tls=certificates.server) as server:
            service = ListedService(resumes=[("token-1", "")])
            with pytest.raises(SessionError) as caught:
                await connect(server.url(), service)
        assert caught.value.code == "stream-untrusted"
        assert "resume" not in service.calls

    asyncio.run(run())


def test_a_bundle_without_certificates_is_named(tmp_path: Path) -> None:
    bundle = tmp_path / "empty.pem"
    bundle.write_text("nothing\n")

    async def run() -> None:
        with pytest.raises(ConfigError) as caught:
            await connect("wss://localhost:1/", ListedService(), dialling=Dialling(ca_bundle=str(bundle), environ={}))
        assert caught.value.code == "ca-bundle-invalid"
        assert str(bundle) in caught.value.message

    asyncio.run(run())


@pytest.mark.parametrize("secure_proxy", [False, True], ids=["plain proxy", "proxy behind TLS"])
def test_the_stream_goes_through_the_proxy_with_tls_inside(certificates: Certificates, secure_proxy: bool) -> None:
    async def run() -> None:
        async with (
            StreamServer(hold, tls=certificates.server) as server,
            ConnectProxy(server.port, tls=certificates.server if secure_proxy else None) as proxy,
        ):
            scheme = "https" if secure_proxy else "http"
            environ = {"HTTPS_PROXY": f"{scheme}://me:p%40ss@localhost:{proxy.port}"}
            dialling = Dialling(ca_bundle=str(certificates.authority), environ=environ)
            connection = await open_and_leave(far_url(server), server, dialling)
            (request,) = proxy.requests
        assert request[0] == f"CONNECT {FAR}:{server.port} HTTP/1.1"
        assert f"Proxy-Authorization: Basic {b64encode(b'me:p@ss').decode()}" in request
        assert connection.headers["Host"] == f"{FAR}:{server.port}"

    asyncio.run(run())


def test_a_host_that_no_proxy_names_is_dialled_directly(certificates: Certificates) -> None:
    async def run() -> None:
        async with StreamServer(hold, tls=certificates.server) as server:
            environ = {"https_proxy": "http://127.0.0.1:1", "NO_PROXY": "example.org,localhost"}
            dialling = Dialling(ca_bundle=str(certificates.authority), environ=environ)
            await open_and_leave(server.url(), server, dialling)

    asyncio.run(run())


@pytest.mark.parametrize("answer", ["407 Proxy Authentication Required", "403 Forbidden", "gibberish"])
def test_a_proxy_that_refuses_is_named_with_its_answer(answer: str) -> None:
    async def run() -> None:
        async with ConnectProxy(0, answer=answer) as proxy:
            dialling = Dialling(environ={"HTTPS_PROXY": f"http://me:secret-word@127.0.0.1:{proxy.port}"})
            with pytest.raises(AwsRunasError) as caught:
                await connect(f"wss://{FAR}/x", ListedService(resumes=[("token-1", "")]), dialling=dialling)
        assert caught.value.code == "proxy-refused"
        assert answer in caught.value.message
        assert "secret-word" not in str(caught.value)

    asyncio.run(run())


def test_the_streams_host_can_be_replaced_and_nothing_else(certificates: Certificates) -> None:
    async def run() -> None:
        async with StreamServer(hold, tls=certificates.server) as server:
            dialling = Dialling(
                ca_bundle=str(certificates.authority), environ={}, stream_host=f"localhost:{server.port}"
            )
            connection = await open_and_leave("wss://ssmmessages.eu-west-1.amazonaws.com/a?b=c+/==", server, dialling)
        assert connection.path == "/a?b=c+/=="
        assert connection.headers["Host"] == f"localhost:{server.port}"

    asyncio.run(run())
