"""A real PostgreSQL server with tokens as passwords: psql through a forward, with the certificate checked."""

from __future__ import annotations

import glob
import json
import os
import pwd
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import RunAs
from tests.integration.forward.support import PROFILE, forwarding
from tests.integration.forward.test_databases import create_database
from tests.interop.test_databases_by_name import folder, make_certificate, own_sandbox
from tests.interop.test_forwarded_programs import client, running
from tests.support import rds_iam, requires
from tests.support.bind_server import bind_server
from tests.support.ports import free_port

__all__ = ["folder", "own_sandbox"]

PREFIX = "database:"  # which the server puts before the user's name
REGION = "us-east-1"


@contextmanager
def postgresql(folder: Path, host: str, port: int, bind_port: int) -> Iterator[Path]:
    """Run a server that accepts TLS only, and asks a directory for every password; yields its certificate."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
    if not found:
        requires.missing("needs PostgreSQL's server (apt-get install postgresql)")
    programs = Path(found[-1]).parent
    key, certificate = make_certificate(folder, host)
    options: dict[str, Any] = {"cwd": folder}
    if os.getuid() == 0:  # the server refuses to run as root
        account = pwd.getpwnam("postgres")
        for path in (folder, key, certificate):
            os.chown(path, account.pw_uid, account.pw_gid)
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    initdb = [str(programs / "initdb"), "-D", f"{folder}/data", "-A", "trust", "-U", "tester", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, **options)
    rules = folder / "data" / "pg_hba.conf"
    rules.write_text(
        "local all tester trust\n"
        f'hostssl all all 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapport={bind_port} ldapprefix="{PREFIX}"\n'
    )
    server = [str(programs / "postgres"), "-D", f"{folder}/data", "-p", str(port), "-h", "127.0.0.1", "-k", str(folder)]
    server += ["-c", "ssl=on", "-c", f"ssl_key_file={key}", "-c", f"ssl_cert_file={certificate}", "-c", "fsync=off"]
    with running(server, port, **options):
        yield certificate


def test_psql_logs_in_with_a_token_through_a_forward(own_sandbox: Sandbox, folder: Path, runas: RunAs) -> None:
    psql = requires.program("psql", package="postgresql-client")
    port = free_port()
    host = create_database(own_sandbox, "ledger", port)
    keys = json.loads(runas(own_sandbox, "-O", "json", PROFILE).stdout)
    clock = [0.0]
    refusals: list[str] = []

    def check(name: str, password: str) -> bool:
        secrets = {keys["AccessKeyId"]: (keys["SecretAccessKey"], keys["SessionToken"])}
        assert name.startswith(PREFIX)
        user = name.removeprefix(PREFIX)
        now = time.time() + clock[0]
        refusals.append(rds_iam.refusal(password, host, port, user, REGION, secrets.__getitem__, now))
        return not refusals[-1]

    def token(where: str, user: str) -> str:
        made = runas(own_sandbox, "token", "rds", PROFILE, where, user)
        assert (made.returncode, made.stderr) == (0, b"")
        return made.stdout.decode().removesuffix("\n")

    with (
        bind_server(check) as bind_port,
        postgresql(folder, host, port, bind_port) as certificate,
        forwarding(own_sandbox, PROFILE, "rds:ledger") as forward,
    ):
        words = [psql, "-X", "-A", "-t", "-w", "-c"]
        client(*words, "create role app login", "-h", str(folder), "-p", str(port), "-U", "tester", "-d", "postgres")
        environ = {
            "PGHOST": host,
            "PGHOSTADDR": "127.0.0.1",
            "PGPORT": str(forward.port),
            "PGUSER": "app",
            "PGDATABASE": "postgres",
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": str(certificate),
        }
        query = "select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()"

        def connect(password: str, **others: str) -> subprocess.CompletedProcess[str]:
            variables = {**os.environ, **environ, "PGPASSWORD": password, **others}
            return subprocess.run([*words, query], env=variables, capture_output=True, text=True, check=False)

        good = token(f"{host}:{port}", "app")
        assert len(good) > 511  # what PAM would see of it
        assert connect(good).stdout == "app|t\n", refusals
        for password, reason in [
            (token(f"{host}:{port}", "tester"), "another host, port or user"),
            (token(f"{host}:{forward.port}", "app"), "another host, port or user"),
            (good[:-1] + ("0" if good[-1] != "0" else "1"), "wrong signature"),
        ]:
            assert connect(password).returncode != 0
            assert reason in refusals[-1]
        clock[0] = 15 * 60 + 1
        assert connect(good).returncode != 0
        assert refusals[-1] == "expired"
        asked = len(refusals)
        refused = connect(good, PGHOST="localhost")
        assert "certificate" in refused.stderr
        assert len(refusals) == asked  # the token never left
