"""Two small services beside the big ones: EC2 Instance Connect's keys, and the single sign-on portal's credentials."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from aws_runas import files
from aws_runas.sandbox.clock import Clock
from aws_runas.sandbox.instances import Instances
from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import ACCOUNT, Key, Principal, TemporaryKeys
from aws_runas.sandbox.services.requests import Request

KEY_LIFETIME = 60  # seconds that a pushed key is good for
SSO_SESSION = "sandbox"
SSO_LIFETIME = 3600  # seconds


class InstanceConnect:
    """Keeps pushed keys in ``authorized_keys.<user>`` of the instance's home, with the time at which they end.

    Source: EC2 Instance Connect API reference, SendSSHPublicKey.
    """

    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def call(self, action: str, values: dict[str, Any], _key: Key, _region: str) -> Reply:
        """Answer one call."""
        if action != "SendSSHPublicKey":
            raise LookupError(action)
        instance_id, user = str(values.get("InstanceId")), str(values.get("InstanceOSUser"))
        public_key = str(values.get("SSHPublicKey", "")).strip()
        if not self._instances.is_connected(instance_id):
            raise ServiceError("EC2InstanceNotFoundException", "The specified instance was not found", 404)
        if not user.isascii() or not user.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise ServiceError("InvalidArgsException", "the user name is not valid")
        if not public_key.startswith(("ssh-", "ecdsa-", "sk-")) or "\n" in public_key:
            raise ServiceError("InvalidArgsException", "the SSH public key is not valid")
        path = self._instances.machine(instance_id).home / f"authorized_keys.{user}"
        expiry = time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + KEY_LIFETIME))
        files.write_atomic(path, f'expiry-time="{expiry}" {public_key}\n'.encode())
        return json_reply({"RequestId": str(uuid.uuid4()), "Success": True})


class SsoPortal:
    """Gives a role's credentials for the token in the sandbox's home.

    Source: AWS IAM Identity Center portal API reference, GetRoleCredentials.
    """

    def __init__(self, moto: Moto, keys: TemporaryKeys, clock: Clock, token: str) -> None:
        self._moto = moto
        self._keys = keys
        self._clock = clock
        self._token = token

    def handle(self, request: Request) -> Reply:
        """Answer GetRoleCredentials."""
        if not hmac.compare_digest(request.headers.get("x-amz-sso_bearer_token", "").encode(), self._token.encode()):
            return json_reply({"__type": "UnauthorizedException", "message": "Session token not found or invalid"}, 401)
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        role = self._moto.role(f"arn:aws:iam::{query.get('account_id')}:role/{query.get('role_name')}")
        if role is None:
            return json_reply({"__type": "ForbiddenException", "message": "No access"}, 403)
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role.name}/sandbox-user"
        principal = Principal(arn, f"{role.id}:sandbox-user", role_name=role.name)
        now = self._clock.now()
        key = self._keys.issue(principal, now + self._clock.lifetime(SSO_LIFETIME), now, mfa=False)
        values = {
            "accessKeyId": key.access_key_id,
            "secretAccessKey": key.secret_access_key,
            "sessionToken": key.session_token,
            "expiration": int((key.expiration or 0) * 1000),
        }
        return json_reply({"roleCredentials": values}, content_type="application/json")


def write_sso_token(home: Path, token: str, region: str) -> None:
    """Leave the token where ``aws sso login`` would have."""
    directory = home / ".aws" / "sso" / "cache"
    files.make_private_directory(directory)
    name = hashlib.sha1(SSO_SESSION.encode(), usedforsecurity=False).hexdigest()
    expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 8 * 3600))
    values = {"startUrl": "https://sandbox.example/start", "region": region, "accessToken": token, "expiresAt": expires}
    files.write_atomic(directory / f"{name}.json", json.dumps(values).encode())
