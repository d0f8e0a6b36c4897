"""Opens the connections of one session: the first, and a new one after each loss, as long as the session may live."""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aws_runas.aws.session import StartedSession
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError, SessionError
from aws_runas.ssm.transport.address import StreamAddress, parse_stream_url
from aws_runas.ssm.transport.dialling import Dialling, ProxyRefused, open_transport, open_websocket, tls_context
from aws_runas.ssm.transport.event_loop import in_thread
from aws_runas.ssm.transport.interfaces import (
    AnsweredByAnother,
    Closed,
    CredentialsRefused,
    ServiceUnavailable,
    SessionGone,
    SessionService,
)
from aws_runas.ssm.transport.websocket import HandshakeRefused, WebSocket, WebSocketOwner
from aws_runas.ssm.transport.websocket_protocol import InvalidHandshake

# The service ends a session no later than 60 minutes after the last input (spec 13.5); plus a margin of minutes.
SESSION_MAY_LIVE: Final = 65 * 60.0


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """Intervals and limit of the attempts to resume a lost connection.

    Args:
        first_delay: seconds before the second attempt; the first is made at once.
        factor: ratio of each delay to the previous one.
        longest_delay: maximum delay in seconds.
        give_up_after: seconds (awake) from the loss; a session cannot live longer without a client.
        opening_attempts: number of attempts for the very first connection.
        refusals: number of consecutive refusals by AWS after which the refusal is final.
        refused_after: seconds (awake) for which the service may close each new connection regularly.
    """

    first_delay: float = 0.2
    factor: float = 2.0
    longest_delay: float = 20.0
    give_up_after: float = SESSION_MAY_LIVE
    opening_attempts: int = 4
    refusals: int = 3
    refused_after: float = 120.0

    def delay(self, attempt: int, chance: Callable[[], float]) -> float:
        """Return the seconds to wait before an attempt; attempt 0 is the first.

        Args:
            attempt: number of the attempt.
            chance: returns 0 <= x < 1, which spreads the attempts of many clients that lost their connections together.
        """
        if attempt == 0:
            return 0.05 * chance()
        full = min(self.longest_delay, self.first_delay * self.factor ** min(attempt - 1, 16))
        return full * (0.5 + 0.5 * chance())


class Backoff:
    """Counts attempts. A connection that carried data starts the count again, but only so often.

    Otherwise a peer that breaks each connection just after its first message is resumed some 20 times a second.

    Args:
        now: monotonic seconds.
    """

    def __init__(self, now: float) -> None:
        self.attempt = 0
        self._restarts = float(MAX_RESTARTS)  # restarts that are left
        self._counted_at = now

    def connection_proved(self, now: float) -> None:
        """Note that a connection carries data, or has lasted.

        Args:
            now: monotonic seconds.
        """
        self._restarts = min(MAX_RESTARTS, self._restarts + (now - self._counted_at) / RESTART_INTERVAL)
        self._counted_at = now
        if self.attempt and self._restarts >= 1:
            self._restarts -= 1
            self.attempt = 0


FORBIDDEN = (401, 403)
MAX_RESTARTS: Final = 10  # connections that may be cut one right after the other without a delay
RESTART_INTERVAL: Final = 5.0  # seconds until one more may
WORDS_LIMIT: Final = 120  # characters of a close reason, which may come from an intermediary


