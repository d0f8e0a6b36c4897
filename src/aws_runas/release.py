"""Search for a newer release on the project's release page, in the order of semantic versioning.

The project's own addresses are defined only here.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping

from aws_runas.aws.http import opener_without_redirects
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, ConfigError

# A placeholder until the project has a home page. Names below .example are reserved and never resolve (RFC 2606).
PROJECT_HOST = "aws-runas.example"
PROJECT_URL = f"https://{PROJECT_HOST}"
MAINTAINERS = f"The aws-runas maintainers <maintainers@{PROJECT_HOST}>"
RELEASES_URL = f"{PROJECT_URL}/releases/latest"
DISTRIBUTION = "aws-runas-py"
TIMEOUT = 5.0  # seconds for name lookup, connection and response together
_REDIRECTS = 5
_LONGEST_VERSION = 100  # characters; a longer text is not one of our releases
_MOST = 1 << 20  # bytes read from a response; an API response with long release notes is much smaller
_VERSION = re.compile(
    r"v?(?P<major>[0-9]{1,9})\.(?P<minor>[0-9]{1,9})(?:\.(?P<patch>[0-9]{1,9}))?"
    r"(?:[-.]?(?P<pre>[0-9A-Za-z](?:[0-9A-Za-z.-]*[0-9A-Za-z])?))?(?:\+[0-9A-Za-z.-]+)?"
)


@dataclass(frozen=True, slots=True)
class Release:
    """A release named by the page.

    Args:
        version: as tagged, without ``v``.
        url: where to download it.
    """

    version: str
    url: str


def page_address(environ: Mapping[str, str], configured: Callable[[], tuple[str, str] | None]) -> str:
    """Return the address of the release page: from the environment, from the config file, or the project's default.

    Args:
        environ: ``RUNAS_RELEASES_URL`` names a page, such as a mirror.
        configured: returns the page from the config file and its location there; called only if no variable is set.

    Raises:
        ConfigError: the address is not an http address.
        AwsRunasError: no page is configured, and the project has none yet.
    """
    variable = environ.get("RUNAS_RELEASES_URL")
    url, origin = (variable, "RUNAS_RELEASES_URL") if variable else configured() or (RELEASES_URL, "")
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.netloc:
        raise ConfigError(
            f"{origin}: {url!r} is not an http or https address",
            code="releases-url-invalid",
            hint="write it as https://host/path, or leave it unset",
        )
    if not origin and (parts.hostname or "").endswith(".example"):
        raise AwsRunasError(
            "this version names no release page, so no release can be compared with it",
            code="releases-url-missing",
            hint="name one in RUNAS_RELEASES_URL, or as releases_url in [default]",
        )
    return url


def _split(url: str) -> urllib.parse.SplitResult | None:
    try:
        return urllib.parse.urlsplit(url)
    except ValueError:  # an address with half an IPv6 address
        return None


def latest(url: str, *, timeout: float = TIMEOUT) -> Release:
    """Return the latest release that the page names.

    Args:
        url: the release page. It redirects to an address that ends in the version, as code hosts do, or it answers
            with JSON: ``tag_name``, or ``info`` with ``name`` and ``version``, as a package index does.
        timeout: seconds.

    Raises:
        AwsRunasError: the latest release could not be found.
    """
    answer: list[Release | str] = []

    def ask() -> None:
        try:
            answer.append(_ask(url, time.monotonic() + timeout))
        except http.client.RemoteDisconnected:
            answer.append("the connection ended without an answer")
        except http.client.HTTPException as error:  # some of them repeat what the server sent, line breaks included
            answer.append(f"the answer is not HTTP: {type(error).__name__}")
        except RecursionError:
            answer.append("the answer is nested too deeply")
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            answer.append(str(reason) or type(error).__name__)

    # A thread, since a name lookup accepts no timeout; it is abandoned when it takes longer.
    asking = threading.Thread(target=ask, daemon=True, name="release")
    asking.start()
    asking.join(timeout)
    found = answer[0] if answer else f"no answer within {timeout:g} s"
    if isinstance(found, Release):
        return found
    raise AwsRunasError(
        f"cannot determine the latest release from {url}: {found}",
        code="update-unknown",
        hint="check the network, or open the page in a browser",
    )


def is_newer(version: str, than: str) -> bool:
    """Compare two versions by precedence; build metadata is ignored.

    Raises:
        ValueError: one of them is not a version.
    """
    return _precedence(version) > _precedence(than)


def is_prerelease(version: str) -> bool:
    """Return True for a pre-release version: an alpha, a beta or a release candidate."""
    match = _VERSION.fullmatch(version)
    return match is not None and bool(match["pre"])


def _is_version(tag: str) -> bool:
    return len(tag) <= _LONGEST_VERSION and _VERSION.fullmatch(tag) is not None


def _precedence(version: str) -> tuple[object, ...]:
    """Return a sort key by semantic versioning 2.0.0, section 11; Python's ``1.2.3rc1`` is read as ``-rc1``."""
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        raise ValueError(f"{version!r} is not a version")
    numbers = tuple(int(match[part] or 0) for part in ("major", "minor", "patch"))
    if not match["pre"]:
        return (*numbers, 1, ())
    parts = re.findall(r"[0-9]+(?![0-9A-Za-z-])|[0-9A-Za-z-]+", match["pre"])
    return (*numbers, 0, tuple((0, int(one), "") if one.isdecimal() else (1, 0, one) for one in parts))


def _ask(url: str, deadline: float) -> Release:
    opener = opener_without_redirects()
    for _ in range(_REDIRECTS):
        request = urllib.request.Request(  # noqa: S310 - only http and https get here
            url, headers={"User-Agent": "aws-runas", "Accept": "application/json, text/html"}
        )
        try:
            with opener.open(request, timeout=max(0.1, deadline - time.monotonic())) as reply:
                return _from_body(_read(reply.read1, deadline), url)
        except urllib.error.HTTPError as error:
            with error:
                target = error.headers.get("Location")
                if error.code in (404, 410):
                    raise ValueError(f"there is no release yet (status {error.code})") from None
                if not 300 <= error.code < 400 or not target:
                    raise ValueError(f"status {error.code} {error.reason}") from None
        url = urllib.parse.urljoin(url, target)
        tag = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rstrip("/").rpartition("/")[2])
        if _is_version(tag):
            return Release(tag.removeprefix("v"), url)
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"it redirects to {url}")
    raise ValueError("too many redirects")


def _read(read: Callable[[int], bytes], deadline: float) -> bytes:
    body = b""
    while len(body) < _MOST and time.monotonic() < deadline:
        part = read(_MOST - len(body))
        if not part:
            break
        body += part
    return body


def _from_body(body: bytes, url: str) -> Release:
    try:
        found = json.loads(body)
    except ValueError:
        raise ValueError("the answer names no release") from None
    if not isinstance(found, dict):
        raise ValueError("the answer names no release")
    info = found.get("info")
    if isinstance(info, dict):
        tag, page = info.get("version"), info.get("release_url")
        if info.get("name") != DISTRIBUTION:
            raise ValueError(f"the answer is about the package {info.get('name')}, not {DISTRIBUTION}")
    else:
        tag, page = found.get("tag_name"), found.get("html_url")
    if not isinstance(tag, str) or not _is_version(tag):
        raise ValueError("the answer names no release")
    return Release(tag.removeprefix("v"), page if isinstance(page, str) else url)
