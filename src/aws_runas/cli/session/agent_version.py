"""Check of the agent's version after a failure: an agent that is too old for port sessions cannot say so itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_runas.aws.ssm import agent_version
from aws_runas.errors import SessionError
from aws_runas.ssm.versions import check_forwarding

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

# How the start of a session fails where the agent may be the reason.
_UNEXPLAINED = ("session-gone", "session-ended", "session-failed", "session-start-timeout")


def check_agent_version(error: SessionError, access: Access, target: str, *, remote_host: bool = False) -> None:
    """Ask the service for the agent's version if a session could not be started and nothing says why.

    Args:
        error: of the session.
        access: the profile.
        target: instance id.
        remote_host: a host behind the instance was to be reached.

    Raises:
        SessionError: it is too old for what was asked.
    """
    if error.code in _UNEXPLAINED:
        check_forwarding(agent_version(access, target), remote_host=remote_host)
