"""First steps of a server in a safe order: ports, then privileges, then everything else."""

from __future__ import annotations

import codecs
import contextlib
import importlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError
from aws_runas.serve import listeners

if TYPE_CHECKING:
    from aws_runas.serve.privileges import User
    from aws_runas.unix_socket import UnixListener

DESCRIPTORS = 8192  # requested limit of open files: more connections than any known client opens


@dataclass(frozen=True, slots=True)
class Where:
    """Address to listen on.

    Args:
        kind: "ec2" or "ecs".
        port: None for the default of the kind, 0 lets the system pick.
        bind: an address other than loopback.
        socket: path of a unix socket to listen on as well.
    """

    kind: str
    port: int | None = None
    bind: str | None = None
    socket: str | None = None

    @property
    def needs_root(self) -> bool:
        """True for instance metadata at its own address."""
        return self.kind == "ec2" and self.port is None


@dataclass(frozen=True, slots=True)
class Started:
    """Result of `start`.

    Args:
        listeners: bound; the caller closes them.
        environ, home: the environment variables and home directory of the user that the process now runs as.
        unix: the unix socket, one of the listeners; the caller removes its file while it is open.
    """

    listeners: list[socket.socket]
    environ: Mapping[str, str]
    home: Path
    unix: UnixListener | None = None


def start(where: Where, environ: Mapping[str, str], home: Path) -> Started:
    """Bind the ports and switch to the user behind sudo. Call it before there is a second thread.

    Args:
        where: the address to listen on.
        environ, home: the environment variables and home directory of this process.

    Raises:
        AwsRunasError: an address cannot be used, or privileges cannot be dropped.
    """
    if os.name != "posix":
        return Started(_bind(where), environ, home)
    from aws_runas.serve import privileges

    user = privileges.user_behind(environ, uid=os.geteuid())
    if user is None and os.geteuid() == 0:
        user = _owner_of_configuration(environ, home)
    if where.needs_root:
        privileges.raise_capabilities()
        bound = [listeners.metadata_address()]
    else:
        bound = _bind(where)
    if where.needs_root or user is not None:
        _preload()
        try:
            privileges.drop(user)
        except OSError as error:
            raise ConfigError(
                f"cannot drop the privileges of root: {error}",
                code="serve-privileges-kept",
                hint="use -p PORT without root",
            ) from error
    if user is not None:
        own = {"HOME": str(user.home), "USER": user.name, "LOGNAME": user.name}
        os.environ.update(own)  # child processes and botocore must see the user's variables, not root's
        environ, home = {**environ, **own}, user.home
    unix = listeners.unix(where.socket) if where.socket is not None else None
    if unix is not None:
        bound.append(unix.socket)
    _raise_descriptors()
    return Started(bound, environ, home, unix)


def _owner_of_configuration(environ: Mapping[str, str], home: Path) -> User | None:
    """Return the owner of the file that is read. The owner of its directory may be a different user."""
    from aws_runas.config.files import config_path, credentials_path
    from aws_runas.serve import privileges

    for path in (config_path(environ, home), credentials_path(environ, home)):
        if path.exists():
            return privileges.owner_of(path)
    return None


def _bind(where: Where) -> list[socket.socket]:
    port = where.port
    if port is None:
        port = listeners.ECS_PORT if where.kind == "ecs" else 0
    return [listeners.address(where.bind, port)] if where.bind else listeners.loopback(port)


def _preload() -> None:
    """Import the modules for fetching credentials early: the user may not be able to read root's installation."""
    for name in ("serve.catalogue", "aws.client", "aws.sts", "credentials.processes"):
        importlib.import_module(f"aws_runas.{name}")
    for name in ("http.client", "email.parser", "filelock", "difflib", "tempfile", "urllib.request"):
        importlib.import_module(name)
    for encoding in ("utf-8-sig", "latin-1", "ascii", "idna"):
        codecs.lookup(encoding)


def _raise_descriptors() -> None:
    """Raise the limit of open files: the server keeps up to a thousand idle connections, above the usual soft limit."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
        if soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
