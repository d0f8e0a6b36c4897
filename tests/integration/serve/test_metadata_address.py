"""169.254.169.254 as root sees it, in a network namespace of its own, with the user behind sudo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import requires
from tests.support.serving import Command, eventually

ROLE = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
USER = 65534  # nobody: not root, and everywhere


@dataclass(frozen=True)
class Namespace:
    """A network namespace that a process keeps open."""

    pid: int

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("nsenter", "-t", str(self.pid), "-n")

    def run(self, *words: str, user: int = 0) -> str:
        """Run a command in it and return what it prints."""
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        done = subprocess.run([*self.prefix, *become, *words], capture_output=True, timeout=60, check=False)
        return done.stdout.decode()

    def addresses(self) -> str:
        return self.run("ip", "-4", "-o", "addr", "show", "lo")


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    for program, package in (
        ("ip", "iproute2"),
        ("nsenter", "util-linux"),
        ("setpriv", "util-linux"),
        ("curl", "curl"),
    ):
        requires.program(program, package=package)
    if os.geteuid() != 0:
        requires.missing("needs root, for a network namespace")
    keeper = subprocess.Popen(["unshare", "-n", "sh", "-c", "ip link set lo up && echo up && exec cat"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    if keeper.stdout.readline() != b"up\n":
        keeper.wait()
        requires.missing("needs to be allowed a network namespace")
    yield Namespace(keeper.pid)
    keeper.stdin.close()
    keeper.stdout.close()
    keeper.wait(20)


@pytest.fixture
def environ() -> Iterator[dict[str, str]]:
    """A config with keys that need no AWS, owned by the user that sudo names."""
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are closed to other users
        yield _environ(Path(directory))


def _environ(home: Path) -> dict[str, str]:
    config = home / ".aws" / "config"
    config.parent.mkdir(parents=True)
    config.write_text(
        "[profile temporary]\naws_access_key_id = ASIAMADEUP\naws_secret_access_key = made-up\n"
        "aws_session_token = made-up-token\nregion = eu-west-1\n"
    )
    for path in (home, config.parent, config):
        os.chown(path, USER, USER)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_", "SUDO_"))}
    return kept | {"HOME": "/root", "AWS_CONFIG_FILE": str(config), "SUDO_UID": str(USER), "SUDO_GID": str(USER)}


def _serve(namespace: Namespace, environ: dict[str, str], *words: str) -> Command:
    return Command(["serve", "ec2", *words, "temporary"], environ, prefix=namespace.prefix)


def _key_of_botocore(where: Namespace, environ: dict[str, str], variables: dict[str, str] | None = None) -> str:
    """What botocore's own chain finds."""
    code = "import botocore.session as s; print(s.get_session().get_credentials().access_key)"
    client = {name: value for name, value in environ.items() if not name.startswith("AWS_")} | (variables or {})
    command = [*where.prefix, sys.executable, "-c", code]
    return subprocess.run(command, env=client, capture_output=True, timeout=60, check=True).stdout.decode().strip()


def test_the_address_is_there_while_the_server_is_and_answers_as_aws_does(
    namespace: Namespace, environ: dict[str, str]
) -> None:
    assert "169.254.169.254" not in namespace.addresses()
    with _serve(namespace, environ) as server:
        assert server.base == "http://169.254.169.254/"
        assert "169.254.169.254/32" in namespace.addresses()
        assert namespace.run("curl", "-s", ROLE) == "temporary"
        token = namespace.run("curl", "-s", "-X", "PUT", "http://169.254.169.254/latest/api/token",
                              "-H", "X-aws-ec2-metadata-token-ttl-seconds: 60")  # fmt: skip
        answer = namespace.run("curl", "-s", ROLE + "temporary", "-H", f"X-aws-ec2-metadata-token: {token}")
        assert '"AccessKeyId":"ASIAMADEUP"' in answer
        assert server.end() == 143
    eventually(lambda: "169.254.169.254" not in namespace.addresses(), "the address gone")


def test_root_and_every_capability_are_gone_before_the_first_request(
    namespace: Namespace, environ: dict[str, str]
) -> None:
    with _serve(namespace, environ) as server:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert fields["Uid"].split() == [str(USER)] * 4
        assert fields["Gid"].split() == [str(USER)] * 4
        assert set(fields["Groups"].split()) <= {str(USER)}
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(fields[name], 16) == 0, name


def test_a_killed_server_leaves_no_address_behind(namespace: Namespace, environ: dict[str, str]) -> None:
    with _serve(namespace, environ) as server:
        server.end(signal.SIGKILL)
        eventually(lambda: "169.254.169.254" not in namespace.addresses(), "the address gone")


