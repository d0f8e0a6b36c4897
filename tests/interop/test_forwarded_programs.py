"""Real servers behind a forward, with their own clients in front of it."""

from __future__ import annotations

import getpass
import glob
import os
import pwd
import random
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.forward.support import DEADLINE, PROFILE, TARGET, forwarding, wait_until
from tests.support import requires
from tests.support.ports import free_port

UNPACED = ("--rate", "off")


@contextmanager
def running(words: list[str], port: int, **options: object) -> Iterator[None]:
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    try:
        wait_until(lambda: _listens(port), f"{words[0]} listens")
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def client(*words: str, environ: dict[str, str] | None = None) -> str:
    result = subprocess.run(
        words, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(environ or {})}
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_nginx_and_parallel_curl(sandbox: Sandbox, tmp_path: Path) -> None:
    nginx, curl = requires.program("nginx"), requires.program("curl")
    port = free_port()
    root = tmp_path / "www"
    root.mkdir()
    for number in range(20):
        (root / f"{number}").write_bytes(random.Random(number).randbytes(50_000 + number))
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; worker_processes 1;\n"
        + (f"user {getpass.getuser()};\n" if os.getuid() == 0 else "")
        + "events { worker_connections 256; }\n"
        f"http {{ access_log off; client_body_temp_path {tmp_path}/a; proxy_temp_path {tmp_path}/b;\n"
        f"fastcgi_temp_path {tmp_path}/c; uwsgi_temp_path {tmp_path}/d; scgi_temp_path {tmp_path}/e;\n"
        f"server {{ listen 127.0.0.1:{port}; root {root}; }} }}\n"
    )
    with (
        running([nginx, "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")], port),
        forwarding(sandbox, *UNPACED, PROFILE, f"{TARGET}:{port}") as forward,
    ):
        url = f"http://127.0.0.1:{forward.port}/[0-19]"
        client(curl, "-sS", "-Z", "--parallel-max", "20", "--fail", url, "-o", f"{tmp_path}/got-#1")
    for number in range(20):
        assert (tmp_path / f"got-{number}").read_bytes() == (root / f"{number}").read_bytes()


def test_redis_and_its_benchmark(sandbox: Sandbox, tmp_path: Path) -> None:
    server = requires.program("redis-server")
    benchmark = requires.program("redis-benchmark", package="redis-tools")
    port = free_port()
    words = [server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    with running(words, port), forwarding(sandbox, *UNPACED, PROFILE, f"{TARGET}:{port}") as forward:
        report = client(
            benchmark, "-h", "127.0.0.1", "-p", str(forward.port), "-n", "2000", "-c", "50", "-t", "set,get", "--csv"
        )
        assert [line.split(",")[0] for line in report.splitlines()[-2:]] == ['"SET"', '"GET"']
        cli = requires.program("redis-cli", package="redis-tools")
        assert client(cli, "-p", str(forward.port), "PING") == "PONG\n"


@pytest.fixture
def database() -> Iterator[int]:
    """A PostgreSQL cluster of its own; its server refuses to run as root, so it runs as postgres then."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if not found:
        requires.missing("needs PostgreSQL's server (apt-get install postgresql)")
    programs = Path(found[-1]).parent
    options: dict[str, object] = {}
    folder = tempfile.mkdtemp(prefix="runas-pg-", dir="/tmp")
    if os.getuid() == 0:
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        options = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    port = free_port()
    try:
        subprocess.run(
            [programs / "initdb", "-D", f"{folder}/data", "-A", "trust", "-U", "tester", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **options,  # type: ignore[call-overload]
        )
        words = [str(programs / "postgres"), "-D", f"{folder}/data", "-p", str(port), "-h", "127.0.0.1"]
        with running([*words, "-k", folder, "-c", "fsync=off"], port, cwd=folder, **options):
            yield port
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_postgresql_and_psql(sandbox: Sandbox, database: int, tmp_path: Path) -> None:
    psql = requires.program("psql", package="postgresql-client")
    socket_path = tmp_path / f".s.PGSQL.{database}"
    words = ("-L", f"{socket_path}:localhost:{database}", *UNPACED, PROFILE, f"{TARGET}:{database}")
    with forwarding(sandbox, *words, lines=2) as forward:
        base = [psql, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "tester", "-d", "postgres", "-c"]
        by_port = ["-h", "127.0.0.1", "-p", str(forward.port)]
        client(*base, "create table t as select n, repeat('x', 1000) as text from generate_series(1, 1000) n", *by_port)
        assert client(*base, "select count(*), sum(length(text)) from t", *by_port) == "1000|1000000\n"
        rows = client(*base, "select n, text from t order by n", *by_port)
        assert rows.splitlines()[-1] == "1000|" + "x" * 1000
        by_socket = ["-h", str(tmp_path), "-p", str(database)]
        assert client(*base, "select 40 + 2", *by_socket) == "42\n"
