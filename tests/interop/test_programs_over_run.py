"""Programs that expect ssh, with `aws-runas run` in its place, against an instance without sshd: the real programs."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
from io import BytesIO
from pathlib import Path
from random import Random

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.support import requires

RUN = f"{sys.executable} -m aws_runas run"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with awkward names and contents."""
    top = tmp_path / "tree"
    (top / "a dir").mkdir(parents=True)
    (top / "a dir" / "it's").write_bytes(Random(5).randbytes(200_000))
    (top / "ünïcödé \n newline").write_bytes(b"\xef\xbf\xbd\xff\xfe\xfd")
    (top / "empty").write_bytes(b"")
    (top / "link").symlink_to("a dir/it's")
    (top / "run.sh").write_bytes(b"#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    return top


def _content(top: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if path.is_symlink():
            found[name] = ("link", os.readlink(path))
        elif path.is_file():
            found[name] = (path.stat().st_mode & 0o777, path.read_bytes())
    return found


def _check(
    words: list[str], sandbox: Sandbox, extra: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        words,
        env=sandbox.environ | (extra or {}),
        capture_output=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_rsync_both_ways(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    rsync = requires.program("rsync")
    there, back = tmp_path / "there", tmp_path / "back"
    shell = f"{RUN} -q --join my-profile"
    _check([rsync, "-a", "-e", shell, f"{tree}/", f"root@web:{there}/"], sandbox)
    assert _content(there) == _content(tree)
    (there / "a dir" / "it's").write_bytes(Random(6).randbytes(200_000))
    (there / "empty").unlink()
    _check([rsync, "-a", "--delete", "-e", shell, f"web:{there}/", f"{back}/"], sandbox)
    assert _content(back) == _content(there)


def test_sftp_both_ways(sandbox: Sandbox, tmp_path: Path) -> None:
    sftp = requires.program("sftp", package="openssh-client")
    server = next(
        (path for path in ("/usr/lib/openssh/sftp-server", "/usr/libexec/sftp-server") if Path(path).exists()), None
    )
    if server is None:
        requires.missing("needs sftp-server (apt-get install openssh-sftp-server)")
    data = Random(7).randbytes(300_000) + b"\xef\xbf\xbd\xff\xfe\xfd"
    (tmp_path / "data").write_bytes(data)
    batch = tmp_path / "batch"
    batch.write_text(f"put {tmp_path}/data {tmp_path}/there\nget {tmp_path}/there {tmp_path}/back\n")
    _check([sftp, "-b", str(batch), "-D", f"{RUN} -q my-profile web {server}"], sandbox)
    assert (tmp_path / "there").read_bytes() == data
    assert (tmp_path / "back").read_bytes() == data


def test_git_push_and_clone(sandbox: Sandbox, tmp_path: Path) -> None:
    git = requires.program("git")
    environ: dict[str, str] = {"GIT_SSH_COMMAND": f"{RUN} -q my-profile", "GIT_CONFIG_GLOBAL": os.devnull}
    for name in ("AUTHOR", "COMMITTER"):
        environ |= {f"GIT_{name}_NAME": "T", f"GIT_{name}_EMAIL": "t@example.com"}
    far, here, clone = tmp_path / "far 'dir.git", tmp_path / "here", tmp_path / "clone"
    _check([git, "init", "-q", "--bare", str(far)], sandbox, environ)
    _check([git, "init", "-q", "-b", "main", str(here)], sandbox, environ)
    (here / "data").write_bytes(Random(8).randbytes(100_000))
    _check([git, "-C", str(here), "add", "data"], sandbox, environ)
    _check([git, "-C", str(here), "commit", "-qm", "data"], sandbox, environ)
    _check([git, "-C", str(here), "push", "-q", f"web:{far}", "main"], sandbox, environ)
    _check([git, "clone", "-q", "-b", "main", f"web:{far}", str(clone)], sandbox, environ)
    assert (clone / "data").read_bytes() == (here / "data").read_bytes()


def test_tar_through_a_pipe(sandbox: Sandbox, tree: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(tree, ".")
    words = [sys.executable, "-m", "aws_runas", "run", "-q", "my-profile", "web", f"tar x -C {there}"]
    subprocess.run(words, env=sandbox.environ, input=packed.getvalue(), check=True, timeout=60)
    assert _content(there) == _content(tree)


def test_sshuttles_own_start_of_its_server(sandbox: Sandbox) -> None:
    """sshuttle needs root and a firewall; this is its start of the server: its own code, its own command line."""
    python = requires.program("sshuttle")
    interpreter = Path(python).read_text().splitlines()[0].removeprefix("#!").split()[0]
    script = (
        "import inspect, sys, sshuttle.helpers\n"
        "from sshuttle import ssh\n"
        "options = dict(latency_control=True, latency_buffer_size=32768, auto_hosts=False, to_nameserver=None,\n"
        "               auto_nets=False)\n"
        f"known = dict(ssh_cmd={RUN + ' -q --join my-profile'!r}, rhostport='web', python=None, stderr=None,\n"
        "             options=options, add_cmd_delimiter=True, remote_shell=None)\n"
        "wanted = inspect.signature(ssh.connect).parameters\n"
        "process, sock = ssh.connect(**{name: known[name] for name in wanted})\n"
        "sock.settimeout(60)\n"
        "data = b''\n"
        "while b'SSHUTTLE0001' not in data: data += sock.recv(100) or sys.exit(repr(data))\n"
        "sys.stdout.write(data.decode('latin-1')); sys.stdout.flush()\n"
        "sock.close(); process.wait()\n"
    )
    done = subprocess.run(
        [shutil.which(interpreter) or interpreter, "-c", script],
        env=sandbox.environ,
        capture_output=True,
        timeout=90,
        check=False,
    )
    assert b"\0\0SSHUTTLE0001" in done.stdout, done.stderr  # the first bytes of its server


# A network of its own whose traffic goes nowhere but to sshuttle; its ssh command joins the network of the sandbox.
NETWORK = "ip link set lo up && ip addr add 10.200.0.1/32 dev lo && ip route add default dev lo"
REDIRECT = f"{NETWORK} && iptables -t nat -A OUTPUT -p tcp -d 192.0.2.1 -j REDIRECT --to-ports 9"
FETCH = """import socket, sys
connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)
connection.sendall(b"hello")
connection.shutdown(socket.SHUT_WR)
while data := connection.recv(65536):
    sys.stdout.buffer.write(data)
"""


def _own_address() -> str:
    """An address of this machine that is not the loopback's; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return ""
        address = str(probe.getsockname()[0])
        return "" if address.startswith("127.") else address


def fetch_through_sshuttle(line: str, environ: dict[str, str], folder: Path) -> None:
    """Fetch data from a server of this machine, out of a network that reaches nothing but through sshuttle.

    Args:
        line: starts sshuttle; ``aws-runas`` joins the network of the sandbox, and 10.0.0.0/8 is the server's address.
        environ: of the sandbox.
        folder: for its log.
    """
    for name, package in (("sshuttle", None), ("iptables", None), ("ip", "iproute2"), ("unshare", "util-linux")):
        requires.program(name, package=package)
    environ = environ | {"PATH": f"{environ['PATH']}:/usr/sbin:/sbin"}
    address = _own_address()
    able = subprocess.run(["unshare", "-n", "sh", "-c", REDIRECT], env=environ, capture_output=True, check=False)
    if able.returncode or not address:
        reason = able.stderr.decode(errors="replace").strip() or "no address but the loopback's"
        requires.missing(f"needs root, NAT in a network namespace and an address of this machine: {reason}")
    data = Random(21).randbytes(200_000)
    log = folder / "log"
    joined = line.replace("aws-runas ", f"nsenter --net=/proc/{os.getpid()}/ns/net {sys.executable} -m aws_runas ")
    with socket.create_server((address, 0)) as listening:
        threading.Thread(target=_answer, args=(listening, data), daemon=True).start()
        port = listening.getsockname()[1]
        script = (
            f"{NETWORK} || exit 9\n"
            f"{joined.replace('10.0.0.0/8', f'{address}/32')} --method nat >{log} 2>&1 & p=$!\n"
            f"until grep -q Connected {log}; do kill -0 $p 2>/dev/null || exit 8; sleep 0.1; done\n"
            'python3 -c "$0" "$@"; status=$?\n'
            "kill $p; wait $p; exit $status\n"
        )
        done = subprocess.run(
            ["unshare", "-n", "sh", "-c", script, FETCH, address, str(port)],
            env=environ, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"hello" + data), (done.stderr, log.read_text())


def test_sshuttle_carries_the_traffic_of_a_network(sandbox: Sandbox, tmp_path: Path) -> None:
    """Its own firewall rules redirect a connection that has no other way to the instance, which dials the server."""
    line = "sshuttle -e 'aws-runas run -q --join my-profile' -r web 10.0.0.0/8"
    fetch_through_sshuttle(line, sandbox.environ, tmp_path)


def _answer(listening: socket.socket, data: bytes) -> None:
    """Send back what the first connection says, and the data."""
    connection, _ = listening.accept()
    with connection:
        said = b""
        while part := connection.recv(65536):
            said += part
        connection.sendall(said + data)
