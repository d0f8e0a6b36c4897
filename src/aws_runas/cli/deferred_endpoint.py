"""Endpoint of a program that the cached path started: the profile is resolved only when credentials run out."""

from __future__ import annotations

from collections.abc import Sequence

from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.cli import app
from aws_runas.cli.access import open_access_for
from aws_runas.cli.commands import exec as command
from aws_runas.cli.endpoint import refuse_to_ask, serve
from aws_runas.cli.environment import Environment
from aws_runas.cli.sign_in import Attendance
from aws_runas.errors import CredentialsError


def serve_command_line(words: Sequence[str], role_arn: str | None, descriptor: int, token: str) -> None:
    """Resolve the profile of a command line that the cached path started, and serve its credentials.

    Args:
        words: the command line.
        role_arn, descriptor, token: see `aws_runas.cli.endpoint.serve`.
    """
    serve(_DeferredProvider(words), role_arn, descriptor, token)


class _DeferredProvider:
    """Provider that resolves the profile at the first request."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._provider: Provider | None = None

    def credentials(self, *, refresh: bool = False) -> Credentials:
        if self._provider is None:
            self._provider = self._open()
        return self._provider.credentials(refresh=refresh)

    def _open(self) -> Provider:
        env = Environment()
        options = app.understand(self._words, env)
        if not isinstance(options, command.Options):
            raise CredentialsError("the command line is not that of a program", code="endpoint-without-program")
        return open_access_for(
            options.flags, options.profile, env, prompt=refuse_to_ask, attendance=Attendance(unattended=True)
        ).provider