def test_an_address_that_was_there_before_stays(namespace: Namespace, environ: dict[str, str]) -> None:
    namespace.run("ip", "addr", "add", "169.254.169.254/32", "dev", "lo")
    with _serve(namespace, environ) as server:
        server.end()
    assert "169.254.169.254" in namespace.addresses()


def test_other_users_of_the_machine_are_refused_and_root_is_not(namespace: Namespace, environ: dict[str, str]) -> None:
    with _serve(namespace, environ):
        assert "ASIAMADEUP" in namespace.run("curl", "-s", ROLE + "temporary", user=USER)
        assert "ASIAMADEUP" in namespace.run("curl", "-s", ROLE + "temporary")
        stranger = namespace.run("curl", "-s", ROLE + "temporary", user=12345)
        assert "user-refused" in stranger
        assert "ASIAMADEUP" not in stranger


def test_what_is_answered_there_does_not_leave_the_machine(namespace: Namespace) -> None:
    code = (
        "import socket; from aws_runas.serve import loopback\n"
        "with loopback.bind() as listener:\n"
        "    listener.listen()\n"
        "    with socket.create_connection(listener.getsockname()), listener.accept()[0] as answering:\n"
        "        print(answering.getsockopt(socket.IPPROTO_IP, socket.IP_TTL))"
    )
    assert namespace.run(sys.executable, "-c", code).strip() == "1"


def test_a_server_waits_until_the_address_of_the_one_before_it_is_gone(namespace: Namespace) -> None:
    """Otherwise the keeper of the first server removes the address of the second."""
    code = (
        "import threading; from aws_runas.serve import loopback\n"
        "claim, waits, bound = loopback._claim(), threading.Event(), []\n"
        "loopback.add_address()\n"
        "loopback.CLAIM_TIMEOUT, loopback.keep, loopback.time.sleep = 60, lambda claim: None, lambda _: waits.set()\n"
        "second = threading.Thread(target=lambda: bound.append(loopback.bind()))\n"
        "second.start()\n"
        "print(waits.wait(60))\n"
        "loopback.remove_address()  # as the keeper of the first\n"
        "claim.close()\n"
        "second.join(60)\n"
        "print(bound[0].getsockname()[0], loopback.add_address())"
    )
    assert namespace.run(sys.executable, "-c", code).splitlines() == ["True", "169.254.169.254 False"]


def test_a_second_server_is_refused_at_once(namespace: Namespace) -> None:
    code = (
        "from aws_runas.serve import loopback\n"
        "with loopback.bind() as listener:\n"
        "    listener.listen()\n"
        "    loopback.CLAIM_TIMEOUT = 60\n"
        "    try:\n"
        "        loopback.bind()\n"
        "    except OSError as error:\n"
        "        print(error.strerror)"
    )
    assert namespace.run(sys.executable, "-c", code).strip() == "Address already in use"


def test_botocore_finds_it_without_being_told(namespace: Namespace, environ: dict[str, str]) -> None:
    with _serve(namespace, environ, "--no-v1"):
        code = (
            "import botocore.session as s; print(s.get_session().get_credentials().get_frozen_credentials().access_key)"
        )
        client = {name: value for name, value in environ.items() if not name.startswith("AWS_")}
        done = subprocess.run(
            [*namespace.prefix, sys.executable, "-c", code], env=client, capture_output=True, timeout=60
        )
        assert done.stdout.strip() == b"ASIAMADEUP", done.stderr


def test_root_without_sudo_keeps_its_name_and_no_capability(namespace: Namespace, environ: dict[str, str]) -> None:
    own = {name: value for name, value in environ.items() if not name.startswith("SUDO_")}
    config = Path(own["AWS_CONFIG_FILE"])
    for path in (config, config.parent, config.parent.parent):
        os.chown(path, 0, 0)  # without capabilities root reads what is root's
    with _serve(namespace, own) as server:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert "Uid:\t0\t0\t0\t0" in status
        assert "CapEff:\t0000000000000000" in status
        assert "CapBnd:\t0000000000000000" in status
        assert namespace.run("curl", "-s", ROLE) == "temporary"


def test_root_without_sudo_becomes_the_user_whose_configuration_it_is_given(
    namespace: Namespace, environ: dict[str, str]
) -> None:
    own = {name: value for name, value in environ.items() if not name.startswith("SUDO_")}
    with _serve(namespace, own) as server:
        assert f"Uid:\t{USER}\t" in Path(f"/proc/{server.process.pid}/status").read_text()
        assert "ASIAMADEUP" in namespace.run("curl", "-s", ROLE + "temporary")


