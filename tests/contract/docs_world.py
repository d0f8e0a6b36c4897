"""What a command block of the documentation needs around it: profiles, files and stand-ins for the reader's programs.

``<!-- test: NAME -->`` above a block names the function of this module (or of tests/interop/test_docs_blocks.py) that
runs it; a block without a mark is one script that must end with status 0.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import dns.exception
import dns.message
import dns.rcode
import pexpect

from aws_runas.sandbox.world import Sandbox, start_sandbox
from aws_runas.serve.listeners import ECS_PORT
from tests.contract.docs_blocks import Block
from tests.support.ports import free_port

ROLE = "arn:aws:iam::123456789012:role/my-role"
TIMEOUT = 120  # seconds for one block
READY = ("listening on ", " are served; ", "listening on 127.0.0.1")
# Stand-ins for programs of the reader: each checks what aws-runas gave it.
PROGRAMS = {
    "terraform": "env | grep -q ^AWS_",
    "./migrate": "env | grep -q ^AWS_",
    "-strange-program": "env | grep -q ^AWS_",
    "browser": 'exec {python} -m tests.support.portal_browser "$1"',
    "docker": 'password=$(cat); test "${{#password}}" -gt 20 && [ "$1 $2" = "login --username" ]',
    "skopeo": 'password=$(cat); test "${{#password}}" -gt 20 && [ "$1" = login ]',
    "mysql": 'case "$MYSQL_PWD" in orders.*.rds.amazonaws.com:3306/?Action=connect*) ;; *) exit 1 ;; esac',
    "systemctl": (  # what systemd thinks of the units that were written
        'case "$*" in *daemon-reload) ;; *) for unit; do :; done\n'
        'exec systemd-analyze --user verify "$XDG_CONFIG_HOME/systemd/user/$unit";; esac'
    ),
}
PROFILES = """
[profile prod]
role_arn = {role}
source_profile = {user}
region = us-east-1
[profile admin]
role_arn = {role}
source_profile = {user}
region = us-east-1
[profile shell]
role_arn = {role}
source_profile = {user}
region = us-east-1
[profile me]
region = us-east-1
[profile dev]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = my-role
region = us-east-1
[sso-session corp]
sso_start_url = {start_url}
sso_region = us-east-1
sso_registration_scopes = sso:account:access
"""
TUNNELS = """
[db]
profile = "my-profile"
target = "web"
forwards = ["{db}:localhost:9000"]
[cache]
profile = "my-profile"
target = "web"
forwards = ["{cache}:localhost:9000"]
"""


@dataclass
class World:
    """A directory with everything that a block may name, and the environment that points there.

    Args:
        sandbox: its services.
        folder: the working directory, which is HOME too.
    """

    sandbox: Sandbox
    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, script: str, *, program: str = "bash") -> subprocess.CompletedProcess[str]:
        """Run a script to its end; what it left in the background is ended, and its status is that of the script."""
        words = [program, "-c", script] if program != "bash" else ["bash", "-e", "-o", "pipefail", "-c", script]
        with (self.folder / "output").open("w+b") as output:
            running = subprocess.Popen(
                words,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                start_new_session=True,
            )
            try:
                status = running.wait(TIMEOUT)
            finally:
                end_group(running.pid)
            output.seek(0)
            return subprocess.CompletedProcess(script, status, output.read().decode(errors="replace"))

    def succeed(self, script: str) -> str:
        """Run a script that must end with status 0; returns its output."""
        ran = self.run(script)
        assert ran.returncode == 0, f"{script}\n{ran.stdout}"
        return str(ran.stdout)

    def until_interrupt(self, line: str) -> str:
        """Run a server or forward, wait until it is ready, press Ctrl-C; returns what it printed."""
        with subprocess.Popen(
            ["bash", "-c", f"exec {line}"],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            start_new_session=True,
        ) as running:
            assert running.stdout is not None
            printed = ""
            ready = False
            for text in running.stdout:
                printed += text
                if not ready and any(word in text for word in READY):
                    ready = True
                    running.send_signal(signal.SIGINT)
            assert running.wait(TIMEOUT) in (0, 130), f"{line}\n{printed}"
        assert any(word in printed for word in READY), f"{line}\n{printed}"
        return printed

    def terminal(self, line: str) -> pexpect.spawn[str]:
        """Start a line on a terminal."""
        return pexpect.spawn(
            "bash",
            ["--norc", "-c", line],
            env=self.environ,
            cwd=str(self.folder),
            encoding="utf-8",
            timeout=30,
            dimensions=(40, 200),
        )


def end_group(pid: int) -> None:
    """End what is left of a process group, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGTERM)
        for _ in range(500):
            os.killpg(pid, 0)
            time.sleep(0.01)  # its processes are not our children, so nothing tells when they are gone
        os.killpg(pid, signal.SIGKILL)


