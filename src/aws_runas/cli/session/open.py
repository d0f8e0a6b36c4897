"""Profile -> access -> target -> session service: the beginning of every session command."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from aws_runas.cli.access import open_access_for
from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.session.flags import SessionFlags, check_picker
from aws_runas.cli.sign_in import Attendance
from aws_runas.cli.terminal.prompt import ask_on_terminal
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError
from aws_runas.ssm.api import SsmApi
from aws_runas.ssm.records import SessionRecord, SessionRecords, identify_process

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.aws.session import StartedSession
    from aws_runas.ssm.command.carrier import RefusedDocuments


def session_records(env: Environment) -> SessionRecords:
    """Return the records of this user.

    Args:
        env: its variables and home name the directory.
    """
    return SessionRecords(env.cache_directory() / "sessions")


def refused_documents(access: Access, env: Environment) -> RefusedDocuments:
    """Return the documents for which the service is known to refuse sessions to this identity.

    Args:
        access: credentials that start sessions; they are fetched.
        env: its cache directory keeps the answers.
    """
    from aws_runas.ssm.command.carrier import RefusedDocuments

    key_id = access.provider.credentials().access_key_id
    return RefusedDocuments(env.cache_directory(), key_id, access.region(), env.now)


class RecordingApi(SsmApi):
    """SsmApi with records. A failure to write a record is ignored.

    Args:
        access: credentials, region and clients of the profile.
        why_offline: see SsmApi.
        records: where the records are kept.
        warn: called with a line for the user, from any thread.
    """

    def __init__(
        self,
        access: Access,
        why_offline: Callable[[str], str] | None,
        records: SessionRecords,
        warn: Callable[[str], None],
    ) -> None:
        super().__init__(access, why_offline)
        self._records = records
        self._warn = warn
        self._is_told = False

    def start_session_raw(
        self,
        target: str,
        document: str | None = None,
        parameters: Mapping[str, Sequence[str]] | None = None,
        reason: str | None = None,
    ) -> tuple[dict[str, object], StartedSession]:
        """Open a session and write its record; see SsmApi.start_session_raw."""
        request, started = super().start_session_raw(target, document, parameters, reason)
        pid = os.getpid()
        record = SessionRecord(
            session_id=started.session_id,
            pid=pid,
            process=identify_process(pid),
            profile=self._access.profile.name,
            region=self._access.region(),
            target=target,
            document=document or "",
        )
        with suppress(OSError, ValueError):
            self._records.add(record)
        return request, started

    def terminate_session(self, session_id: str) -> None:
        """See SsmApi. If something other than AWS answers, the user is told once, and the record stays."""
        try:
            super().terminate_session(session_id)
        except AwsRunasError as error:
            if error.code == "endpoint-not-aws" and not self._is_told:
                self._is_told = True
                self._warn(f"{session_id} may still be open: {error.message}; end it with: sessions end --orphans")
            raise
        self._records.remove(session_id)


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class OpenTarget:
    """A resolved target, and the objects needed to open sessions to it.

    Args:
        access: the profile's credentials and clients; its region is set.
        target: ``i-...``, ``mi-...`` or ``ecs:CLUSTER_TASK_RUNTIMEID``.
        api: the session calls.
        take_terminal: call it when a session gets the terminal: from then on, no sign-in starts automatically.
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
    *,
    env: Environment,
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
    """Return the session calls. The error for a target that is not connected has a hint that says why.

    Args:
        access: the profile.
        env: its directory receives private records of the sessions; None to keep no records.
    """

    def why_offline(target: str) -> str:
        from aws_runas.targets.facts import why_not_connected

        return why_not_connected(target, access)

    if env is None:
        return SsmApi(access, why_offline)
    return RecordingApi(access, why_offline, session_records(env), env.warn)
