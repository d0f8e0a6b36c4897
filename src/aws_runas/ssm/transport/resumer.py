"""Makes the connections of one session: the first, and a new one after each cut, as long as the session may live."""

from __future__ import annotations

import asyncio
import random
import ssl
from contextlib import suppress

from websockets.exceptions import InvalidHandshake

from aws_runas.aws.session import StartedSession
from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError, SessionError
from aws_runas.ssm.transport.address import parse_stream_url
from aws_runas.ssm.transport.dialling import Dialling, ProxyRefused, dial, tls_context
from aws_runas.ssm.transport.reconnect import ReconnectPolicy
from aws_runas.ssm.transport.service import CredentialsRefused, ServiceUnavailable, SessionGone, SessionService
from aws_runas.ssm.transport.threads import in_thread
from aws_runas.ssm.transport.websocket import HandshakeRefused, WebSocket, WebSocketOwner

FORBIDDEN = (401, 403)


class Resumer:
    """Owns token, address and TLS context of a session.

    Args:
        started: the first token and address.
        owner: of each WebSocket.
    """

    def __init__(
        self,
        started: StartedSession,
        owner: WebSocketOwner,
        service: SessionService,
        dialling: Dialling,
        policy: ReconnectPolicy,
    ) -> None:
        self._session_id = started.session_id
        self._token = started.token
        self._url = started.stream_url
        self._owner = owner
        self._service = service
        self._dialling = dialling
        self._policy = policy
        self._context: ssl.SSLContext | None = None
        self._attempt = 0

    def succeeded(self) -> None:
        """Something was received: the next cut is a new one."""
        self._attempt = 0

    async def connect_first(self) -> tuple[WebSocket, str]:
        """Open the first connection.

        Returns:
            The open WebSocket, and the token for its opening message.

        Raises:
            AwsRunasError: after a few attempts, or at once if another attempt cannot succeed.
        """
        for attempt in range(self._policy.opening_attempts):
            last = attempt == self._policy.opening_attempts - 1
            try:
                if attempt:
                    await asyncio.sleep(self._policy.delay(attempt, random.random))
                    await self._ask_for_token()
                return await self._dial()
            except (HandshakeRefused, CredentialsRefused) as error:
                if last or (attempt and _is_forbidden(error)):
                    raise _readable(error, self._url) from error
                if _is_forbidden(error):
                    await in_thread(self._service.renew_credentials)
            except ssl.SSLCertVerificationError as error:
                raise _readable(error, self._url) from error
            except (OSError, InvalidHandshake, ProxyRefused, ServiceUnavailable) as error:
                if last:
                    raise _readable(error, self._url) from error
        raise AssertionError("the last attempt returns or raises")

    async def reconnect(self, lost_at: float) -> tuple[WebSocket, str]:
        """Try until there is a connection again.

        Args:
            lost_at: loop time at which the last connection ended.

        Returns:
            The open WebSocket, and the token for its opening message.

        Raises:
            AwsRunasError: the session is gone, or may not be resumed, or cannot live any more.
        """
        loop = asyncio.get_running_loop()
        refusals = 0
        while True:
            await asyncio.sleep(self._policy.delay(self._attempt, random.random))
            self._attempt += 1
            try:
                await self._ask_for_token()
                return await self._dial()
            except SessionGone:
                raise
            except (HandshakeRefused, CredentialsRefused, CredentialsError) as error:
                refusals += _is_forbidden(error)
                last = loop.time() - lost_at > self._policy.give_up_after
                if last or refusals >= self._policy.refusals:
                    raise _readable(error, self._url) from error
                await self._renew()
            except (OSError, InvalidHandshake, ProxyRefused, ServiceUnavailable) as error:
                if loop.time() - lost_at > self._policy.give_up_after:
                    raise _readable(error, self._url) from error

    async def _renew(self) -> None:
        with suppress(CredentialsError, ServiceUnavailable):  # the next attempt tells
            await in_thread(self._service.renew_credentials)

    async def _ask_for_token(self) -> None:
        token, url = await in_thread(self._service.resume_session, self._session_id)
        self._token = token
        if url:
            self._url = url

    async def _dial(self) -> tuple[WebSocket, str]:
        address = parse_stream_url(self._url, host_override=self._dialling.stream_host)
        if address.secure and self._context is None:
            self._context = tls_context(self._dialling.ca_bundle)
        headers = await in_thread(self._service.stream_headers, address.url)
        websocket = await dial(address, self._owner, headers=headers, dialling=self._dialling, context=self._context)
        if not websocket.is_open:
            raise ConnectionError("the connection was closed as soon as it was open")
        return websocket, self._token


def _is_forbidden(error: Exception) -> bool:
    """Would other credentials help? Any other HTTP status is the trouble of the server, and passes."""
    return error.status in FORBIDDEN if isinstance(error, HandshakeRefused) else True


def _readable(error: Exception, url: str) -> AwsRunasError:
    """What the user is told, by the kind of failure."""
    if isinstance(error, AwsRunasError):
        return error
    host = url.partition("://")[2].partition("/")[0]
    if isinstance(error, HandshakeRefused):
        if error.status in FORBIDDEN:
            return SessionError(
                f"{host} refused the data channel with HTTP status {error.status}",
                code="stream-forbidden",
                hint="the identity may lack ssmmessages:OpenDataChannel, or this machine's clock is wrong",
            )
        return SessionError(f"{host} answered the data channel with {error}", code="stream-refused")
    if isinstance(error, ssl.SSLCertVerificationError):
        return SessionError(
            f"the certificate of {host} is not trusted: {error.verify_message}",
            code="stream-untrusted",
            hint="behind a TLS-inspecting proxy, name its certificates in AWS_CA_BUNDLE",
        )
    if isinstance(error, ProxyRefused):
        return ConfigError(str(error), code="proxy-refused", hint="look at HTTPS_PROXY and NO_PROXY")
    if isinstance(error, TimeoutError):
        return SessionError(f"{host} did not answer in time", code="stream-unreachable")
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SessionError(
        f"cannot connect to {host}: {text}",
        code="stream-unreachable",
        hint="is the network there, and is a proxy needed (HTTPS_PROXY)?",
    )
