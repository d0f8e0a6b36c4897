"""Instance as seen by its agent: its part of this machine, its processes and programs, and KMS."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from aws_runas import files
from aws_runas.dataclass import dataclass
from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.moto import Moto

MUX_CLIENT = "1.1.70"  # the first version with smux, spec 6
# Programs of an instance that has dash and coreutils, but no Python.
PLAIN_PROGRAMS = """
    awk base64 basename bash cat chmod chown cksum cp cut dash date dd df dirname du echo env expr false find grep gzip
    head hostname id kill ln ls mkdir mkfifo mktemp mv nohup od paste printf ps pwd readlink rm rmdir sed seq setsid
    sh sha256sum sleep sort split stat stty sync tail tar tee test timeout touch tr true tty uname uniq wc which whoami
    xargs""".split()  # noqa: SIM905 - a list of 68 strings is no easier to read


@dataclass(frozen=True, slots=True)
class Machine:
    """Part of this machine that belongs to an instance.

    Args:
        target: id of the instance, or ``ecs:`` target.
        home: start directory of its shells.
        agent_directory: working directory of the agent.
        programs: directory with its programs; None for those of this machine.
        options: the options of the sandbox: version, manners and pace of the agent, and preferences.
        port_map: ports of the instance that have a different number on this machine.
        moto: for KMS.
    """

    target: str
    home: Path
    agent_directory: Path
    programs: Path | None
    options: SandboxOptions
    port_map: dict[int, int]
    moto: Moto = field(repr=False)

    @property
    def agent_version(self) -> str:
        """The version that the agent reports and behaves like."""
        return self.options.agent_version

    @property
    def agent_rate(self) -> float | None:
        """Maximum number of frames per second that the agent sends, None for no limit."""
        return self.options.agent_rate

    @property
    def official(self) -> bool:
        """True if the agent has the quirks of official agents."""
        return self.options.agent_manners == "official"

    @property
    def paced(self) -> bool:
        """True if the agent sleeps as official agents do, and writes each acknowledgement by itself."""
        return self.options.agent_pace == "official"

    def environment(self) -> dict[str, str]:
        """Return the variables of a process on the instance, without any variables of the sandbox's user."""
        return {
            "HOME": str(self.home),
            "LANG": os.environ.get("LANG") or "C.UTF-8",
            "PATH": os.environ.get("PATH", os.defpath) if self.programs is None else str(self.programs),
            "TERM": "xterm-256color",
            "USER": self.options.run_as or "ssm-user",
        }


def make_programs(directory: Path, kind: str) -> Path | None:
    """Create the directory with an instance's programs, unless it exists.

    Args:
        directory: the parent directory of the program directories.
        kind: "" for all of this machine, ``busybox``, ``no-python`` or ``distroless``.

    Returns:
        The directory; None for all programs of this machine.
    """
    if not kind:
        return None
    programs = directory / kind
    if programs.exists():
        return programs
    files.make_private_directory(programs)
    path = os.environ.get("PATH", os.defpath)
    found = {name: shutil.which(name, path=path) for name in PLAIN_PROGRAMS} if kind == "no-python" else {}
    if kind == "busybox" and (busybox := shutil.which("busybox", path=path)) is not None:
        listed = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, timeout=10, check=False).stdout.decode()
        found = dict.fromkeys(listed.split(), busybox)
    for name, program in found.items():
        if program is not None:
            with contextlib.suppress(FileExistsError):
                (programs / name).symlink_to(program)
    return programs


def newer_client(version: str) -> bool:
    """Return True if a client supports smux. As in agents, numbers are compared as numbers and words as words.

    Args:
        version: the version of the client, for instance 1.2.0.
    """
    for have, want in zip(version.split("."), MUX_CLIENT.split("."), strict=False):
        if have != want:
            return int(have) > int(want) if have.isascii() and have.isdigit() else have > want
    return version.count(".") >= MUX_CLIENT.count(".")


def decrypt(moto: Moto, key_id: str, blob: bytes, context: dict[str, str]) -> bytes:
    """Call KMS Decrypt with the permissions of the instance's role.

    Args:
        moto: provides the key.
        key_id: id or ARN of the key that must have encrypted the blob.
        blob: the encrypted data key.
        context: encryption context.

    Raises:
        ServiceError: the context, the key or the blob is wrong.
    """
    from moto.kms.exceptions import InvalidCiphertextException

    kms = moto.kms()
    try:
        plaintext, arn = kms.decrypt(ciphertext_blob=blob, encryption_context=context)
    except InvalidCiphertextException:
        raise ServiceError("InvalidCiphertextException", "the data key cannot be decrypted") from None
    if key_id not in (arn, arn.rpartition("/")[2]):
        raise ServiceError("IncorrectKeyException", "the data key was made with another KMS key")
    return bytes(plaintext)


def kill_session(leader: int) -> None:
    """Kill every process of a session, because background jobs have separate process groups.

    Args:
        leader: process id of the session leader.
    """
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGHUP)
    for pid in _processes():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == leader:
                os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.killpg(leader, signal.SIGKILL)


def kill_survivors(directory: Path) -> None:
    """Kill processes whose HOME is below a directory (Linux only): official agents do not end a command's children.

    Args:
        directory: the homes of all instances of one sandbox.
    """
    mark = b"\0HOME=" + os.fsencode(directory) + b"/"
    for pid in _processes():
        with contextlib.suppress(OSError):
            if mark in b"\0" + Path(f"/proc/{pid}/environ").read_bytes():
                os.kill(pid, signal.SIGKILL)


def _processes() -> Iterator[int]:
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):  # Linux; on other systems the process group is enough
            if name.isdigit():
                yield int(name)
