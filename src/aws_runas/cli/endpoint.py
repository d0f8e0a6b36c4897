"""The credential endpoint beside a program: the part that is loaded once the program has started."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.errors import CredentialsError
from aws_runas.serve.endpoint import Endpoint


def serve(provider: Provider, role_arn: str | None, descriptor: int, token: str) -> None:
    """Answer the program's requests from now on.

    Args:
        provider: of the credentials.
        role_arn: told to the program, where known.
        descriptor: the listening socket, owned by the endpoint from here.
        token: what requests must carry.
    """
    try:
        Endpoint(socket.socket(fileno=descriptor), token, provider, role_arn=role_arn).start()
    except (OSError, RuntimeError) as error:  # out of descriptors or threads; the program runs on
        os.write(2, f"aws-runas: the credential endpoint cannot be started: {error}\n".encode())


def serve_command_line(words: Sequence[str], role_arn: str | None, descriptor: int, token: str) -> None:
    """Resolve the profile of a command line whose program was started fast, and serve its credentials.

    Args:
        words: the command line.
        role_arn, descriptor, token: as for serve.
    """
    serve(_Late(words), role_arn, descriptor, token)


def refuse_to_ask(_question: str) -> str:
    """Stand in for the MFA prompt while the program has the terminal.

    Raises:
        CredentialsError: always.
    """
    raise CredentialsError(
        "an MFA code is needed, and the terminal belongs to the program",
        code="mfa-program-has-terminal",
        hint="run aws-runas once with the same profile in another terminal, and type the code there",
    )


class _Late:
    """A provider that resolves the profile when it is first asked."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._provider: Provider | None = None

    def credentials(self, *, refresh: bool = False) -> Credentials:
        if self._provider is None:
            self._provider = self._open()
        return self._provider.credentials(refresh=refresh)

    def _open(self) -> Provider:
        from aws_runas.cli import app
        from aws_runas.cli.access import open_access_for
        from aws_runas.cli.commands import exec as command
        from aws_runas.cli.environment import Environment

        env = Environment()
        options = app.understand(self._words, env)
        if not isinstance(options, command.Options):
            raise CredentialsError("the command line is not that of a program", code="endpoint-without-program")
        return open_access_for(options.flags, options.profile, env, prompt=refuse_to_ask).provider
