"""GetSessionToken and AssumeRole without botocore, as in `aws.direct` for sessions (docs/adr/0509).

Source: AWS Security Token Service API reference; its query protocol: the request is a form, the reply XML.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from aws_runas.aws import xml_reply
from aws_runas.aws.client_settings import settings
from aws_runas.aws.credentials import parse_time
from aws_runas.aws.direct import DirectClient
from aws_runas.config.profile import Profile

VERSION: Final = "2011-06-15"
CONTENT_TYPE: Final = "application/x-www-form-urlencoded; charset=utf-8"
_RETRY_SETTINGS: Final = frozenset(("max_attempts", "retry_mode"))
_RETRY_VARIABLES: Final = ("AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE")
_FIELDS: Final = ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")


def is_usual(profile: Profile) -> bool:
    """Return True if no setting requires botocore, such as the number of retries or STS outside the region."""
    own = settings(profile)
    if any(os.environ.get(name) for name in _RETRY_VARIABLES) or _RETRY_SETTINGS & own.keys():
        return False
    setting = os.environ.get("AWS_STS_REGIONAL_ENDPOINTS") or own.get("sts_regional_endpoints")
    return str(setting or "regional").lower() == "regional"


class DirectSts(DirectClient):
    """Two calls of STS, with the methods and replies of a botocore client."""

    service = "sts"

    def may_repeat(self, operation: str, request: dict[str, Any]) -> bool:  # noqa: ARG002 - the code decides
        """Return False with an MFA code, which the service accepts once."""
        return "TokenCode" not in request

    def get_session_token(self, **request: Any) -> dict[str, Any]:
        """Call GetSessionToken. Raises the errors of a botocore client."""
        return self._call("GetSessionToken", "get_session_token", request)

    def assume_role(self, **request: Any) -> dict[str, Any]:
        """Call AssumeRole. Raises the errors of a botocore client."""
        return self._call("AssumeRole", "assume_role", request)

    def encode(self, operation: str, request: dict[str, Any]) -> tuple[dict[str, str], bytes]:
        """Encode a request in the query protocol."""
        pairs = [("Action", operation), ("Version", VERSION), *_flat("", request)]
        body = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
        return {"content-type": CONTENT_TYPE}, body.encode()

    def decode(self, data: bytes) -> dict[str, Any] | None:
        """Read the credentials; None if any part of them is missing."""
        found = {name: text for name, text in _elements(data) if name in _FIELDS}
        if any(not found.get(name) for name in _FIELDS):
            return None
        return {"Credentials": {**found, "Expiration": parse_time(found["Expiration"])}}

    def read_error(self, data: bytes) -> tuple[str, str]:
        """Read an error reply; see the base class."""
        found = dict(_elements(data))
        return found.get("Code", ""), found.get("Message", "")


def _flat(prefix: str, value: object) -> Iterator[tuple[str, str]]:
    """Flatten a structure to the names of the query protocol: ``Tags.member.1.Key``."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value, start=1):
            yield from _flat(f"{prefix}.member.{number}", inner)
    else:
        yield prefix, str(value)


def _elements(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield name and text of each element without a namespace.

    Raises:
        ValueError: the reply is not XML, or declares a document type, which STS never does.
    """
    root = xml_reply.parse(data)
    for element in root.iter():
        yield element.tag.rpartition("}")[2], (element.text or "").strip()
