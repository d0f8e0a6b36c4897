"""Our own messages for errors in the addresses and variables of container endpoints and instance metadata.

botocore reads these variables itself; its messages name neither the variable nor a fix.
"""

from __future__ import annotations

import ipaddress
import os
import re
import urllib.parse

from aws_runas.errors import ConfigError, CredentialsError
from aws_runas.fast.names import is_aws_true
from aws_runas.redact import printable

RELATIVE, FULL = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"
TOKEN, TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
METADATA = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
CONTAINER_HOST = "169.254.170.2"
CONTAINER_HOSTS = (CONTAINER_HOST, "169.254.170.23", "fd00:ec2::23", "localhost")  # besides loopback, over http
METADATA_HOST = "169.254.169.254"
ANSWER_LENGTH = 200  # characters of an endpoint's message that are shown


def check_container_variables(origin: str) -> None:
    """Check the variables of the container endpoint before a request.

    Args:
        origin: where the profile names this source, for messages.

    Raises:
        ConfigError: an address or a token cannot be used.
        CredentialsError: no address is set.

    Source: AWS SDKs and Tools Reference Guide, container credential provider.
    """
    relative, full = os.environ.get(RELATIVE), os.environ.get(FULL)
    if not relative and not full:
        raise CredentialsError(
            f"no credentials from {origin}: neither {RELATIVE} nor {FULL} is set",
            code="source-failed",
            hint=f"this works in an ECS task, or where {FULL} is set",
        )
    if relative:
        if not relative.startswith("/") or not _is_clean(relative):
            raise _invalid(
                RELATIVE,
                relative,
                "is not a path",
                f"write a path that begins with /; it is requested from {CONTAINER_HOST}",
            )
        return  # the token variables are for the full address only
    _check_full_address(str(full))
    _check_token()


def _check_full_address(url: str) -> None:
    host, scheme = "", ""
    try:
        parts = urllib.parse.urlsplit(url)
        host, scheme, _ = parts.hostname or "", parts.scheme, parts.port
    except ValueError:
        pass
    if scheme not in ("http", "https") or not host or not _is_clean(url):
        raise _invalid(FULL, url, "is not an http or https address", "write for instance http://127.0.0.1:12319/x")
    if scheme == "http" and host not in CONTAINER_HOSTS and not _is_loopback(host):
        raise _invalid(
            FULL,
            url,
            "would be used without encryption, and is not on this machine",
            "use https, an address of this machine, 169.254.170.2 or 169.254.170.23",
        )


def _check_token() -> None:
    path, token = os.environ.get(TOKEN_FILE), os.environ.get(TOKEN, "")
    if path is not None:  # botocore prefers the file to the variable
        try:
            with open(path, encoding="utf-8") as stream:
                token = stream.read(65536)
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or "not UTF-8 text").lower()
            raise ConfigError(
                f"cannot read {path} ({TOKEN_FILE}): {reason}",
                code="container-token-invalid",
                hint=f"name a readable file that holds the token, or unset {TOKEN_FILE}",
            ) from None
    if "\r" in token or "\n" in token:
        raise ConfigError(
            f"the token of {TOKEN_FILE if path is not None else TOKEN} has a line break",
            code="container-token-invalid",
            hint="copy the token without a line break",
        )


def check_metadata_variables(origin: str) -> None:
    """Check the variables of instance metadata before a request.

    Raises:
        ConfigError: the address is invalid.
        CredentialsError: instance metadata is turned off.
    """
    if is_aws_true(os.environ.get("AWS_EC2_METADATA_DISABLED")):
        raise CredentialsError(
            f"no credentials from {origin}: AWS_EC2_METADATA_DISABLED is set",
            code="source-failed",
            hint="unset it, or name another source in the profile",
        )
    url = os.environ.get(METADATA)
    if url:
        try:
            parts = urllib.parse.urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and _is_clean(url) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise _invalid(
                METADATA, url, "is not an http or https address", "write for instance http://127.0.0.1:8000/"
            )


def container_address() -> str:
    """Return the address of the container endpoint with the variable that sets it."""
    relative = os.environ.get(RELATIVE)
    return f"http://{CONTAINER_HOST}{relative} ({RELATIVE})" if relative else f"{os.environ.get(FULL)} ({FULL})"


def metadata_address() -> str:
    """Return the address of instance metadata, with the variable that sets it, if any."""
    url = os.environ.get(METADATA)
    return f"{url} ({METADATA})" if url else f"http://{METADATA_HOST}"


def container_answer(text: str) -> str:
    """Return an error for a container endpoint's answer, from botocore's message.

    Args:
        text: of botocore's MetadataRetrievalError.
    """
    refused = re.search(r"Received non 200 response (\d+) from container metadata: ?(.*)", text, re.DOTALL)
    if refused:
        said = " ".join(refused[2].split())[:ANSWER_LENGTH]
        return f"{container_address()} answers {refused[1]}" + (f": {printable(said)}" if said else "")
    if "parse JSON" in text:
        return f"the answer of {container_address()} is not JSON"
    return f"{container_address()} gives no credentials"


def _invalid(name: str, value: str, reason: str, hint: str) -> ConfigError:
    return ConfigError(f"{name}={printable(value)} {reason}", code="endpoint-invalid", hint=hint)


def _is_clean(text: str) -> bool:
    return all(character.isprintable() and not character.isspace() for character in text)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
