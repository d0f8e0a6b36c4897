"""The user of a request's connection (socket_owner) and whether it may ask."""

from __future__ import annotations

from aws_runas.serve.http import Connection, Request
from aws_runas.socket_owner import SocketOwners


class Users(SocketOwners):
    """Tells the users of connections. Not for several threads at once."""

    def user_of(self, connection: Connection) -> int | None:
        """Return the user id of the client's end of a connection; None where the kernel finds no such socket.

        Args:
            connection: between two addresses of this machine.
        """
        return self.owner_of((connection.peer, connection.peer_port), (connection.local, connection.local_port))

    def is_neighbour(self, request: Request) -> bool:
        """Return True if a request comes from this process's user or root, on this machine.

        A unix socket is guarded by its file mode. Where the system does not tell the user, loopback has to do.

        Args:
            request: as it was read.
        """
        connection = request.connection
        if not connection.peer:
            return True
        if not is_loopback(connection.local) and connection.peer != connection.local:
            return False
        return self.is_own((connection.peer, connection.peer_port), (connection.local, connection.local_port))


def is_loopback(address: str) -> bool:
    """Return True if only this machine reaches an address: 127.0.0.0/8, ::1, and IMDS's on our loopback interface.

    Args:
        address: of our end of a connection.
    """
    return address.startswith("127.") or address in ("::1", "::ffff:127.0.0.1", "169.254.169.254")
