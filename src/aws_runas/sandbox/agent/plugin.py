"""Interface inside an agent, between a session and its plugin."""

from __future__ import annotations

from typing import Protocol

from aws_runas.sandbox.agent.machine import Machine


class Plugin(Protocol):
    """Work of a session after its start. Called on the event loop."""

    def start(self) -> None:
        """Start the work; data may flow."""

    def receive(self, data: bytes) -> None:
        """Accept input from the client."""

    def size(self, columns: int, rows: int) -> None:
        """Set the size of the client's terminal."""

    def flag(self, flag: int) -> None:
        """Handle a flag: 1 is DisconnectToPort. TerminateSession is not passed on."""

    def writable(self) -> None:
        """Continue to send: `PluginHost.capacity` is above zero again."""

    def stop(self) -> None:
        """End all work at once."""


class PluginHost(Protocol):
    """Session as seen by its plugin. AgentSession implements it."""

    machine: Machine

    def capacity(self) -> int:
        """Return how many bytes ``write`` accepts now. At 0, wait for `Plugin.writable`."""
        ...

    def write(self, data: bytes, payload_type: int = 1) -> None:
        """Send output; at most ``capacity`` bytes."""

    def send_flag(self, flag: int) -> None:
        """Send ConnectToPortError."""

    def send_exit_code(self, status: int) -> None:
        """Send the command's exit status."""

    def is_paused(self) -> bool:
        """Return True if the service has paused the agent's output."""
        ...

    def block_reader(self) -> None:
        """Stop reading from the client: no acknowledgement, no signal, no end of the session until `unblock_reader`."""

    def unblock_reader(self) -> None:
        """Undo `block_reader`."""

    def pause_reading(self) -> None:
        """Stop reading from the client, because the plugin accepts no data now."""

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""

    def finish(self, output: str = "", *, at_once: bool = False) -> None:
        """End the session after the client has acknowledged all output.

        Args:
            output: the reason, shown to the client.
            at_once: end without waiting for acknowledgements.
        """
