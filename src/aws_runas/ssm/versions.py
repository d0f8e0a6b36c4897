"""Features of an agent by the version that it reports (spec 6 and 13.8)."""

from __future__ import annotations

from typing import Final

from aws_runas.errors import SessionError

PORT_SESSIONS: Final = "2.3.672.0"  # at least: it forwards ports
TERMINATE_FLAG: Final = "2.3.722.0"  # later than: it understands TerminateSession
MULTIPLEXING: Final = "3.0.196.0"  # later than: many connections in one session (smux)
WAITS_AT_THE_END: Final = "3.0.732.0"  # at least: it ends a session when all is acknowledged, or after two seconds
REMOTE_HOST: Final = "3.1.1374.0"  # at least: it connects to other hosts
COMMANDS: Final = "3.1.1511.0"  # at least: a command without a terminal has two streams and an exit status
NO_KEEPALIVE: Final = "3.1.1511.0"  # later than: it needs no smux keep-alive frames


def parse_version(text: str) -> tuple[int, ...] | None:
    """Parse a dotted version; return None if it is not numbers and dots."""
    parts = text.split(".")
    if not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return tuple(int(part[:9]) for part in parts)


def at_least(version: str, threshold: str) -> bool:
    """Return True if a version is the threshold or later; False, as in the official client, if it cannot be parsed."""
    parsed, wanted = parse_version(version), parse_version(threshold)
    return parsed is not None and wanted is not None and len(parsed) == len(wanted) and parsed >= wanted


def later_than(version: str, threshold: str) -> bool:
    """Return True if a version is later than the threshold."""
    return at_least(version, threshold) and parse_version(version) != parse_version(threshold)


def is_older(version: str, threshold: str) -> bool:
    """Return True if a version is known to be before the threshold; False if the version is unknown."""
    return parse_version(version) is not None and not at_least(version, threshold)


def check_forwarding(agent_version: str, *, remote_host: bool) -> None:
    """Refuse an agent that is too old for the requested forward.

    Args:
        agent_version: version from the handshake.
        remote_host: True if the destination is a host behind the instance.

    Raises:
        SessionError: the agent is too old.
    """
    needed = REMOTE_HOST if remote_host else PORT_SESSIONS
    if parse_version(agent_version) is not None and not at_least(agent_version, needed):
        wish = "reach hosts behind the instance" if remote_host else "forward ports"
        raise SessionError(
            f"the SSM agent {agent_version} on the target cannot {wish}: it takes {needed} or later",
            code="agent-too-old",
            hint="update the agent on the instance (AWS-UpdateSSMAgent)",
        )
