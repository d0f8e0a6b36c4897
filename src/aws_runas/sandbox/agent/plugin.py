"""The two ends inside an agent: what a session offers to its plugin, and what it expects of it."""

from __future__ import annotations

from typing import Protocol

from aws_runas.sandbox.agent.machine import Machine


class Plugin(Protocol):
    """What a session does once it has started. Called on the event loop."""

    def start(self) -> None:
        """Data may flow."""

    def receive(self, data: bytes) -> None:
        """Input of the client."""

    def size(self, columns: int, rows: int) -> None:
        """The client's terminal has this size."""

    def flag(self, flag: int) -> None:
        """1 DisconnectToPort; TerminateSession is not passed on."""

    def writable(self) -> None:
        """PluginHost.capacity is above zero again."""

    def stop(self) -> None:
        """End everything at once."""


class PluginHost(Protocol):
    """A session, as its plugin sees it; AgentSession implements it."""

    machine: Machine

    def capacity(self) -> int:
        """Return how many bytes ``write`` accepts now; 0 means: wait for Plugin.writable."""
        ...

    def write(self, data: bytes, payload_type: int = 1) -> None:
        """Send output; at most ``capacity`` bytes."""

    def send_flag(self, flag: int) -> None:
        """Send ConnectToPortError."""

    def send_exit_code(self, status: int) -> None:
        """Send the command's exit status."""

    def is_paused(self) -> bool:
        """Tell whether the service has paused the agent's output."""
        ...

    def block_reader(self) -> None:
        """Read nothing of the client until unblock_reader: no acknowledgement, no signal, no end."""

    def unblock_reader(self) -> None:
        """Undo block_reader."""

    def pause_reading(self) -> None:
        """Stop reading from the client, because the plugin accepts nothing now."""

    def resume_reading(self) -> None:
        """Undo pause_reading."""

    def finish(self, output: str = "", *, at_once: bool = False) -> None:
        """End the session once the client has acknowledged everything.

        Args:
            output: the reason, shown to the client.
            at_once: do not wait.
        """