class Resumer:
    """Owns the token, URL and TLS context of a session.

    Args:
        started: the first token and URL.
        owner: owner of each WebSocket.
        answered_by_another: called once for each loss if something other than AWS answers, with what it answers.
    """

    def __init__(
        self,
        started: StartedSession,
        owner: WebSocketOwner,
        service: SessionService,
        dialling: Dialling,
        policy: ReconnectPolicy,
        answered_by_another: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._answered_by_another = answered_by_another
        self._is_told = False
        self._session_id = started.session_id
        self._token = started.token
        self._url = started.stream_url
        self._owner = owner
        self._service = service
        self._dialling = dialling
        self._policy = policy
        self._context: ssl.SSLContext | None = None
        self._backoff = Backoff(asyncio.get_running_loop().time())
        self._failing_since: float | None = None  # since when no connection has proved good
        self._woken = asyncio.Event()

    def connection_proved(self) -> None:
        """Note that the connection carries data, or has lasted: the next loss is a new one. See Backoff.

        A peer that accepts and breaks each connection proves nothing.
        """
        self._backoff.connection_proved(asyncio.get_running_loop().time())
        self._failing_since = None
        self._is_told = False

    async def connect_first(self) -> tuple[WebSocket, str]:
        """Open the first connection.

        Returns:
            The open WebSocket, and the token for its opening message.

        Raises:
            AwsRunasError: all attempts have failed, or another attempt cannot succeed.
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

    async def reconnect(
        self, lost_at: float, *, was_busy: bool, refused: Closed | None = None
    ) -> tuple[WebSocket, str]:
        """Try until a connection is open again.

        Args:
            lost_at: loop time at which the last connection ended.
            was_busy: True if data was flowing: the first attempt is made at once, because each millisecond without a
                connection delays an official agent by about 70 ms later (spec 16).
            refused: the close by the service, if it closed the last connection before any message; else None.

        Returns:
            The open WebSocket, and the token for its opening message.

        Raises:
            AwsRunasError: the session is gone, may not be resumed, or has exceeded `give_up_after`.
        """
        loop = asyncio.get_running_loop()
        if self._failing_since is None:
            self._failing_since = lost_at
        failing_since, refusals = self._failing_since, 0
        if refused is not None and lost_at - failing_since > self._policy.refused_after:
            raise SessionError(
                f"the service closes each new connection of the session ({str(refused)[:WORDS_LIMIT]})",
                code="resume-refused",
                hint="start another session",
            )
        while True:
            if self._backoff.attempt or not was_busy:
                await self._wait(self._policy.delay(self._backoff.attempt, random.random))
            self._backoff.attempt += 1
            try:
                return await self._resume()
            except SessionGone:
                raise
            except (HandshakeRefused, CredentialsRefused, CredentialsError) as error:
                refusals += _is_forbidden(error)
                last = loop.time() - failing_since > self._policy.give_up_after
                if last or refusals >= self._policy.refusals:
                    raise _readable(error, self._url) from error
                self._tell(error)
                await self._renew()
            except (OSError, InvalidHandshake, ProxyRefused, ServiceUnavailable) as error:
                if loop.time() - failing_since > self._policy.give_up_after:
                    raise _readable(error, self._url) from error
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Tell the owner once what answers the attempts, if it is not AWS."""
        if not self._is_told and _is_foreign(error):
            self._is_told = True
            self._answered_by_another(_readable(error, self._url).message)

    def retry_now(self) -> None:
        """Make the next attempt at once: the network may be back."""
        self._backoff.attempt = 0
        self._woken.set()

    async def _wait(self, seconds: float) -> None:
        """Wait for `seconds`, or until retry_now is called."""
        self._woken.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), seconds)

    async def _renew(self) -> None:
        with suppress(CredentialsError, ServiceUnavailable):  # the next attempt shows the error
            await in_thread(self._service.renew_credentials)

    async def _ask_for_token(self) -> None:
        token, url = await in_thread(self._service.resume_session, self._session_id)
        self._token = token
        if url:
            self._url = url

    async def _resume(self) -> tuple[WebSocket, str]:
        """Request a new token. Meanwhile open the connection and sign the opening request.

        The new URL is usually on the same host. If it is a different URL on that host, it is signed again. The slow
        part of signing, getting new credentials, is done by then.
        """
        address = self._address()
        signing = asyncio.ensure_future(in_thread(self._service.stream_headers, address.url))
        signing.add_done_callback(_ignore_failure)
        opening = asyncio.ensure_future(self._open(address))
        transport: asyncio.Transport | None = None
        try:
            await self._ask_for_token()
            new_address = self._address()
            if (new_address.secure, new_address.authority) == (address.secure, address.authority):
                transport = await opening
        finally:
            if transport is None:
                opening.cancel()
                opening.add_done_callback(_close_unused)
        return await self._dial(transport, signing if new_address.url == address.url else None)

    def _address(self) -> StreamAddress:
        return parse_stream_url(self._url, host_override=self._dialling.stream_host)

    async def _open(self, address: StreamAddress) -> asyncio.Transport:
        if address.secure and self._context is None:
            self._context = tls_context(self._dialling.ca_bundle)
        return await open_transport(address, dialling=self._dialling, context=self._context)

    async def _dial(
        self,
        transport: asyncio.Transport | None = None,
        signing: asyncio.Future[list[tuple[str, str]]] | None = None,
    ) -> tuple[WebSocket, str]:
        address = self._address()
        try:
            headers = await (signing or in_thread(self._service.stream_headers, address.url))
        except BaseException:
            if transport is not None:
                transport.abort()
            raise
        if transport is None:
            transport = await self._open(address)
        websocket = await open_websocket(transport, address, self._owner, headers=headers, dialling=self._dialling)
        if not websocket.is_open:
            raise ConnectionError("the connection was closed as soon as it was open")
        return websocket, self._token


