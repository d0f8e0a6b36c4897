"""The credential endpoint that a program run by us asks: 127.0.0.1, one profile, one token, nothing else."""

from __future__ import annotations

import socket
import threading

from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.serve import ecs, guards, replies
from aws_runas.serve.http import Request, Response
from aws_runas.serve.renewal import Outcome, Renewal
from aws_runas.serve.server import Answer, Limits, Server


class Endpoint:
    """Serves a provider's credentials to who knows the token, in a thread of its own, until closed.

    Args:
        listener: bound to loopback by the caller, before the program started; closed by us.
        token: what the client must send as Authorization, random and the program's alone.
        provider: asked at most once at a time, in a thread of its own.
        role_arn: told to the client, where known.
    """

    def __init__(self, listener: socket.socket, token: str, provider: Provider, *, role_arn: str | None = None) -> None:
        self._policy = guards.Policy(bearer=token)
        self._renewal = Renewal(provider)
        self._role_arn = role_arn
        self._server = Server([listener], self._handle, limits=Limits(connections=512))
        self._thread = threading.Thread(target=self._server.serve_forever, name="credential endpoint", daemon=True)

    def start(self) -> None:
        """Begin to serve; connections that came in since the listener listened are answered now."""
        self._thread.start()

    def close(self) -> None:
        """Stop serving and close the listener."""
        self._server.stop()
        self._thread.join()

    def _handle(self, request: Request, answer: Answer) -> None:
        refusal = (
            guards.host(request)
            or guards.forwarded(request)
            or guards.browser(request)
            or guards.bearer(request, self._policy)
        )
        if refusal is not None:
            answer(refusal)
        elif request.method not in ("GET", "HEAD"):
            answer(
                replies.error(405, "method-not-allowed", "credentials are fetched with GET", (("Allow", "GET, HEAD"),))
            )
        elif ecs.wanted_profile(request) != "":
            answer(replies.error(404, "not-found", "credentials are only at /credentials"))
        else:
            self._renewal.get(lambda outcome: answer(self._respond(outcome)))

    def _respond(self, outcome: Outcome) -> Response:
        if isinstance(outcome, Credentials):
            return ecs.render(outcome, now=self._renewal.now(), role_arn=self._role_arn)
        return replies.failure(outcome)
