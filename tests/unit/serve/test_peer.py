"""The kernel's word on whose connection it is."""

from __future__ import annotations

import os
import resource
import socket
import sys
from collections.abc import Iterator

import pytest

from aws_runas.serve import guards
from aws_runas.serve.http import Connection, Request

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells")


@pytest.fixture
def users() -> Iterator[guards.Users]:
    found = guards.Users()
    yield found
    found.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_our_own_connection_is_ours(users: guards.Users, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, 0), family=family) as listener,
        socket.create_connection(listener.getsockname()[:2]) as sock,
    ):
        connection = Connection(*sock.getsockname()[:2], *sock.getpeername()[:2])
        assert users.is_known
        assert users.user_of(connection) == os.getuid()
        assert users.is_neighbour(Request("GET", "/", connection=connection))


def test_a_connection_that_is_not_there_is_nobodys(users: guards.Users) -> None:
    connection = Connection("127.0.0.1", 1, "127.0.0.1", 2)
    assert users.user_of(connection) is None
    assert not users.is_neighbour(Request("GET", "/", connection=connection))


def test_a_socket_that_listens_is_no_connection(users: guards.Users) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection("127.0.0.1", listener.getsockname()[1], "127.0.0.1", 2)
        assert users.user_of(connection) is None


def test_a_client_that_has_closed_its_end_is_not_root(users: guards.Users) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as sock:
            connection = Connection(*sock.getsockname(), *sock.getpeername())
            accepted = listener.accept()[0]
        with accepted:
            assert accepted.recv(1) == b""  # its end has arrived
            assert users.user_of(connection) is None
            assert not users.is_neighbour(Request("GET", "/", connection=connection))


def test_using_up_the_descriptors_does_not_turn_the_question_off(users: guards.Users) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        connection = Connection(*sock.getsockname(), *sock.getpeername())
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(OSError):
                os.dup(0)
            assert users.user_of(connection) == os.getuid()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("connection", "is_neighbour"),
    [
        (Connection("", 0, "", 0), True),  # a unix socket
        (Connection("10.0.0.9", 4, "10.0.0.1", 12319), False),  # another machine
        (Connection("not an address", 4, "127.0.0.1", 12319), False),
    ],
)
def test_other_ways_to_connect(users: guards.Users, connection: Connection, is_neighbour: bool) -> None:
    assert users.is_neighbour(Request("GET", "/", connection=connection)) is is_neighbour


def test_a_system_that_does_not_tell_leaves_it_to_loopback(users: guards.Users) -> None:
    users.close()
    assert users.is_neighbour(Request("GET", "/", connection=Connection("127.0.0.1", 1, "127.0.0.1", 2)))
    assert not users.is_neighbour(Request("GET", "/", connection=Connection("10.0.0.9", 1, "10.0.0.1", 2)))
