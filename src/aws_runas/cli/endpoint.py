"""Credential endpoint of a running program. Loaded only after the program has started."""

from __future__ import annotations

import os
import socket

from aws_runas.aws.credentials import Provider
from aws_runas.errors import CredentialsError
from aws_runas.serve.endpoint import Endpoint


def serve(provider: Provider, role_arn: str | None, descriptor: int, token: str) -> None:
    """Answer the program's requests in a thread.

    Args:
        provider: provider of the credentials.
        role_arn: ARN of the role, if it is known.
        descriptor: the listening socket, owned by the endpoint from now on.
        token: bearer token that requests must carry.
    """
    try:
        Endpoint(socket.socket(fileno=descriptor), token, provider, role_arn=role_arn).start()
    except (OSError, RuntimeError) as error:  # out of descriptors or threads; the program continues
        os.write(2, f"aws-runas: the credential endpoint cannot be started: {error}\n".encode())


def refuse_to_ask(_question: str) -> str:
    """Stand in for the MFA prompt while the program has the terminal.

    Args:
        _question: not shown.

    Raises:
        CredentialsError: always.
    """
    raise CredentialsError(
        "an MFA code is needed, and the terminal belongs to the program",
        code="mfa-program-has-terminal",
        hint="run aws-runas once with the same profile in another terminal, and type the code there",
    )
