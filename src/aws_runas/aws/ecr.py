"""Authorization tokens for container registries: the password with which a container client logs in."""

from __future__ import annotations

import base64
from dataclasses import field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aws_runas.aws import reply
from aws_runas.aws.errors import translate
from aws_runas.dataclass import dataclass

if TYPE_CHECKING:
    from aws_runas.aws.access import Access


@dataclass(frozen=True, slots=True)
class RegistryToken:
    """User and password for registries.

    Args:
        user: ``AWS``.
        password: valid for every registry in the region that the caller may read.
        endpoint: address of the caller's own registry, with the scheme; "" for the public gallery.
        expiration: when the token expires, aware, UTC.
        issued: when the token was issued, aware, UTC.
    """

    user: str
    password: str = field(repr=False)
    endpoint: str
    expiration: datetime
    issued: datetime


def registry_token(access: Access, region: str, now: float, *, fips: bool = False) -> RegistryToken:
    """Ask ECR for a token.

    Args:
        access: its credentials sign the call.
        region: of the registries.
        now: seconds since the epoch, becomes ``issued``.
        fips: ask the FIPS endpoint.

    Raises:
        CredentialsError: the call was refused.

    Source: Amazon ECR API reference, GetAuthorizationToken. ``registryIds`` is deprecated: one token is valid for all.
    """
    client = access.client("ecr", region, fips=fips)
    with translate("ecr", "GetAuthorizationToken"):
        found = reply.mappings(client.get_authorization_token(), "authorizationData")[0]
        return _token(found, reply.text(found, "proxyEndpoint"), now)


def public_registry_token(access: Access, region: str, now: float) -> RegistryToken:
    """Ask for a token of the public gallery; see `registry_token`.

    Args:
        access: its credentials sign the call.
        region: the one that has the public gallery.
        now: seconds since the epoch.

    Source: Amazon ECR Public API reference, GetAuthorizationToken. It also needs sts:GetServiceBearerToken.
    """
    client = access.client("ecr-public", region)
    with translate("ecr-public", "GetAuthorizationToken"):
        return _token(reply.mapping(client.get_authorization_token(), "authorizationData"), "", now)


def _token(found: Any, endpoint: str, now: float) -> RegistryToken:
    """Read a reply; a malformed one raises an error that `translate` reports as an endpoint that is not AWS."""
    text = base64.b64decode(reply.text(found, "authorizationToken"), validate=True).decode("ascii")
    user, colon, password = text.partition(":")
    if not colon or not user or not password or not text.isprintable() or " " in text:
        raise ValueError("no token")
    expires = found["expiresAt"]
    return RegistryToken(user, password, endpoint, expires.astimezone(UTC), datetime.fromtimestamp(now, UTC))