def on_free_ports(block: Block) -> Block:
    """Return the block with free ports in place of the page's, so that two runs of the tests do not meet."""
    text = "\n".join(block.lines)
    if re.search(r"aws-runas (?:serve|srv) ecs\b(?!.* (?:-p|--socket) )", text):
        text = re.sub(r"aws-runas (serve|srv) ecs\b", rf"aws-runas \1 ecs -p {ECS_PORT}", text)
    for port in set(re.findall(r"(?:-p |-L |127\.0\.0\.1:)(\d{4,5})\b", text)):
        text = re.sub(rf"(?<!\d){port}(?!\d)", str(free_port()), text)
    return replace(block, lines=tuple(text.split("\n")))


@contextlib.contextmanager
def _empty_name_server() -> Iterator[str]:
    """Run a name server that knows no name, so that no test waits for one of the machine's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                question, sender = udp.recvfrom(4096)
                with contextlib.suppress(dns.exception.DNSException):
                    answer = dns.message.make_response(dns.message.from_wire(question))
                    answer.set_rcode(dns.rcode.NXDOMAIN)
                    udp.sendto(answer.to_wire(), sender)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield "{}:{}".format(*udp.getsockname())
        finally:
            ended.set()
            udp.sendto(b"", udp.getsockname())
            thread.join()


@contextlib.contextmanager
def make_world(sandbox: Sandbox, folder: Path) -> Iterator[World]:
    """Make the directory of one block."""
    config, credentials = folder / "config", folder / "credentials"
    text = Path(sandbox.environ["AWS_CONFIG_FILE"]).read_text()
    keys = Path(sandbox.environ["AWS_SHARED_CREDENTIALS_FILE"]).read_text()
    found = re.search(r"source_profile *= *(\S+-user)", text)
    address = re.search(r"sso_start_url *= *(\S+)", text)
    assert found is not None, text
    assert address is not None, text
    config.write_text(text + PROFILES.format(role=ROLE, user=found[1], start_url=address[1]))
    credentials.write_text(keys + keys.replace(f"[{found[1]}]", "[me]"))
    (folder / "tunnels.toml").write_text(TUNNELS.format(db=free_port(), cache=free_port()))
    (folder / "db").mkdir()
    (folder / "fix.sh").write_text("echo fixed\n")
    (folder / "motd").write_text("welcome\n")
    (folder / "dist.tgz").write_bytes(b"\x1f\x8b")
    (folder / "just-this-bucket.json").write_text(
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
    )
    programs = folder / "bin"
    programs.mkdir()
    for name, body in PROGRAMS.items():
        path = folder / name if "/" in name else programs / name
        path.write_text(f"#!/bin/sh\n{body.format(python=sys.executable)}\n")
        path.chmod(0o755)
    aws = shutil.which("aws")
    real = f'exec {aws} "$@"' if aws else "env | grep -q ^AWS_"
    (programs / "aws").write_text(  # the sandbox has no S3
        f'#!/bin/sh\nif [ "$1" = s3 ]; then exec env | grep -q ^AWS_; fi\n{real}\n'
    )
    (programs / "aws").chmod(0o755)
    with (
        _empty_name_server() as name_server,
        tempfile.TemporaryDirectory(prefix="runas-") as runtime,
    ):  # a socket's path may have 107 characters
        world = World(sandbox, folder)
        world.environ = sandbox.environ | {
            "AWS_CONFIG_FILE": str(config),
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            "HOME": str(folder),
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "RUNAS_BROWSER": str(programs / "browser"),
            "RUNAS_CACHE_DIR": str(folder / "cache"),
            "RUNAS_DNS_SERVER": name_server,
            "RUNAS_TUNNELS_FILE": str(folder / "tunnels.toml"),
            "XDG_CONFIG_HOME": str(folder / "xdg"),
            "XDG_RUNTIME_DIR": runtime,
        }
        try:
            yield world
        finally:
            if list(Path(runtime).rglob("tunnels.sock")):
                world.run("aws-runas tunnels down")


def script(block: Block, world: World) -> None:
    """Run the whole block as one script."""
    world.succeed(block.script)


def until_interrupt(block: Block, world: World) -> None:
    """Run each line by itself, servers and forwards until they are ready. What the page shows of them is compared."""
    for line in _lines(block):
        command = line.partition(" #")[0].strip()
        if re.search(r"aws-runas (forward|fwd|serve|srv) ", command):
            printed = world.until_interrupt(command)
            for shown in block.lines:
                if not shown.startswith("$ ") and block.lines[0].startswith("$ "):
                    pattern = re.escape(shown).replace(r"\.\.\.", r"\S+")
                    assert re.search(f"^{pattern}$", printed, re.MULTILINE), f"{shown}\n{printed}"
        elif command:
            world.succeed(command)


def starts_sandbox(block: Block, world: World) -> None:
    """Start the sandbox of the block outside of any, leave its shell with ``exit``; then run what is typed inside."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_"))}
    outside |= {"HOME": str(world.folder), "SHELL": "/bin/bash", "PATH": world.environ["PATH"], "PS1": "> "}
    line = next(line for line in block.lines if "aws-runas sandbox" in line and not line.startswith("$ "))
    words = line.partition("aws-runas sandbox")[2].split()
    child = pexpect.spawn("aws-runas", ["sandbox", *words], env=outside, encoding="utf-8", timeout=60)
    child.expect_exact("(sandbox) ")
    child.sendline("exit 7")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 7
    if any(line.startswith("$ ") for line in block.lines):
        until_interrupt(block, world)


