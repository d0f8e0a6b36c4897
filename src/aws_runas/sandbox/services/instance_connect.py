"""EC2 Instance Connect: public keys that an instance accepts for one minute."""

from __future__ import annotations

import time
import uuid

from aws_runas import files
from aws_runas.sandbox.instances import Instances
from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply
from aws_runas.sandbox.services.json_input import Input, read_text, require_text
from aws_runas.sandbox.services.principals import Key

KEY_LIFETIME = 60  # seconds that a pushed key is valid


class InstanceConnect:
    """Service that stores pushed keys in ``authorized_keys.<user>`` in the instance's home, with their expiry time.

    Source: EC2 Instance Connect API reference, SendSSHPublicKey.
    """

    def __init__(self, instances: Instances) -> None:
        self._instances = instances

    def call(self, action: str, values: Input, _key: Key, _region: str) -> Reply:
        """Answer SendSSHPublicKey.

        Args:
            action: as AWS spells it.
            values: parameters.

        Raises:
            LookupError: it is another action.
            ServiceError: the instance, the user or the key is not valid.
        """
        if action != "SendSSHPublicKey":
            raise LookupError(action)
        instance_id = require_text(values, "InstanceId", 10, 32)
        user = require_text(values, "InstanceOSUser", 1, 32)
        public_key = read_text(values, "SSHPublicKey").strip()
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
