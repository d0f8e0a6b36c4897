"""Profile -> access -> target -> session service: the beginning of every session command."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aws_runas.cli.access import open_access_for
from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.session.flags import SessionFlags, check_picker
from aws_runas.cli.sign_in import Attendance
from aws_runas.cli.terminal.prompt import ask_on_terminal
from aws_runas.ssm.api import SsmApi

if TYPE_CHECKING:
    from aws_runas.aws.access import Access


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class OpenTarget:
    """A resolved target, and what is needed to open sessions to it.

    Args:
        access: the profile's credentials and clients; its region is set.
        target: ``i-...``, ``mi-...`` or ``ecs:CLUSTER_TASK_RUNTIMEID``.
        api: the session calls.
        take_terminal: called when a session gets the terminal: from then on no sign-in starts by itself.
    """

    access: Access
    target: str
    api: SsmApi
    take_terminal: Callable[[], None] = _nothing


def open_target(
    flags: GlobalFlags,
    session: SessionFlags,
    profile: str | None,
    text: str,
    env: Environment,
    *,
    prompt: Callable[[str], str] = ask_on_terminal,
) -> OpenTarget:
    """Resolve profile and target; nothing is started at the service.

    Args:
        flags, session: from the command line.
        profile: name or role ARN; None if the command line has none.
        text: the target as typed, without its port; if empty, the user picks it on the terminal.
        env: streams and variables.
        prompt: asks for an MFA code.

    Raises:
        ConfigError: the profile is unknown or has no region.
        TargetError: no instance matches, or several do.
        UsageError: there is no target, and no terminal to pick it on.
    """
    from aws_runas.targets.resolve import resolve_target

    taken: list[bool] = []
    access = open_access_for(
        flags, profile, env, prompt=prompt, attendance=Attendance(is_terminal_taken=lambda: bool(taken))
    )
    access.region()
    pick = None
    if session.pick or not text:
        from aws_runas.cli.terminal.picker import picker

        pick = picker(env.environ)
    if not text:
        check_picker("give an instance id, Name tag, tag:value, address or DNS name", env)
    if not text and pick is not None:
        from aws_runas.targets.online import pick_online

        target = pick_online(access, pick)
    else:
        target = resolve_target(text, access, pick=pick, environ=env.environ)
    return OpenTarget(access, target, session_api(access, env), lambda: taken.append(True))


def session_api(access: Access, env: Environment | None = None) -> SsmApi:
    """Return the session calls. A target that is not connected gets a hint that says why.

    Args:
        access: the profile.
        env: where private records of the sessions are kept; None keeps none.
    """
    from aws_runas.cli.session.recording import RecordingApi, session_records

    def why_offline(target: str) -> str:
        from aws_runas.targets.readiness import why_not_connected

        return why_not_connected(target, access)

    if env is None:
        return SsmApi(access, why_offline)
    return RecordingApi(access, why_offline, session_records(env))