def shows_error(block: Block, world: World) -> None:
    """Run a line that fails, and compare what it prints with what the page shows."""
    ran = world.run(block.script)
    assert ran.returncode == 5
    shown = [line for line in block.lines if not line.startswith("$ ")]
    assert ran.stdout.splitlines()[: len(shown)] == shown


def picker(block: Block, world: World) -> None:
    """Choose prod from each list on a terminal."""
    del block
    child = world.terminal('eval "$(aws-runas init bash)"; runas --pick; echo "chose<$AWSRUNAS_PROFILE>"')
    child.expect("my-profile")
    child.send("prod\r")
    child.expect("chose<prod>")
    child.close()
    child = world.terminal('aws-runas --pick terraform plan; echo "ended<$?>"')
    child.expect("my-profile")
    child.send("prod\r")
    child.expect("ended<0>")
    child.close()


def session(block: Block, world: World) -> None:
    """Show and end a session that runs, in place of the one that the page names."""
    with subprocess.Popen(
        ["aws-runas", "run", "my-profile", "web", "sleep 60"],
        env=world.environ,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stderr is not None
        found = re.search(r"session (\S+)", running.stderr.readline())
        assert found is not None
        text = block.script.replace("ann-0123456789abcdef0", found[1])
        assert text != block.script
        assert found[1] in world.succeed(text)
        running.communicate(timeout=TIMEOUT)


def tunnels_are_up(block: Block, world: World) -> None:
    """Run the block while the tunnels process runs."""
    world.succeed(f"aws-runas tunnels up --lazy\n{block.script}")


def signed_in(block: Block, world: World) -> None:
    """Run the block after a sign-in to its session."""
    world.succeed(f"aws-runas login --sso-session corp\n{block.script}")


def new_sso_session(block: Block, world: World) -> None:
    """Sign in to a session that is not in the config file yet: the sandbox's portal, in place of the page's."""
    config = Path(world.environ["AWS_CONFIG_FILE"])
    text = config.read_text()
    address = re.search(r"sso_start_url *= *(\S+)", text)
    assert address is not None
    config.write_text(text.partition("[profile dev]")[0])
    changed = block.script.replace("https://example.awsapps.com/start", address[1]).replace("eu-west-1", "us-east-1")
    assert address[1] in changed
    assert "signed in" in world.succeed(changed)


def watch_top(block: Block, world: World) -> None:
    """Run the lines; the one with a terminal is left with q once it shows something."""
    lines = _lines(block)
    world.succeed("\n".join(line for line in lines if " -t " not in line))
    child = world.terminal(next(line for line in lines if " -t " in line))
    child.expect("load average")
    child.send("q")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def copies(block: Block, world: World) -> None:
    """Copy to and from directories that the instance has."""
    world.succeed("aws-runas run my-profile web 'mkdir -p releases logs && echo hello > logs/app.log'")
    world.succeed(block.script)
    assert (world.folder / "logs" / "app.log").read_text() == "hello\n"


def in_fish(block: Block, world: World) -> None:
    """Run the block in fish, and see that the credentials arrived."""
    from tests.support import requires

    ran = world.run(f'{block.script}\nenv | string match -q "AWSRUNAS_PROFILE=prod"', program=requires.program("fish"))
    assert ran.returncode == 0, ran.stdout


def config_line(block: Block, world: World) -> None:
    """Run the program that a line of the config file names."""
    world.succeed(block.script.partition("=")[2].strip().replace(" dev", " me"))


def own_keys(block: Block, world: World) -> None:
    """Run a block about keys with the user of a sandbox of its own, whose profile is me in place of dev."""
    folder = world.folder / "own"
    folder.mkdir()
    with start_sandbox(base=world.environ) as own, make_world(own, folder) as mine:
        mine.environ |= {"RUNAS_KEYRING": "file", "RUNAS_KEYRING_PASSPHRASE": "correct horse"}
        text = block.script.replace(" dev", " me")
        assert text != block.script
        if " add " in text:
            keys = Path(mine.environ["AWS_SHARED_CREDENTIALS_FILE"])
            found = re.search(r"key_id = (\S+)\naws_secret_access_key = (\S+)", keys.read_text())
            assert found is not None
            keys.write_text("")
            child = mine.terminal(text)
            for answer in found.groups():
                child.expect(":")
                child.sendline(answer)
            child.expect(pexpect.EOF)
            child.close()
            assert child.exitstatus == 0
            assert "me" in mine.succeed("aws-runas keys list")
            mine.succeed("aws-runas whoami me")
        elif " remove " in text:
            mine.succeed(f"aws-runas keys import me\n{text} -y")
        else:
            mine.succeed(f"{text}\naws-runas whoami me")


def _lines(block: Block) -> list[str]:
    return block.script.replace("\\\n", " ").splitlines()


SCENARIOS: dict[str, Callable[[Block, World], None]] = {
    "": script,
    "until Ctrl-C": until_interrupt,
    "starts a sandbox": starts_sandbox,
    "shows an error": shows_error,
    "on a terminal": picker,
    "a session": session,
    "tunnels are up": tunnels_are_up,
    "signed in": signed_in,
    "a new sso-session": new_sso_session,
    "top": watch_top,
    "copies": copies,
    "fish": in_fish,
    "config line": config_line,
    "keys": own_keys,
}
