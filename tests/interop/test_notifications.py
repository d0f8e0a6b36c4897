"""A tunnel that waits for a person, on a desktop: the real notify-send and bus, and a service that takes its call."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import jeepney
import jeepney.io.blocking
import pytest

from aws_runas.sandbox.fixtures import MFA_SERIAL
from tests.integration.conftest import MakeSandbox
from tests.integration.forward.support import DEADLINE, TARGET
from tests.integration.tunnels.test_tunnels import World
from tests.support import requires
from tests.support.ports import free_port

NAME = "org.freedesktop.Notifications"
BUS = jeepney.DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")


class Desktop:
    """The notification service of a desktop: keeps what is shown.

    Source: Desktop Notifications Specification 1.2.
    """

    def __init__(self, address: str) -> None:
        self.shown: list[tuple[str, str]] = []  # summary and body
        self.came = threading.Event()
        self._bus = jeepney.io.blocking.open_dbus_connection(address)
        self._bus.send_and_get_reply(jeepney.new_method_call(BUS, "RequestName", "su", (NAME, 0)), timeout=DEADLINE)
        self._thread = threading.Thread(target=self._serve, name="desktop")
        self._thread.start()

    def _serve(self) -> None:
        answers: dict[str, tuple[str, tuple[object, ...]]] = {
            "GetServerInformation": ("ssss", ("test", "test", "1", "1.2")),
            "GetCapabilities": ("as", (["body"],)),
            "Notify": ("u", (1,)),
        }
        while True:
            message = self._bus.receive()
            if message.header.message_type != jeepney.MessageType.method_call:
                continue
            member = message.header.fields[jeepney.HeaderFields.member]
            if member == "Quit":
                return
            signature, values = answers[member]
            self._bus.send(jeepney.new_method_return(message, signature, values))
            if member == "Notify":
                self.shown.append((message.body[3], message.body[4]))
                self.came.set()

    def close(self, address: str) -> None:
        """End the service."""
        quit_call = jeepney.new_method_call(jeepney.DBusAddress("/", NAME, NAME), "Quit")
        with jeepney.io.blocking.open_dbus_connection(address) as other:
            other.send(quit_call)
            self._thread.join(DEADLINE)
        self._bus.close()


@pytest.fixture
def bus() -> Iterator[str]:
    """Address of a session bus of its own."""
    program = requires.program("dbus-daemon", package="dbus")
    words = [program, "--session", "--nofork", "--nopidfile", "--print-address"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        try:
            yield daemon.stdout.readline().decode().strip()
        finally:
            daemon.terminate()


def test_a_tunnel_that_waits_for_a_code_is_shown_on_the_desktop_once(
    make_sandbox: MakeSandbox, bus: str, tmp_path: Path
) -> None:
    requires.program("notify-send", package="libnotify-bin")
    world, port = World(make_sandbox(), tmp_path), free_port()
    world.environ["DBUS_SESSION_BUS_ADDRESS"] = bus
    config = Path(world.environ["AWS_CONFIG_FILE"])
    account = MFA_SERIAL.split(":")[4]
    config.write_text(
        re.sub(r"(?m)^mfa_process.*$", "", config.read_text())
        + f"\n[profile ask]\nrole_arn = arn:aws:iam::{account}:role/my-role-mfa\n"
        f"source_profile = my-profile-user\nmfa_serial = {MFA_SERIAL}\nregion = us-east-1\n"
    )
    world.write(db={"profile": "ask", "target": TARGET, "forwards": [f"{port}:localhost:9"]})
    desktop = Desktop(bus)
    try:
        world.run("up", "--lazy")
        for _ in range(2):
            with (
                socket.create_connection(("127.0.0.1", port), DEADLINE) as connection,
                pytest.raises(ConnectionResetError),
            ):
                connection.recv(1)
        assert desktop.came.wait(DEADLINE)
        world.run("down")
        assert desktop.shown == [("aws-runas", "tunnel db waits for an MFA code; run: aws-runas tunnels login")]
    finally:
        world.stop()
        desktop.close(bus)
