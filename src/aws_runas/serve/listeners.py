"""Sockets that a server listens on. They are bound before anything else happens."""

from __future__ import annotations

import errno
import os
import socket

from aws_runas import unix_socket
from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.socket_owner import find_port_owner
from aws_runas.unix_socket import UnixListener

ECS_PORT = 12319  # A, W, S: the 1st, 23rd and 19th letter; the port of the original program


def loopback(port: int) -> list[socket.socket]:
    """Bind a port of 127.0.0.1, and the same port of ::1 if available: ``localhost`` can be either.

    Args:
        port: 0 lets the system pick.

    Raises:
        AwsRunasError: the port is in use, or binding is not permitted.
    """
    listeners = [_bind("127.0.0.1", port)]
    number = listeners[0].getsockname()[1]
    try:
        listeners.append(_bind("::1", number))
    except AwsRunasError as error:
        # Another process on ::1 would receive the token of clients that connect to localhost.
        if port and isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE:
            listeners[0].close()
            raise
    return listeners


def address(host: str, port: int) -> socket.socket:
    """Bind a port of any address of this machine.

    Args:
        host: an address, not a name.
        port: 0 lets the system pick.

    Raises:
        AwsRunasError: the address is not of this machine, the port is in use, or binding is not permitted.
    """
    return _bind(host, port)


def unix(path: str) -> UnixListener:
    """Listen on a unix socket that only this user may open. The socket of a dead server is replaced.

    Args:
        path: the socket.

    Raises:
        AwsRunasError: the path is another file, a process listens on it, or the socket cannot be created.
    """
    try:
        return unix_socket.listen(path)
    except OSError as error:
        raise _refused(path, error) from error


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _refused(host, error) from error
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise _refused(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", error) from error
    return listener


def _refused(where: str, error: OSError) -> AwsRunasError:
    if os.path.isdir(where):
        return AwsRunasError(
            f"cannot listen on {where}: it is a directory",
            code="serve-address-unusable",
            hint="name a path for the socket in it",
        )
    if error.errno == errno.EADDRINUSE:
        is_path = where.startswith("/")
        owner = find_port_owner(0, where) if is_path else find_port_owner(int(where.rpartition(":")[2]))
        by_owner = f", by {owner}" if owner else ""
        return SessionError(
            f"{where} is in use already{by_owner}",
            code="serve-address-taken",
            hint="name another path" if is_path else "end that process, or choose another port with -p",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return AwsRunasError(
            f"not permitted to listen on {where}",
            code="serve-not-permitted",
            hint="ports below 1024 need root: choose another with -p",
        )
    folder = os.path.dirname(where)
    if error.errno == errno.ENOENT and where.startswith("/") and not os.path.isdir(folder):
        return AwsRunasError(
            f"cannot listen on {where}: the directory {folder} does not exist",
            code="serve-address-unusable",
            hint="make the directory, or name another path",
        )
    return AwsRunasError(
        f"cannot listen on {where}: {(error.strerror or str(error)).lower()}",
        code="serve-address-unusable",
        hint="it must be an address of this machine, and a free port",
    )


def metadata_address() -> socket.socket:
    """Add 169.254.169.254 to the loopback interface and bind its port 80.

    Raises:
        AwsRunasError: this is not permitted, or the port is in use.
    """
    from aws_runas.serve import loopback as interface

    where = f"{interface.ADDRESS}:{interface.PORT}"
    try:
        return interface.bind()
    except PermissionError as error:
        raise AwsRunasError(
            f"{where} needs root: the address has to be added to this machine",
            code="serve-not-permitted",
            hint="use sudo, or -p PORT for 127.0.0.1 and AWS_EC2_METADATA_SERVICE_ENDPOINT",
        ) from error
    except OSError as error:
        raise _refused(where, error) from error
