"""Adapter for moto, in this process: answers IAM, EC2, KMS, and all other services that a program calls.

Only this module uses moto directly. Services load separately, because EC2 takes as long as all the others together.
"""

from __future__ import annotations

import functools
import io
import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, cast

from aws_runas.sandbox.services.errors import Reply
from aws_runas.sandbox.services.principals import ACCOUNT, OTHER_ACCOUNT, Key, Principal, account_of
from aws_runas.sandbox.services.requests import Request

if TYPE_CHECKING:
    from moto.ec2.models import EC2Backend
    from moto.iam.models import Group, Role, User
    from moto.kms.models import KmsBackend

# The defaults of moto must not depend on the variables of the caller.
for _name in [name for name in os.environ if name.startswith("MOTO_")]:
    del os.environ[_name]


StartResponse = Callable[[str, list[tuple[str, str]]], Callable[[bytes], None]]
Application = Callable[[dict[str, object], StartResponse], Iterable[bytes]]  # WSGI


class Moto:
    """Backends and WSGI applications of moto."""

    def __init__(self, region: str) -> None:
        from moto.iam.models import iam_backends

        self.region = region
        self.iam = iam_backends[ACCOUNT]["aws"]
        self.other_iam = iam_backends[OTHER_ACCOUNT]["aws"]
        self.saml_private_keys: dict[str, str] = {}  # PEM by the provider's ARN; moto drops them
        self._application: Application | None = None
        self._lock = threading.Lock()

    def ec2(self) -> EC2Backend:
        """Return the EC2 backend of our region."""
        from moto.ec2.models import ec2_backends

        return ec2_backends[ACCOUNT][self.region]

    def kms(self) -> KmsBackend:
        """Return the KMS backend of our region."""
        from moto.kms.models import kms_backends

        return kms_backends[ACCOUNT][self.region]

    def resource_query(self, account: str, region: str, group: str) -> dict[str, str] | None:
        """Return the query of a resource group, None if there is no such group.

        Args:
            account: the account that owns it.
            region: the region of the group.
            group: the name of the group.
        """
        from moto.resourcegroups.models import resourcegroups_backends

        found = resourcegroups_backends[account][region].groups.by_name.get(group)
        return None if found is None else found.resource_query

    def instance_tags(self, account: str, region: str) -> dict[str, dict[str, str]]:
        """Return the tags of every EC2 instance by instance id, including terminated instances."""
        from moto.ec2.models import ec2_backends

        instances = ec2_backends[account][region].all_instances()
        return {one.id: {tag["key"]: tag["value"] for tag in one.get_tags()} for one in instances}

    def store_object(self, bucket: str, key: str, data: bytes) -> None:
        """Put an object into an existing bucket.

        Args:
            bucket: the name of the bucket.
            key: the key of the object.
            data: the content.
        """
        from moto.s3.models import s3_backends

        s3_backends[ACCOUNT]["aws"].put_object(bucket, key, data)

    def store_log(self, region: str, group: str, stream: str, text: str) -> None:
        """Write text to a new stream of an existing log group, in events of many lines.

        Args:
            region: the region of the log group.
            group: the name of the log group.
            stream: the name of the stream, which must not exist.
            text: the text; an event holds up to 1,000 of its lines.
        """
        from moto.logs.models import logs_backends

        backend = logs_backends[ACCOUNT][region]
        backend.create_log_stream(group, stream)
        lines, now = text.removesuffix("\n").split("\n"), int(time.time() * 1000)
        events = [{"timestamp": now, "message": "\n".join(lines[at : at + 1000])} for at in range(0, len(lines), 1000)]
        backend.put_log_events(group, stream, events)

    def user_key(self, access_key_id: str) -> Key | None:
        """Return an active key of a user, None if there is none."""
        for user in list(self.iam.users.values()):
            for key in user.access_keys:
                if key.access_key_id == access_key_id and key.status == "Active":
                    principal = Principal(user.arn, user.id, user_name=user.name)
                    return Key(access_key_id, key.secret_access_key, principal)
        return None

    def mfa_seed(self, user_name: str, serial_number: str) -> str | None:
        """Return the seed of a virtual MFA device that is enabled for a user, None if there is none."""
        user = self.iam.users.get(user_name)
        device = self.iam.virtual_mfa_devices.get(serial_number)
        if user is None or device is None or serial_number not in user.mfa_devices:
            return None
        return str(device.base32_string_seed)

    def role(self, arn: str) -> Role | None:
        """Return the moto role with an ARN, None if there is none."""
        return next((role for role in self._roles() if role.arn == arn), None)

    def _roles(self) -> list[Role]:
        return [*self.iam.roles.values(), *self.other_iam.roles.values()]

    def identity_policies(self, principal: Principal) -> list[str]:
        """Return the text of every policy of a user (inline, attached, from groups) or a role."""
        holders: list[Role | User | Group] = []
        if principal.role_name is not None:
            account = account_of(principal.arn)
            known = [role for role in self._roles() if account_of(role.arn) == account]
            holders += [role for role in known if role.name == principal.role_name][:1]
        elif user := self.iam.users.get(principal.user_name or ""):
            holders += [user, *self._groups(user)]
        texts: list[str] = []
        for holder in holders:
            texts += list(holder.policies.values())
            versions = [version for policy in list(holder.managed_policies.values()) for version in policy.versions]
            texts += [version.document for version in versions if version.is_default]
        return texts

    def managed_policy(self, arn: str) -> list[str]:
        """Return the text of a managed policy of the account or of AWS; "" if no policy has that ARN."""
        managed = self.iam.managed_policies.get(arn)
        if managed is not None:
            return [version.document for version in managed.versions if version.is_default]
        document = _aws_policies().get(arn)
        return [] if document is None else [document]

    def _groups(self, user: User) -> list[Group]:
        return [group for group in list(self.iam.groups.values()) if user in group.users]

    def call(self, request: Request, key: Key) -> Reply:
        """Let moto answer a request whose signature was checked.

        Args:
            key: the key of the caller; moto sees a user's session as the user's own key.
        """
        application = self._load()
        environ = self._environ(request, self._shown_key(key))
        answer: list[tuple[int, dict[str, str]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], _exc_info: object = None
        ) -> Callable[[bytes], None]:
            answer.append((int(status.split()[0]), dict(headers)))
            return lambda _: None

        parts: Iterable[bytes] = application(environ, start_response)
        body = b"".join(parts)
        close = getattr(parts, "close", None)
        if close is not None:
            close()
        dropped = ("content-length", "connection", "date", "server", "transfer-encoding")
        number, headers = answer[-1]
        kept = {
            name: value
            for name, value in headers.items()
            if name.lower() not in dropped and not name.lower().startswith("access-control")
        }
        return Reply(number, body, kept)

    def _load(self) -> Application:
        with self._lock:
            if self._application is None:
                from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

                self._application = cast(Application, DomainDispatcherApplication(create_backend_app))
            return self._application

    def _shown_key(self, key: Key) -> str:
        user = self.iam.users.get(key.principal.user_name or "") if key.temporary else None
        return user.access_keys[0].access_key_id if user is not None and user.access_keys else key.access_key_id

    def _environ(self, request: Request, access_key_id: str) -> dict[str, object]:
        headers = dict(request.headers)
        scheme, _, rest = headers.get("authorization", "").partition("Credential=")
        if rest:
            headers["authorization"] = f"{scheme}Credential={access_key_id}/{rest.partition('/')[2]}"
        environ: dict[str, object] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": request.path,
            "QUERY_STRING": request.query,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(request.body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(request.body)),
        }
        for name, value in headers.items():
            if name not in ("content-type", "content-length"):
                environ["HTTP_" + name.upper().replace("-", "_")] = value
        return environ


@functools.cache
def _aws_policies() -> dict[str, str]:
    """Return the AWS managed policies by ARN. They are read at the first call, because they are 5 MB of JSON."""
    from moto.iam.aws_managed_policies import aws_managed_policies_data

    known = json.loads(aws_managed_policies_data)
    return {
        f"arn:aws:iam::aws:policy{values['Path']}{name}": json.dumps(values["Document"])
        for name, values in known.items()
    }
