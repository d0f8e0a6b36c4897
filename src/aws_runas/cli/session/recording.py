"""Session calls that leave a private record of each session, so that `sessions end --orphans` finds orphans."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.credentials.cache import cache_directory
from aws_runas.ssm.api import SsmApi
from aws_runas.ssm.records import SessionRecord, SessionRecords, identify_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_runas.aws.access import Access
    from aws_runas.aws.session import StartedSession


def session_records(env: Environment) -> SessionRecords:
    """Return the records of this user.

    Args:
        env: its variables and home name the directory.
    """
    directory = cache_directory(env.environ, env.config_files().config.path, env.home)
    return SessionRecords(directory / "sessions")


class RecordingApi(SsmApi):
    """SsmApi with records. A record that cannot be written is no reason to fail.

    Args:
        access: credentials, region and clients of the profile.
        why_offline: see SsmApi.
        records: where the records are kept.
    """

    def __init__(self, access: Access, why_offline: Callable[[str], str] | None, records: SessionRecords) -> None:
        super().__init__(access, why_offline)
        self._records = records

    def start_session_raw(
        self,
        target: str,
        document: str | None = None,
        parameters: Mapping[str, Sequence[str]] | None = None,
        reason: str | None = None,
    ) -> tuple[dict[str, object], StartedSession]:
        """See SsmApi."""
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
        """See SsmApi."""
        super().terminate_session(session_id)
        self._records.remove(session_id)
