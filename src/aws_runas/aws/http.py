"""Plain HTTP requests, mostly to identity providers with botocore's TLS and proxy settings. No redirect is followed."""

from __future__ import annotations

import contextlib
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import field
from email.message import Message
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import quote, urlsplit

from aws_runas import __version__
from aws_runas.aws.errors import connection_failed
from aws_runas.config.profile import Profile
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, CredentialsError

CONNECT_TIMEOUT = 10  # seconds
READ_TIMEOUT = 60  # seconds; a login page may wait for another service
BODY_TIMEOUT = 120  # seconds from the first to the last byte of a body, however slowly it arrives
MAX_BODY = 4 * 1024 * 1024  # bytes read from a response
_URL_CHARACTERS = ":/?#[]@!$&'()*+,;=%~-._"


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response.

    Args:
        headers: names in lower case; of repeated headers, the last one.
        body: at most MAX_BODY bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def text(self) -> str:
        """Return the body as text, in the charset that the headers name, otherwise UTF-8."""
        message = Message()
        message["content-type"] = self.headers.get("content-type", "")
        charset = str(message.get_content_charset() or "utf-8")
        try:
            return self.body.decode(charset, "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")


class HttpClient:
    """Sends requests; keeps connections and cookies.

    Args:
        profile: names the trusted certificates.
        cookies: filled and sent; None for no cookies.
    """

    def __init__(self, profile: Profile, cookies: CookieJar | None = None) -> None:
        self._profile = profile
        self._cookies = cookies
        self._sessions: dict[str, Any] = {}
        self._lock = threading.Lock()

    def send(
        self, method: str, url: str, *, form: str | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """Send one request.

        Args:
            form: a body of type application/x-www-form-urlencoded.
            headers: additional headers.

        Raises:
            CredentialsError: no connection, or a response that is not HTTP.
        """
        from botocore import exceptions
        from botocore.awsrequest import AWSPreparedRequest

        url = quote(url, safe=_URL_CHARACTERS)  # as a browser does: a page may have spaces in an address
        sent = {"User-Agent": f"aws-runas/{__version__}", "Accept-Encoding": "identity", **(headers or {})}
        if form is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        cookie_request = urllib.request.Request(url, headers=dict(sent), method=method)  # noqa: S310 - not opened
        if self._cookies is not None:
            self._cookies.add_cookie_header(cookie_request)
            cookie = cookie_request.get_header("Cookie")
            sent |= {"Cookie": cookie} if cookie else {}
        failure: AwsRunasError
        call = f"sign-in at {urlsplit(url).hostname}"
        body = None if form is None else form.encode()
        try:
            answer = self._session(url).send(AWSPreparedRequest(method, url, sent, body, True))
            content = _read(answer, url)
        except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
            error.kwargs["endpoint_url"] = url.partition("?")[0]  # the query contains state and challenge
            failure = connection_failed(call, CredentialsError, error, source="the address in the profile")
        except Exception as error:  # urllib3 and http.client fail in many ways on a malformed response
            failure = CredentialsError(
                f"{call}: the answer cannot be read ({type(error).__name__})",
                code="idp-answer-invalid",
                hint="check the address in the profile",
            )
        else:
            return self._answer(answer, content, cookie_request)
        raise failure  # out here, since the original contains the whole address and must not become the context

    def _answer(self, answer: Any, content: bytes, request: urllib.request.Request) -> HttpAnswer:
        if self._cookies is not None:
            # botocore's headers join repeated ones in one line
            self._cookies.extract_cookies(_CookieAnswer(answer.raw.headers), request)  # type: ignore[arg-type]
        return HttpAnswer(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, content)

    def _session(self, url: str) -> Any:
        from botocore.httpsession import URLLib3Session
        from botocore.utils import get_environ_proxies

        from aws_runas.aws.direct import ca_bundle

        parts = urlsplit(url)
        key = f"{parts.scheme}://{parts.netloc}"
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = URLLib3Session(
                    verify=ca_bundle(self._profile) or True,
                    proxies=get_environ_proxies(url),
                    timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                )
            return self._sessions[key]


class _CookieAnswer:
    """The part of a response that http.cookiejar reads."""

    def __init__(self, headers: Any) -> None:
        self._message = Message()
        for value in headers.getlist("set-cookie"):
            self._message["Set-Cookie"] = value

    def info(self) -> Message:
        return self._message


def _read(answer: Any, url: str) -> bytes:
    """Read a body, at most MAX_BODY bytes of it.

    Raises:
        ReadTimeoutError: the body takes longer than BODY_TIMEOUT.
    """
    from botocore.exceptions import ReadTimeoutError

    content, end = bytearray(), time.monotonic() + BODY_TIMEOUT
    with contextlib.closing(answer.raw):
        for part in _parts(answer.raw):
            content += part
            if len(content) > MAX_BODY:
                break
            if time.monotonic() > end:
                raise ReadTimeoutError(endpoint_url=url, error=None)
    return bytes(content[:MAX_BODY])


def _parts(raw: Any) -> Iterator[bytes]:
    """Yield the bytes that have arrived; version 1 of urllib3 waits until a chunk is full."""
    read1 = getattr(raw, "read1", None)
    if read1 is None:
        yield from raw.stream(64 * 1024, decode_content=True)
        return
    while part := read1(64 * 1024, decode_content=True):
        yield part


def opener_without_redirects() -> urllib.request.OpenerDirector:
    """Return an opener of the standard library that treats redirects as errors, for hosts without a sign-in."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener
