"""Authorization tokens of ECR and of its public gallery. moto answers all other calls of ECR.

The token of moto is the same for every caller, and it expired in 2015.

Source: Amazon ECR and Amazon ECR Public API references, GetAuthorizationToken.
"""

from __future__ import annotations

import base64
import secrets
import threading
from collections.abc import Callable

from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply
from aws_runas.sandbox.services.json_input import Input, JsonObject, read_texts
from aws_runas.sandbox.services.principals import ACCOUNT, Key
from aws_runas.sandbox.state import Clock

LIFETIME = 12 * 3600  # seconds
PUBLIC_REGION = "us-east-1"  # the only region
MAX_REGISTRIES = 10

Authorize = Callable[[str, Key, str | None], None]


class Registries:
    """ECR and ECR Public.

    A caller gets the same password until the sandbox ends, so that a test can configure a registry with it.

    Args:
        clock: the clock of the service.
        authorize: raises ServiceError if the caller is not allowed to make a call.
    """

    def __init__(self, clock: Clock, authorize: Authorize) -> None:
        self._clock = clock
        self._authorize = authorize
        self._passwords: dict[str, str] = {}
        self._lock = threading.Lock()

    def private(self, action: str, values: Input, key: Key, region: str) -> Reply:
        """Answer a call of ECR.

        Args:
            action: as AWS spells it.
            values: parameters.
            key: the key that signed the request.
            region: the region that the request was signed for.

        Raises:
            LookupError: moto answers the call.
            ServiceError: the parameters are wrong.
        """
        if action != "GetAuthorizationToken":
            raise LookupError(action)
        accounts = read_texts(values, "registryIds") or [ACCOUNT]
        if len(accounts) > MAX_REGISTRIES:
            raise ServiceError(
                "InvalidParameterException", "Invalid parameter at 'registryIds' failed to satisfy constraint"
            )
        suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        data = [
            self._token(key) | {"proxyEndpoint": f"https://{account}.dkr.ecr.{region}.{suffix}"} for account in accounts
        ]
        return json_reply({"authorizationData": data})

    def public(self, action: str, _values: Input, key: Key, region: str) -> Reply:
        """Answer a call of ECR Public, which exists in one region and requires an additional permission.

        Args:
            action: as AWS spells it.
            key: the key that signed the request.
            region: the region that the request was signed for.

        Raises:
            ServiceError: the region or the action is wrong, or the call is not allowed.
        """
        if region != PUBLIC_REGION:
            raise ServiceError("UnsupportedCommandException", f"ECR Public is not available in {region}")
        if action != "GetAuthorizationToken":
            raise ServiceError("InvalidAction", f"the sandbox's ECR Public has no {action}")
        self._authorize("sts:GetServiceBearerToken", key, None)
        return json_reply({"authorizationData": self._token(key)})

    def _token(self, key: Key) -> JsonObject:
        with self._lock:
            password = self._passwords.setdefault(key.principal.arn, new_password())
        token = base64.b64encode(f"AWS:{password}".encode()).decode()
        return {"authorizationToken": token, "expiresAt": self._clock.now() + self._clock.lifetime(LIFETIME)}


def new_password() -> str:
    """Return a password of the same length as in ECR, with the characters of base64."""
    return base64.b64encode(secrets.token_bytes(1500)).decode()
