"""Checks of a target: whether Systems Manager knows it, whether it is online and new enough, and allows sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_runas.aws.ssm import ManagedNode, managed_node
from aws_runas.diagnosis.model import Finding, fail, ok, warn
from aws_runas.errors import AwsRunasError, TargetError
from aws_runas.ssm.versions import MULTIPLEXING, PORT_SESSIONS, at_least, later_than
from aws_runas.targets.facts import why_not_connected, why_offline

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

REASON = "aws-runas diagnose"


def ask_node(target: str, access: Access) -> ManagedNode | AwsRunasError | None:
    """Return what Systems Manager knows about a target: a node, nothing, or the error of the call.

    Args:
        target: instance or task id.
        access: the profile.
    """
    try:
        return managed_node(access, target)
    except AwsRunasError as error:
        return error


def check_known(target: str, node: ManagedNode | AwsRunasError | None, access: Access) -> Finding:
    """Check that the instance is registered with Systems Manager and online.

    Args:
        target: instance or task id.
        node: from `ask_node`.
        access: the profile.
    """
    if isinstance(node, AwsRunasError):
        return warn("target", f"{target}: {node.message}", node.hint or "")
    if node is None:
        return fail(
            "target",
            TargetError(
                f"{target} is not known to Systems Manager in {access.region()}",
                code="target-not-connected",
                hint=why_not_connected(target, access),
            ),
        )
    if node.ping_status != "Online":
        state = f"{target} is known to Systems Manager, but {node.ping_status or 'in no state'}"
        return fail("target", TargetError(state, code="target-not-connected", hint=why_offline(node)))
    return ok("target", f"{target} is online")


def check_agent(node: ManagedNode) -> Finding:
    """Check that the agent is new enough for shells, forwarding and many connections in one session.

    Args:
        node: from `ask_node`.
    """
    version = node.agent_version
    advice = "update the agent, for instance with the document AWS-UpdateSSMAgent"
    if not at_least(version, PORT_SESSIONS):
        return warn("agent", f"{version or 'no version'}: no port forwarding before {PORT_SESSIONS}", advice)
    if not later_than(version, MULTIPLEXING):
        return warn("agent", f"{version}: one connection at a time up to {MULTIPLEXING}", advice)
    return ok("agent", version)


def check_permission(target: str, access: Access) -> Finding:
    """Check that a session may be opened: open one and end it at once, which is more reliable than asking IAM.

    Args:
        target: instance or task id.
        access: the profile.
    """
    from aws_runas.ssm.api import SsmApi

    api = SsmApi(access, lambda name: why_not_connected(name, access))
    try:
        started = api.start_session(target, reason=REASON)
    except AwsRunasError as error:
        return fail("session", error)
    try:
        api.terminate_session(started.session_id)
    except AwsRunasError as error:
        return warn("session", f"it opens, but cannot be ended: {error.message}", "allow ssm:TerminateSession")
    return ok("session", "a session was opened and ended")