def _ignore_failure(signing: asyncio.Future[list[tuple[str, str]]]) -> None:
    """Mark the error as retrieved. A caller that awaits the signature still gets it."""
    if not signing.cancelled():
        signing.exception()


def _close_unused(opening: asyncio.Future[asyncio.Transport]) -> None:
    """Close a connection that was opened for a URL that is no longer used."""
    if not opening.cancelled() and opening.exception() is None:
        opening.result().abort()


def _is_foreign(error: Exception) -> bool:
    """Return True if the error is an answer that AWS does not give."""
    foreign = (AnsweredByAnother, InvalidHandshake, ProxyRefused, ssl.SSLCertVerificationError)
    return isinstance(error, foreign) or (isinstance(error, HandshakeRefused) and error.status not in FORBIDDEN)


def _is_forbidden(error: Exception) -> bool:
    """Return True if other credentials may help. Any other HTTP status is a temporary problem of the server."""
    return error.status in FORBIDDEN if isinstance(error, HandshakeRefused) else True


def _readable(error: Exception, url: str) -> AwsRunasError:
    """Return the error to show to the user."""
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
        return SessionError(
            f"{host} answered the data channel with {error}",
            code="stream-refused",
            hint="check the proxy and --stream-host",
        )
    if isinstance(error, ssl.SSLCertVerificationError):
        return SessionError(
            f"the certificate of {host} is not trusted: {error.verify_message}",
            code="stream-untrusted",
            hint="behind a TLS-inspecting proxy, name its certificates in AWS_CA_BUNDLE",
        )
    if isinstance(error, ProxyRefused):
        hint = "check NO_PROXY, and which hosts the proxy allows"
        if " 407" in str(error):
            hint = "it needs a user and a password: HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT"
        return ConfigError(str(error), code="proxy-refused", hint=hint)
    if isinstance(error, InvalidHandshake):
        return SessionError(
            f"{host} answered the data channel with no WebSocket: {str(error)[:WORDS_LIMIT]}",
            code="stream-refused",
            hint="check the proxy and --stream-host; what answers is not Session Manager",
        )
    if isinstance(error, TimeoutError):
        return SessionError(
            f"{host} did not answer in time", code="stream-unreachable", hint="check the network and the proxy"
        )
    text = error.strerror.lower() if isinstance(error, OSError) and error.strerror else str(error)
    return SessionError(
        f"cannot connect to {host}: {text}",
        code="stream-unreachable",
        hint="is the network there, and is a proxy needed (HTTPS_PROXY)?",
    )
