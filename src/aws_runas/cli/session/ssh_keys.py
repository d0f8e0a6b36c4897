"""The public keys that ssh offers: those of its agent and its identity files, from `ssh -G` and `ssh-add -L`."""

from __future__ import annotations

import base64
import binascii
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError

ACCEPTED: Final = ("ssh-ed25519", "ssh-rsa")  # by EC2 Instance Connect
MOST: Final = 5  # sshd refuses a client after six attempts (MaxAuthTries)
PROGRAM_TIMEOUT: Final = 10.0  # seconds
MAKE_ONE: Final = "make one with ssh-keygen -t ed25519, or name one with --identity"
_FALLBACK: Final = ("~/.ssh/id_ed25519", "~/.ssh/id_rsa")


@dataclass(frozen=True, slots=True)
class SshSettings:
    """Settings for a host from the configuration of ssh.

    Args:
        user: "" if it is not known.
        identity_files: private keys; their .pub files are next to them.
        identities_only: use only the keys of the agent that an identity file names.
        agent: socket of the agent, "" for none.
    """

    user: str
    identity_files: tuple[str, ...]
    identities_only: bool
    agent: str


def ssh_settings(host: str, user: str, port: int, environ: Mapping[str, str]) -> SshSettings:
    """Return the settings from `ssh -G`; without ssh, its defaults.

    Args:
        host: as on the command line of ssh.
        user: "" if none was named.
        port: port of the SSH server, on which the configuration of ssh may match.
        environ: SSH_AUTH_SOCK names the agent.
    """
    words = ["ssh", "-G", "-p", str(port), *(["-l", user] if user else []), "--", host]
    values: dict[str, list[str]] = {}
    for line in _output(words, environ).splitlines():
        name, _, value = line.partition(" ")
        values.setdefault(name.lower(), []).append(value)
    agent = values.get("identityagent", [""])[0]
    if agent in ("", "SSH_AUTH_SOCK"):
        agent = environ.get("SSH_AUTH_SOCK", "")
    return SshSettings(
        user or values.get("user", [environ.get("USER", "")])[0],
        tuple(values.get("identityfile", _FALLBACK)),
        values.get("identitiesonly", ["no"])[0] == "yes",
        "" if agent == "none" else os.path.expanduser(agent),
    )


def public_keys(settings: SshSettings, chosen: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the keys in the order in which ssh offers them, each once, at most MOST.

    Args:
        chosen: key files that the user named; if any, only these are used.

    Raises:
        UsageError: there is no key that EC2 Instance Connect accepts.
    """
    files = [key for path in (chosen or settings.identity_files) if (key := _read(path, environ, must=bool(chosen)))]
    held: list[str] = []
    if settings.agent and not chosen:
        answer = _output(["ssh-add", "-L"], {**environ, "SSH_AUTH_SOCK": settings.agent})
        held = [key for line in answer.splitlines() if (key := _key(line))]
        if settings.identities_only:
            held = [key for key in held if key in files]
    ordered = [key for key in files if key in held] + held + files
    keys = list(dict.fromkeys(ordered))[:MOST]
    if not keys:
        raise UsageError(
            "no public key to push: the ssh agent has none, and no identity file has a .pub beside it",
            code="ssh-key-missing",
            hint=MAKE_ONE,
        )
    return keys


def _read(path: str, environ: Mapping[str, str], *, must: bool) -> str:
    """Return the key of an identity file, from the .pub file next to it; "" if there is none."""
    home = environ.get("HOME")
    if path.startswith("~/") and home:
        path = home + path[1:]
    file = Path(os.path.expanduser(path))
    public = file if file.suffix == ".pub" else file.with_name(file.name + ".pub")
    try:
        key = _key(public.read_text(errors="replace").strip())
    except OSError as error:
        if must:
            raise UsageError(
                f"cannot read {public}: {(error.strerror or str(error)).lower()}",
                code="ssh-key-missing",
                hint=MAKE_ONE,
            ) from None
        return ""
    if must and not key:
        raise UsageError(f"{public} holds no RSA or ED25519 public key", code="ssh-key-missing", hint=MAKE_ONE)
    return key


def _key(line: str) -> str:
    """Return the type and data of a public key line, "" if the key is not accepted."""
    words = line.split()
    if len(words) < 2 or words[0] not in ACCEPTED:
        return ""
    try:
        base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return ""
    return f"{words[0]} {words[1]}"


def _output(words: list[str], environ: Mapping[str, str]) -> str:
    try:
        answer = subprocess.run(
            words,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROGRAM_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.decode("utf-8", "replace") if answer.returncode == 0 else ""
