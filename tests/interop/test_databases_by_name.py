"""Real database servers as ``rds:ID`` and ``cache:ID``, with TLS and a certificate for the name of the endpoint."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import MakeSandbox
from tests.integration.forward.support import PROFILE, forwarding
from tests.integration.forward.test_databases import client as aws_client
from tests.integration.forward.test_databases import create_database
from tests.interop.test_forwarded_programs import client, running
from tests.support import requires
from tests.support.ports import free_port


@pytest.fixture
def own_sandbox(make_sandbox: MakeSandbox) -> Sandbox:
    """A sandbox of its own: the tests create databases."""
    return make_sandbox()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory that a server's own user can enter."""
    made = Path(tempfile.mkdtemp(prefix="runas-db-", dir="/tmp"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def make_certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Make a key and a certificate for a host; return both files."""
    openssl = requires.program("openssl")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    client(
        openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=sandbox",
        "-addext", f"subjectAltName=DNS:{host}", "-keyout", str(key), "-out", str(certificate),
    )  # fmt: skip
    key.chmod(0o600)
    return key, certificate


def test_postgresql_verifies_the_name_of_the_endpoint(own_sandbox: Sandbox, folder: Path) -> None:
    psql = requires.program("psql", package="postgresql-client")
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if not found:
        requires.missing("needs PostgreSQL's server (apt-get install postgresql)")
    programs = Path(found[-1]).parent
    port = free_port()
    host = create_database(own_sandbox, "ledger", port)
    key, certificate = make_certificate(folder, host)
    options: dict[str, object] = {}
    if os.getuid() == 0:  # the server refuses to run as root
        account = pwd.getpwnam("postgres")
        for path in (folder, key, certificate):
            os.chown(path, account.pw_uid, account.pw_gid)
        options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    initdb = [str(programs / "initdb"), "-D", f"{folder}/data", "-A", "trust", "-U", "tester", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **options)  # type: ignore[call-overload]
    server = [str(programs / "postgres"), "-D", f"{folder}/data", "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    server += ["-c", "ssl=on", "-c", f"ssl_key_file={key}", "-c", f"ssl_cert_file={certificate}", "-c", "fsync=off"]
    with running(server, port, cwd=folder, **options), forwarding(own_sandbox, PROFILE, "rds:ledger") as forward:
        assert f"-> {host}:{port} via" in forward.lines[0]
        environ = {
            "PGHOST": host,
            "PGHOSTADDR": "127.0.0.1",
            "PGPORT": str(forward.port),
            "PGUSER": "tester",
            "PGDATABASE": "postgres",
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(certificate),
        }
        words = [psql, "-X", "-A", "-t", "-c"]
        query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
        assert client(*words, query, environ=environ) == "t\n"
        wrong = subprocess.run(
            [*words, query], env={**os.environ, **environ, "PGHOST": "localhost"}, capture_output=True, check=False
        )
        assert wrong.returncode != 0  # the certificate is for the endpoint, not for the local end


def test_redis_speaks_tls_under_the_name_of_the_endpoint(own_sandbox: Sandbox, folder: Path) -> None:
    server, cli = requires.program("redis-server"), requires.program("redis-cli", package="redis-tools")
    port = free_port()
    cache = aws_client(own_sandbox, "elasticache")
    cache.create_replication_group(ReplicationGroupId="carts", ReplicationGroupDescription="carts", Port=port)
    reply = cache.describe_replication_groups(ReplicationGroupId="carts")
    host = reply["ReplicationGroups"][0]["NodeGroups"][0]["PrimaryEndpoint"]["Address"]
    key, certificate = make_certificate(folder, host)
    words = [server, "--port", "0", "--tls-port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    words += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-auth-clients", "no"]
    words += ["--tls-ca-cert-file", str(certificate)]
    with running(words, port), forwarding(own_sandbox, PROFILE, "cache:carts") as forward:
        tls = ["--tls", "--sni", host, "--cacert", str(certificate), "-h", "127.0.0.1", "-p", str(forward.port)]
        assert client(cli, *tls, "SET", "cart", "3 items") == "OK\n"
        assert client(cli, *tls, "GET", "cart") == "3 items\n"
