"""What an agent knows of its instance: its part of this machine, its version and manners, its programs, and KMS."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from aws_runas import files
from aws_runas.sandbox.options import SandboxOptions
from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.moto import Moto

MUX_CLIENT = "1.1.70"  # at least, spec 6
# Programs of an instance with dash and coreutils and without Python.
PLAIN_PROGRAMS = """
    awk base64 basename bash cat chmod chown cksum cp cut dash date dd df dirname du echo env expr false find grep gzip
    head hostname id kill ln ls mkdir mkfifo mktemp mv nohup od paste printf ps pwd readlink rm rmdir sed seq setsid
    sh sha256sum sleep sort split stat stty sync tail tar tee test timeout touch tr true tty uname uniq wc which whoami
    xargs""".split()  # noqa: SIM905 - a list of 68 strings is no easier to read


@dataclass(frozen=True, slots=True)
class Machine:
    """An instance's part of this machine.

    Args:
        home: where its shells start.
        agent_directory: the agent's own working directory.
        programs: directory with its programs; None for those of this machine.
        options: the sandbox's: the agent's version, manners, pace and preferences.
        port_map: ports of the instance that are others on this machine.
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
        """Version that the agent reports and behaves like."""
        return self.options.agent_version

    @property
    def agent_rate(self) -> float | None:
        """Frames a second that the agent sends at most, None without a limit."""
        return self.options.agent_rate

    @property
    def official(self) -> bool:
        """Whether the agent has the manners of official agents."""
        return self.options.agent_manners == "official"

    @property
    def paced(self) -> bool:
        """Whether the agent sleeps as official agents do."""
        return self.options.agent_pace == "official"

    def environment(self) -> dict[str, str]:
        """Return the variables of a process on the instance: nothing of the sandbox's user is in them."""
        return {
            "HOME": str(self.home),
            "LANG": os.environ.get("LANG") or "C.UTF-8",
            "PATH": os.environ.get("PATH", os.defpath) if self.programs is None else str(self.programs),
            "TERM": "xterm-256color",
            "USER": self.options.run_as or "ssm-user",
        }


def make_programs(directory: Path, kind: str) -> Path | None:
    """Make the directory with the programs of an instance, once.

    Args:
        kind: "" for all of this machine, ``busybox``, ``no-python`` or ``distroless``.
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
    """Tell whether the client speaks smux: compare numbers as numbers and words as words, as agents do."""
    for have, want in zip(version.split("."), MUX_CLIENT.split("."), strict=False):
        if have != want:
            return int(have) > int(want) if have.isascii() and have.isdigit() else have > want
    return version.count(".") >= MUX_CLIENT.count(".")


def decrypt(moto: Moto, key_id: str, blob: bytes, context: dict[str, str]) -> bytes:
    """KMS Decrypt, as the instance's own role may call it.

    Raises:
        ServiceError: the context, the key or the blob is not right.
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
