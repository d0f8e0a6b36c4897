"""What botocore makes of the same files and variables: the oracle of the cases."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import botocore.awsrequest
import botocore.configprovider
import botocore.session

_ANSWER = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>ASIA{number}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>
<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>A:B</AssumedRoleId>
<Arn>arn:aws:sts::111111111111:assumed-role/A/B</Arn></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"""


class _Raw:
    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: Any, **__: Any) -> list[bytes]:
        return [self._content]


@dataclass
class Seen:
    """What botocore did.

    Args:
        key: the access key id of the first credentials, None when there are none.
        calls: the parameters of each AssumeRole.
    """

    key: str | None = None
    token: str | None = None
    secret: str | None = None
    region: str | None = None
    calls: list[dict[str, str]] = field(default_factory=list)


def ask(name: str | None) -> Seen:
    """Have botocore resolve a profile, by the files and variables of this process's environment; STS is played here.

    Raises:
        botocore.exceptions.BotoCoreError: it refuses.
    """
    seen = Seen()
    session = botocore.session.Session(profile=name)

    def answer(request: Any, **_: Any) -> Any:
        found = {key: values[0] for key, values in parse_qs(_bytes(request.body).decode()).items()}
        signer = re.search(rb"Credential=([A-Z0-9]+)/", _bytes(request.headers["Authorization"]))
        assert signer is not None
        if not seen.calls:
            seen.key = signer[1].decode()
        seen.calls.append(found)
        text = _ANSWER.format(number=len(seen.calls)).encode()
        return botocore.awsrequest.AWSResponse(request.url, 200, {"Content-Type": "text/xml"}, _Raw(text))

    session.register("before-send.sts", answer)
    resolver = session.get_component("credential_provider")
    resolver.get_provider("assume-role")._prompter = lambda _: "123456"
    seen.region = session.get_config_variable("region")
    credentials = session.get_credentials()
    if credentials is not None:
        frozen = credentials.get_frozen_credentials()
        seen.token, seen.secret = frozen.token, frozen.secret_key
        seen.key = seen.key or frozen.access_key
    return seen


def endpoint(name: str | None, service: str) -> str | None:
    """The endpoint that botocore would use because it is configured."""
    session = botocore.session.Session(profile=name)
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    provider = botocore.configprovider.ConfiguredEndpointProvider(
        full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name=service
    )
    found: str | None = provider.provide()
    return found


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