def test_a_capability_is_enough(namespace: Namespace, environ: dict[str, str]) -> None:
    own = {name: value for name, value in environ.items() if not name.startswith("SUDO_")}
    own["HOME"] = str(Path(own["AWS_CONFIG_FILE"]).parent.parent)
    caps = "+net_admin,+net_bind_service"
    # The interpreter of the tests may lie where only root may look, so reading goes along; all of it is given up alike.
    become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", f"--inh-caps={caps},+dac_read_search",
              f"--ambient-caps={caps},+dac_read_search"]  # fmt: skip
    server = Command(["serve", "ec2", "temporary"], own, prefix=(*namespace.prefix, *become))
    with server:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert f"Uid:\t{USER}\t" in status
        for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
            assert f"{name}:\t0000000000000000" in status
        assert namespace.run("curl", "-s", ROLE) == "temporary"
        server.end()
    eventually(lambda: "169.254.169.254" not in namespace.addresses(), "the address gone")


def test_without_root_the_error_says_what_to_do(namespace: Namespace, environ: dict[str, str]) -> None:
    done = subprocess.run(
        [*namespace.prefix, "setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin",
         sys.executable, "-m", "aws_runas", "serve", "ec2", "temporary"],
        env=environ, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"needs root" in done.stderr
    assert b"-p PORT" in done.stderr


@contextmanager
def _sandbox_of(user: int) -> Iterator[dict[str, str]]:
    """A sandbox that another user started, since it answers nobody else; yields the environment of programs in it."""
    reach = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]  # the interpreter may be in root's home
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *reach]
    tell = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.read()"
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are closed to other users
        os.chown(directory, user, user)
        base = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_", "SUDO_"))}
        process = subprocess.Popen(
            [*become, sys.executable, "-m", "aws_runas", "sandbox", sys.executable, "-c", tell],
            env=base | {"HOME": directory, "TMPDIR": directory},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            process.stdout.close()
            process.wait(20)


@pytest.mark.slow
def test_fetching_from_aws_works_after_root_is_gone() -> None:
    if os.geteuid() != 0:
        requires.missing("needs root, to give it up")
    requires.program("setpriv", package="util-linux")
    with _sandbox_of(USER) as environ:
        given = environ | {"SUDO_UID": str(USER), "SUDO_GID": "12"}
        with Command(["serve", "ec2", "-p", "0", "my-profile"], given) as server:
            role = server.fetch("/latest/meta-data/iam/security-credentials/").body.decode()
            answer = server.fetch(f"/latest/meta-data/iam/security-credentials/{role}")
            assert answer.json().get("Code") == "Success", answer
            status = Path(f"/proc/{server.process.pid}/status").read_text()
            assert f"Uid:\t{USER}\t" in status
            assert "Gid:\t12\t12\t12\t12\n" in status
            umask = Path("/proc/self/status").read_text().partition("Umask:\t")[2][:4]
            assert f"Umask:\t{umask}\n" in status  # what the shell or sudo has set


def test_a_container_reaches_a_bound_address_with_the_token_and_nothing_else(
    namespace: Namespace, environ: dict[str, str]
) -> None:
    """The recipe of docs/how-to/serve.md: the host's end of the container network is 169.254.170.2."""
    host, name = namespace, "runas-test"
    inner = subprocess.Popen([*host.prefix, "unshare", "-n", "sh", "-c", "echo up && exec cat"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert inner.stdin is not None
    assert inner.stdout is not None
    try:
        assert inner.stdout.readline() == b"up\n"
        container = Namespace(inner.pid)
        host.run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", str(inner.pid))
        host.run("ip", "addr", "add", "169.254.170.2/24", "dev", name)
        host.run("ip", "link", "set", name, "up")
        container.run("ip", "addr", "add", "169.254.170.3/24", "dev", "eth0")
        container.run("ip", "link", "set", "eth0", "up")
        words = ["serve", "ecs", "-p", "0", "--bind", "169.254.170.2", "temporary"]
        with Command(words, environ, prefix=host.prefix) as server:
            code = "import botocore.session as s; print(s.get_session().get_credentials().access_key)"
            client = {key: value for key, value in environ.items() if not key.startswith("AWS_")} | server.variables
            done = subprocess.run(
                [*container.prefix, sys.executable, "-c", code], env=client, capture_output=True, timeout=60
            )
            assert done.stdout.strip() == b"ASIAMADEUP", done.stderr
            assert "token-refused" in container.run("curl", "-s", f"{server.base}credentials")
            for path in ("", "profile", "list-roles"):
                assert "user-refused" in container.run("curl", "-s", f"{server.base}{path}")
            assert "page-token" in host.run("curl", "-s", server.base, user=USER)
    finally:
        inner.stdin.close()
        inner.stdout.close()
        inner.wait(20)
