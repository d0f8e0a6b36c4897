"""Dropping root: switches to the user behind sudo and drops all capabilities, also for programs started later.

Source: capabilities(7), prctl(2), capset(2).
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Mapping
from pathlib import Path

from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError

PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 4
CAPABILITY_VERSION_3 = 0x20080522
CAP_NET_BIND_SERVICE, CAP_NET_ADMIN = 10, 12


@dataclass(frozen=True, slots=True)
class User:
    """User that the server switches to after binding its ports.

    Args:
        uid, gid: the user id and group id.
        name: for the supplementary groups.
        home: contains the user's configuration.
    """

    uid: int
    gid: int
    name: str
    home: Path


def user_behind(environ: Mapping[str, str], *, uid: int) -> User | None:
    """Return the user who called sudo, doas or pkexec; None if there is none.

    Args:
        environ: the environment variables.
        uid: the user id of this process.

    Raises:
        ConfigError: the user in the variables does not exist.
    """
    if uid != 0:
        return None
    import pwd

    name = environ.get("SUDO_USER") or environ.get("DOAS_USER")
    number = environ.get("SUDO_UID") or environ.get("PKEXEC_UID")
    try:
        if number:
            entry = pwd.getpwuid(int(number))
        elif name:
            entry = pwd.getpwnam(name)
        else:
            return None
    except (KeyError, ValueError):
        raise ConfigError(
            f"there is no user {number or name}",
            code="serve-user-unknown",
            hint="run it with sudo from your own account",
        ) from None
    # Under pkexec and doas, which do not set it, SUDO_GID would be stale.
    gid = environ.get("SUDO_GID", "") if environ.get("SUDO_UID") else ""
    return User(entry.pw_uid, int(gid) if gid.isdigit() else entry.pw_gid, entry.pw_name, Path(entry.pw_dir))


def owner_of(path: Path) -> User | None:
    """Return the owner of a file or directory; None if the owner is root or has no name, or if the file does not exist.

    Args:
        path: the file to read. If root without sudo reads a user's configuration, the server runs as that user.
    """
    import pwd

    try:
        entry = pwd.getpwuid(path.stat().st_uid)
    except (OSError, KeyError):
        return None
    return User(entry.pw_uid, entry.pw_gid, entry.pw_name, Path(entry.pw_dir)) if entry.pw_uid else None


def raise_capabilities() -> None:
    """Make the permitted capabilities for binding effective, for an interpreter with file capabilities."""
    if sys.platform.startswith("linux") and os.getuid() != 0:
        effective, permitted, inheritable = _capabilities()
        wanted = permitted & (1 << CAP_NET_BIND_SERVICE | 1 << CAP_NET_ADMIN)
        _set_capabilities(effective | wanted, permitted, inheritable)


def drop(user: User | None) -> None:
    """Switch to the user permanently and drop every capability.

    Args:
        user: None keeps the user id, for example root in a container; the capabilities are dropped anyway.

    Raises:
        OSError: the system refused; the server must not serve anything.
    """
    is_linux = sys.platform.startswith("linux")
    if is_linux:
        _drop_bounding_set()
    if user is not None and os.getuid() == 0:
        os.initgroups(user.name, user.gid)
        os.setresgid(user.gid, user.gid, user.gid) if hasattr(os, "setresgid") else os.setgid(user.gid)
        os.setresuid(user.uid, user.uid, user.uid) if hasattr(os, "setresuid") else os.setuid(user.uid)
    if is_linux:
        _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
        _set_capabilities(0, 0, 0)
        if any(_capabilities()):
            raise PermissionError("capabilities are left")
    if user is not None and user.uid != 0 and 0 in (os.getuid(), os.geteuid()):
        raise PermissionError("still root")


def _drop_bounding_set() -> None:
    """Clear the bounding set, from which root's programs would regain capabilities; needs CAP_SETPCAP."""
    for capability in range(64):
        try:
            _prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            return  # after the last capability of the kernel, or not permitted


def _prctl(option: int, argument: int) -> None:
    if _libc().prctl(option, argument, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _capabilities() -> tuple[int, int, int]:
    """Return the effective, permitted and inheritable capabilities as bits."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), 8)
    data = ctypes.create_string_buffer(24)
    if _libc().capget(header, data) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    low = struct.unpack_from("=III", data.raw, 0)
    high = struct.unpack_from("=III", data.raw, 12)
    effective, permitted, inheritable = (a | b << 32 for a, b in zip(low, high, strict=True))
    return effective, permitted, inheritable


def _set_capabilities(effective: int, permitted: int, inheritable: int) -> None:
    header = ctypes.create_string_buffer(struct.pack("=Ii", CAPABILITY_VERSION_3, 0), 8)
    values = (effective, permitted, inheritable)
    words = [value & 0xFFFFFFFF for value in values] + [value >> 32 for value in values]
    if _libc().capset(header, struct.pack("=6I", *words)) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
