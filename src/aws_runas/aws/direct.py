"""Calls without botocore: StartSession and four related calls here, those of STS in `aws.direct_sts`.

botocore takes almost half a second to import and to make its client. These calls need little of it, so they go over
http.client, signed by aws.sigv4. Unusual cases are left to botocore: settings that change how a request is made,
proxies, network errors, throttling and service errors, for which botocore has its retries (docs/adr/0208,
docs/adr/0509). A call that must arrive once only is never repeated after its request was sent (docs/adr/0215).
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlsplit

from aws_runas import __version__
from aws_runas.aws.client_settings import is_true, regional_endpoint, settings
from aws_runas.aws.credentials import Credentials
from aws_runas.aws.sigv4 import Request, sign
from aws_runas.config.profile import Profile

Service = Literal["ssm", "sts"]
T = TypeVar("T")

CONNECT_TIMEOUT: Final = 10  # seconds, as aws.client
IDLE_TIMEOUT: Final = 5  # seconds for the reply on a connection that was idle: after a change of network it is dead
MAX_IDLE: Final = 4  # connections that are kept for the next calls
READ_TIMEOUT: Final = 30
CONTENT_TYPE: Final = "application/x-amz-json-1.1"

# These settings change how a request is made. If one is set, botocore makes the request.
_SETTINGS: Final = frozenset(
    (
        "api_versions",
        "auth_scheme_preference",
        "data_path",
        "ignore_configured_endpoint_urls",
        "sigv4a_signing_region_set",
        "tcp_keepalive",
        "user_agent_appid",
    )
)
_VARIABLES: Final = frozenset(
    (
        "ALL_PROXY",
        "AWS_AUTH_SCHEME_PREFERENCE",
        "AWS_DATA_PATH",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_SDK_UA_APP_ID",
        "AWS_SIGV4A_SIGNING_REGION_SET",
        "HTTPS_PROXY",
        "HTTP_PROXY",
    )
)
_TRANSIENT: Final = ("Throttl", "TooManyRequests", "RequestLimitExceeded", "ServiceUnavailable", "InternalServerError")


class AnswerLostError(Exception):
    """A request was sent, and its whole answer did not arrive. The cause says why."""


def ca_bundle(profile: Profile) -> str | None:
    """Return the configured file or directory of trusted certificates, as botocore reads the settings."""
    setting = settings(profile).get("ca_bundle")
    return os.environ.get("AWS_CA_BUNDLE") or (str(setting) if setting else os.environ.get("REQUESTS_CA_BUNDLE"))


def direct_endpoint(profile: Profile, region: str, service: Service = "ssm") -> str | None:
    """Return the address of a service, or None if botocore must make the calls.

    Args:
        profile: its settings and endpoints.
        region: of the service.
        service: signing name.
    """
    own = settings(profile)
    has_unusual_variable = any(value and name.upper() in _VARIABLES for name, value in os.environ.items())
    if has_unusual_variable or _SETTINGS & own.keys() or _has_system_proxy():
        return None
    fips = is_true("AWS_USE_FIPS_ENDPOINT", own.get("use_fips_endpoint"))
    dual_stack = is_true("AWS_USE_DUALSTACK_ENDPOINT", own.get("use_dualstack_endpoint"))
    endpoint = profile.endpoint_url(service)
    if endpoint is None:
        has_other = any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL", f"AWS_ENDPOINT_URL_{service.upper()}"))
        return None if has_other else regional_endpoint(service, region, fips=fips, dual_stack=dual_stack)
    parts = urlsplit(endpoint)
    is_plain = parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/")
    is_plain = is_plain and not (parts.query or parts.fragment or parts.username)
    return endpoint if is_plain and not (fips or dual_stack) else None


def _has_system_proxy() -> bool:
    """Return True if the system has proxies, which botocore uses on macOS and Windows."""
    if sys.platform == "darwin":
        from urllib.request import getproxies

        return bool(getproxies())
    return sys.platform == "win32"


class DirectClient(ABC):
    """Sends signed requests to one service and leaves unclear results to botocore. Safe to use from any thread.

    Args:
        endpoint: ``https://HOST`` or ``http://HOST:PORT``.
        region: to sign for.
        credentials: returns the current credentials to sign with.
        fallback: returns the botocore client that repeats a call whose result is unclear here.
        ca_bundle: file or directory of certificates to trust; None for those that botocore trusts.
    """

    service: Service

    def __init__(
        self,
        endpoint: str,
        region: str,
        credentials: Callable[[], Credentials],
        fallback: Callable[[], Any],
        *,
        ca_bundle: str | None = None,
    ) -> None:
        parts = urlsplit(endpoint)
        self._secure = parts.scheme == "https"
        self._host, self._port, self._netloc = parts.hostname or "", parts.port, parts.netloc
        self._region = region
        self._credentials = credentials
        self._fallback = fallback
        self._ca_bundle = ca_bundle
        self._lock = threading.Lock()
        self._idle: list[HTTPConnection] = []
        weakref.finalize(self, _close_all, self._idle)
        self._context: ssl.SSLContext | None = None

    def open_ahead(self) -> None:
        """Open a connection for the next call unless one is open. A failure is ignored; the next call reports it.

        The next call then needs one round trip to the service, not three or four as with TCP and TLS.
        """
        connection = self._take_idle()
        if connection is None:
            try:
                connection = self._connect()
            except OSError:
                return
        self._keep(connection)

    @abstractmethod
    def may_repeat(self, operation: str, request: dict[str, Any]) -> bool:
        """Return True if the service may get a request twice."""

    @abstractmethod
    def encode(self, operation: str, request: dict[str, Any]) -> tuple[dict[str, str], bytes]:
        """Encode a request: its headers, with names in lower case, and its body."""

    @abstractmethod
    def decode(self, data: bytes) -> dict[str, Any] | None:
        """Read a successful reply; return None if it is not from the service.

        Raises:
            ValueError: the reply cannot be read.
        """

    @abstractmethod
    def read_error(self, data: bytes) -> tuple[str, str]:
        """Read code and message of an error reply, "" for a missing one.

        Raises:
            ValueError: the reply cannot be read.
        """

    def _call(self, operation: str, method: str, request: dict[str, Any]) -> dict[str, Any]:
        may_repeat = self.may_repeat(operation, request)
        try:
            status, data, request_id = self._post(*self.encode(operation, request), may_repeat=may_repeat)
        except (OSError, HTTPException):  # errors of ssl are OSErrors
            return self._repeat(method, request)
        except AnswerLostError as error:
            if may_repeat:
                return self._repeat(method, request)
            raise self._lost_answer(error.__cause__) from error
        metadata = {"HTTPStatusCode": status, "HTTPHeaders": {}, "RequestId": request_id}
        if status == 200:
            reply = _read(self.decode, data)
            if reply is not None:
                return {**reply, "ResponseMetadata": metadata}
            if not may_repeat:
                raise ValueError("the reply is not from the service")
            return self._repeat(method, request)
        code, message = _read(self.read_error, data) or ("", "")
        if status == 429 or status >= 500 or not code or code.startswith(_TRANSIENT):
            return self._repeat(method, request)
        from botocore.exceptions import ClientError

        raise ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}, operation)

    def _lost_answer(self, cause: BaseException | None) -> Exception:
        """Return botocore's error for a call that was sent and perhaps executed."""
        from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

        kind = ReadTimeoutError if isinstance(cause, TimeoutError) else ConnectionClosedError
        lost: Exception = kind(endpoint_url=f"http{'s' * self._secure}://{self._netloc}", error=cause)
        return lost

    def _repeat(self, method: str, request: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = getattr(self._fallback(), method)(**request)
        return reply

    def _post(self, headers: dict[str, str], body: bytes, *, may_repeat: bool) -> tuple[int, bytes, str]:
        """Send one request; replace a connection that ended, or answers too late, after it was idle.

        Args:
            headers, body: the request.
            may_repeat: True if the service may get the request twice. Otherwise it is sent on a new connection: whether
                it arrived on one that the service closed at the same moment could not be known.

        Raises:
            OSError, HTTPException: the request was not sent.
            AnswerLostError: it was sent.
        """
        connection = self._take_idle() if may_repeat else None
        if connection is not None:
            connection.sock.settimeout(IDLE_TIMEOUT)
            with suppress(OSError, HTTPException, AnswerLostError):
                return self._exchange(connection, headers, body)
        return self._exchange(self._connect(), headers, body)

    def _take_idle(self) -> HTTPConnection | None:
        """Return a connection that the service has not closed, None if there is none."""
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None or _is_alive(connection):
                return connection
            connection.close()

    def _keep(self, connection: HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def _exchange(self, connection: HTTPConnection, headers: dict[str, str], body: bytes) -> tuple[int, bytes, str]:
        headers = {"host": self._netloc, **headers}
        signature = sign(
            Request("POST", headers, body),
            self._credentials(),
            service=self.service,
            region=self._region,
            timestamp=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()),
        )
        try:
            # if this fails, the service has at most a part of the request, which it does not execute
            connection.request("POST", "/", body, headers | signature | {"user-agent": f"aws-runas/{__version__}"})
            response, data = _read_answer(connection)
        except BaseException:
            connection.close()
            raise
        if response.will_close:
            connection.close()
        else:
            self._keep(connection)
        return response.status, data, response.headers.get("x-amzn-RequestId", "")

    def _connect(self) -> HTTPConnection:
        if self._secure:
            connection: HTTPConnection = HTTPSConnection(
                self._host, self._port, timeout=CONNECT_TIMEOUT, context=self._tls_context()
            )
        else:
            connection = HTTPConnection(self._host, self._port, timeout=CONNECT_TIMEOUT)
        connection.connect()
        connection.sock.settimeout(READ_TIMEOUT)
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        """Trust the bundle, or else what botocore trusts: certifi's certificates if installed, else its own."""
        with self._lock:
            if self._context is None:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                if self._ca_bundle and os.path.isdir(self._ca_bundle):
                    context.load_verify_locations(capath=self._ca_bundle)
                else:
                    context.load_verify_locations(cafile=self._ca_bundle or _certificates())
                self._context = context
            return self._context


class DirectSsm(DirectClient):
    """The calls around a session, with the methods and replies of a botocore client."""

    service = "ssm"

    def may_repeat(self, operation: str, request: dict[str, Any]) -> bool:  # noqa: ARG002 - the operation decides
        """Return False for StartSession: each call opens a session."""
        return operation != "StartSession"

    def start_session(self, **request: Any) -> dict[str, Any]:
        """Call StartSession. Raises the errors of a botocore client."""
        return self._call("StartSession", "start_session", request)

    def resume_session(self, **request: Any) -> dict[str, Any]:
        """Call ResumeSession. Raises the errors of a botocore client."""
        return self._call("ResumeSession", "resume_session", request)

    def terminate_session(self, **request: Any) -> dict[str, Any]:
        """Call TerminateSession. Raises the errors of a botocore client."""
        return self._call("TerminateSession", "terminate_session", request)

    def describe_instance_information(self, **request: Any) -> dict[str, Any]:
        """Call DescribeInstanceInformation and return one page. Raises the errors of a botocore client."""
        return self._call("DescribeInstanceInformation", "describe_instance_information", request)

    def get_document(self, **request: Any) -> dict[str, Any]:
        """Call GetDocument. Raises the errors of a botocore client."""
        return self._call("GetDocument", "get_document", request)

    def encode(self, operation: str, request: dict[str, Any]) -> tuple[dict[str, str], bytes]:
        """Encode a request in the JSON protocol."""
        headers = {"content-type": CONTENT_TYPE, "x-amz-target": f"AmazonSSM.{operation}"}
        return headers, json.dumps(request).encode()

    def decode(self, data: bytes) -> dict[str, Any] | None:
        """Read a reply; see the base class."""
        reply = json.loads(data or b"{}")
        return reply if isinstance(reply, dict) else None

    def read_error(self, data: bytes) -> tuple[str, str]:
        """Read an error reply; see the base class."""
        reply = self.decode(data) or {}
        code = str(reply.get("__type") or "").rpartition("#")[2].partition(":")[0]
        return code, str(reply.get("message") or reply.get("Message") or "")


def _read_answer(connection: HTTPConnection) -> tuple[HTTPResponse, bytes]:
    try:
        response = connection.getresponse()
        return response, response.read()
    except (OSError, HTTPException) as error:
        raise AnswerLostError from error


def _read(reader: Callable[[bytes], T], data: bytes) -> T | None:
    """Read a reply; return None if it cannot be read."""
    try:
        return reader(data)
    except (ValueError, RecursionError):
        return None


def _is_alive(connection: HTTPConnection) -> bool:
    """Return True if nothing is waiting to be read: neither the end of the connection nor unexpected data.

    With TLS, session tickets may be waiting; the read consumes them.
    """
    connection.sock.settimeout(0)
    try:
        connection.sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        connection.sock.settimeout(READ_TIMEOUT)
        return True
    except OSError:
        pass
    return False


def _close_all(connections: list[HTTPConnection]) -> None:
    for connection in connections:
        connection.close()


def _certificates() -> str:
    from importlib.util import find_spec

    for package in ("certifi", "botocore"):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            return os.path.join(os.path.dirname(spec.origin), "cacert.pem")
    raise OSError("there are no certificates")  # botocore is a dependency
