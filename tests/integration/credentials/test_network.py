"""The way to STS: an authority of one's own, and proxies."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.sts_server import Sts, running_sts, write_home


@pytest.fixture
def sts() -> Iterator[Sts]:
    with running_sts() as server:
        yield server


def _run(environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "aws_runas", "-O", "json", "plainrole"],
        env=environ | {"AWS_MAX_ATTEMPTS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _certificate(folder: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls(sts: Sts, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The STS behind TLS: its address, and the certificate that it is trusted by."""
    certificate = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with _Relay(sts.url, context) as relay:
        yield f"https://127.0.0.1:{relay.port}", certificate


class _Relay:
    """Takes connections and joins each to the STS, with TLS in front, or as a proxy that answers CONNECT and GET."""

    def __init__(self, target: str, context: ssl.SSLContext | None = None, *, proxy: bool = False) -> None:
        host, _, port = target.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._context = context
        self._proxy = proxy
        self.connected: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> _Relay:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread, which must not accept for the next socket
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            if self._context is not None:
                near = self._context.wrap_socket(near, server_side=True)
            first = near.recv(65536)
            if self._proxy:
                self.connected.append(first.partition(b"\r\n")[0])
            with near, socket.create_connection(self._target) as far:
                far.sendall(first)
                back = threading.Thread(target=_pump, args=(far, near), daemon=True)
                back.start()
                _pump(near, far)
                back.join(10)
        except OSError:
            near.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


def test_an_unknown_authority_is_refused_with_the_way_out(tls: tuple[str, Path], tmp_path: Path) -> None:
    done = _run(write_home(tmp_path, tls[0]))
    assert done.returncode == 4
    assert "not trusted" in done.stderr
    assert "AWS_CA_BUNDLE" in done.stderr


def test_an_authority_of_ones_own_by_variable(tls: tuple[str, Path], tmp_path: Path) -> None:
    done = _run(write_home(tmp_path, tls[0]) | {"AWS_CA_BUNDLE": str(tls[1])})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["AccessKeyId"].startswith("ASIAROLE")


def test_an_authority_of_ones_own_by_profile(tls: tuple[str, Path], tmp_path: Path) -> None:
    environ = write_home(tmp_path, tls[0])
    config = tmp_path / ".aws" / "config"
    config.write_text(config.read_text() + f"ca_bundle = {tls[1]}\n")
    done = _run(environ)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_proxy_is_used_unless_no_proxy_says_otherwise(sts: Sts, tmp_path: Path) -> None:
    with _Relay(sts.url, proxy=True) as proxy:
        environ = write_home(tmp_path, "http://sts.example.invalid") | {"HTTP_PROXY": f"http://127.0.0.1:{proxy.port}"}
        done = _run(environ)
        assert done.returncode == 0, done.stderr
        assert proxy.connected[0].startswith(b"POST http://sts.example.invalid/")
        seen = len(proxy.connected)
        environ |= {"NO_PROXY": "127.0.0.1", "AWS_ENDPOINT_URL_STS": sts.url}
        assert _run(environ).returncode == 0
        assert len(proxy.connected) == seen
