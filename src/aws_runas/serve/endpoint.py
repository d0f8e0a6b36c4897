"""Credential endpoint for a program that aws-runas runs: on 127.0.0.1, for one profile, with one token."""

from __future__ import annotations

import socket
import threading

from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.serve import ecs, guards, replies
from aws_runas.serve.http import Request, Response
from aws_runas.serve.renewal import Outcome, Renewal
from aws_runas.serve.server import Answer, Limits, Server


class Endpoint:
    """Server for a provider's credentials that requires the token. Runs in a separate thread until closed.

    Args:
        listener: bound to loopback by the caller before the program starts; closed by the endpoint.
        token: the value that the client must send as Authorization; random, and known to the program only.
        provider: called in a separate thread, one call at a time.
        role_arn: reported to the client, if known.
    """

    def __init__(self, listener: socket.socket, token: str, provider: Provider, *, role_arn: str | None = None) -> None:
        self._policy = guards.Policy(bearer=token)
        self._renewal = Renewal(provider)
        self._role_arn = role_arn
        self._server = Server([listener], self._handle, limits=Limits(connections=512))
        self._thread = threading.Thread(target=self._server.serve_forever, name="credential endpoint", daemon=True)

    def start(self) -> None:
        """Start serving; connections that are already in the listener's queue are answered now."""
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
