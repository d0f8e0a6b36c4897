"""Systems Manager's sessions, as the sandbox plays them: StartSession and its relatives, JSON 1.1.

Source: AWS Systems Manager API reference.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from aws_runas.sandbox.clock import Clock
from aws_runas.sandbox.instances import Instances
from aws_runas.sandbox.options import Faults
from aws_runas.sandbox.services import documents
from aws_runas.sandbox.services.describe_sessions import describe_sessions
from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply
from aws_runas.sandbox.services.principals import ACCOUNT, Key
from aws_runas.sandbox.services.session import Plan, Session

FAILURES = {"InternalServerError": 500, "ThrottlingException": 400, "AccessDeniedException": 400}
Authorize = Callable[..., None]
DOCUMENT_CHECK = "ssm:SessionDocumentAccessCheck"


class SsmService:
    """The service.

    Args:
        loop: sessions live on it; the API is called from other threads.
        faults: asked for at each call, as they may be changed.
        authorize: refuses what the caller's policies do not allow.
        wait_for: blocks until what a service needs is loaded; agents want a KMS key.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        instances: Instances,
        clock: Clock,
        region: str,
        faults: Callable[[], Faults],
        authorize: Authorize,
        wait_for: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._instances = instances
        self._clock = clock
        self._region = region
        self._faults = faults
        self._authorize = authorize
        self._wait_for = wait_for
        self._starts: deque[float] = deque()
        self._starts_lock = threading.Lock()
        self.base_url = ""
        self.sessions: dict[str, Session] = {}
        self._actions: dict[str, Callable[[dict[str, Any], Key], Any]] = {
            "StartSession": self._start_session,
            "ResumeSession": self._resume_session,
            "TerminateSession": self._terminate_session,
            "DescribeSessions": self._describe_sessions,
            "DescribeInstanceInformation": self._describe_instance_information,
            "GetConnectionStatus": self._get_connection_status,
            "GetDocument": self._get_document,
        }

    def call(self, action: str, values: dict[str, Any], key: Key, region: str) -> Reply:
        """Answer one call; LookupError for what is not ours.

        Args:
            region: that the request was signed for.
        """
        handler = self._actions.get(action)
        if handler is None:
            raise LookupError(action)
        if region != self._region:
            values = {**values, "region": region}
        return json_reply(handler(values, key))

    # --- sessions

    def _start_session(self, values: dict[str, Any], key: Key) -> dict[str, str]:
        faults = self._faults()
        if faults.start_slow:
            time.sleep(faults.start_slow)
        if faults.start_fails:
            status = FAILURES.get(faults.start_fails, 400)
            raise ServiceError(faults.start_fails, "The sandbox was told to fail StartSession.", status)
        self._check_start_rate(faults.start_rate)
        target = _text(values, "Target", 1, 400)
        reason = _text(values, "Reason", 1, 256) if "Reason" in values else ""
        self._authorize_start(target, values.get("DocumentName"), key)
        if "region" in values or not self._instances.is_connected(target):
            raise ServiceError("TargetNotConnected", f"{target} is not connected.")
        parameters = values.get("Parameters") or {}
        plan = documents.plan(target, values.get("DocumentName"), parameters, reason)
        return self.open_session(plan, key)

    def _check_start_rate(self, rate: float | None) -> None:
        """Throttle calls above a rate, counted over the last second for the whole account."""
        if rate is None:
            return
        now = time.monotonic()
        with self._starts_lock:
            while self._starts and self._starts[0] <= now - 1:
                self._starts.popleft()
            if len(self._starts) >= rate:
                raise ServiceError("ThrottlingException", "Rate exceeded")
            self._starts.append(now)

    def _authorize_start(self, target: str, document: str | None, key: Key) -> None:
        """Check the permission on the instance and on the document.

        Without a document name, the default document counts only if the policy asks for it with the condition
        ssm:SessionDocumentAccessCheck.
        """
        resource = self._resource(target)
        if document is None:
            try:
                self._authorize("ssm:StartSession", key, resource, {DOCUMENT_CHECK: "false"})
            except ServiceError:
                self._authorize("ssm:StartSession", key, resource, {DOCUMENT_CHECK: "true"})
                document = documents.SHELL
            else:
                return
        else:
            self._authorize("ssm:StartSession", key, resource, {DOCUMENT_CHECK: "true"})
        account = "" if document.startswith("AWS-") else ACCOUNT
        arn = f"arn:aws:ssm:{self._region}:{account}:document/{document}"
        self._authorize("ssm:StartSession", key, arn, {DOCUMENT_CHECK: "true"})

    def _session_arn(self, session: Session) -> str:
        return f"arn:aws:ssm:{self._region}:{ACCOUNT}:session/{session.session_id}"

    def _resource(self, target: str) -> str:
        if target.startswith("mi-"):
            return f"arn:aws:ssm:{self._region}:{ACCOUNT}:managed-instance/{target}"
        return f"arn:aws:ec2:{self._region}:{ACCOUNT}:instance/{target}"

    def open_session(self, plan: Plan, key: Key) -> dict[str, str]:
        """Make a session and let the agent join it; called from any thread but the loop's."""
        self._wait_for("kms")
        return asyncio.run_coroutine_threadsafe(self._open(plan, key), self._loop).result()

    async def _open(self, plan: Plan, key: Key) -> dict[str, str]:
        name = key.principal.user_name or key.principal.arn.rpartition("/")[2]
        session_id = f"{name}-{secrets.token_hex(9)[:17]}"
        session = Session(
            session_id, key.principal.arn, plan, self._faults(), self.base_url, self._clock.lifetime, self._ended
        )
        self.sessions[session_id] = session
        self._instances.join(session)
        return {
            "SessionId": session_id,
            "TokenValue": session.tickets.new_token(),
            "StreamUrl": session.tickets.stream_url,
        }

    def _ended(self, _session: Session) -> None:
        history = [each for each in self.sessions.values() if each.ended is not None]
        for old in history[:-1000]:
            del self.sessions[old.session_id]

    def find(self, session_id: str) -> Session:
        """The session of that id, over or not.

        Raises:
            ServiceError: there never was one.
        """
        session = self.sessions.get(session_id)
        if session is None:
            raise ServiceError("DoesNotExistException", f"Session {session_id} does not exist.")
        return session

    def _resume_session(self, values: dict[str, Any], key: Key) -> dict[str, str]:
        faults = self._faults()
        if faults.resume_fails:
            status = FAILURES.get(faults.resume_fails, 400)
            raise ServiceError(faults.resume_fails, "The sandbox was told to fail ResumeSession.", status)
        session = self.find(_text(values, "SessionId", 1, 96))
        self._authorize("ssm:ResumeSession", key, self._session_arn(session))
        if owner_of(session.owner) != owner_of(key.principal.arn):
            resource = self._session_arn(session)
            text = f"User: {key.principal.arn} is not authorized to perform: ssm:ResumeSession on resource: {resource}"
            raise ServiceError("AccessDeniedException", text)
        if session.ended is not None:
            return {"SessionId": session.session_id}  # no token: what the official plugin takes for "timed out"

        async def resume() -> dict[str, str]:
            token = session.tickets.resume()
            return {"SessionId": session.session_id, "TokenValue": token, "StreamUrl": session.tickets.stream_url}

        return asyncio.run_coroutine_threadsafe(resume(), self._loop).result()

    def _terminate_session(self, values: dict[str, Any], key: Key) -> dict[str, str]:
        session = self.find(_text(values, "SessionId", 1, 96))
        self._authorize("ssm:TerminateSession", key, self._session_arn(session))
        self._loop.call_soon_threadsafe(session.end, "")
        return {"SessionId": session.session_id}

    def _describe_sessions(self, values: dict[str, Any], key: Key) -> dict[str, Any]:  # noqa: ARG002
        return describe_sessions(list(self.sessions.values()), values)

    # --- instances

    def _describe_instance_information(self, values: dict[str, Any], key: Key) -> dict[str, Any]:  # noqa: ARG002
        if "region" in values:
            return {"InstanceInformationList": []}
        wanted: set[str] | None = None
        for item in [*(values.get("Filters") or []), *(values.get("InstanceInformationFilterList") or [])]:
            if (item.get("Key") or item.get("key")) == "InstanceIds":
                wanted = set(item.get("Values") or item.get("valueSet") or [])
        return {"InstanceInformationList": self._instances.information(wanted, self._clock.now())}

    def _get_connection_status(self, values: dict[str, Any], key: Key) -> dict[str, str]:  # noqa: ARG002
        target = _text(values, "Target", 1, 400)
        connected = "region" not in values and self._instances.is_connected(target)
        return {"Target": target, "Status": "connected" if connected else "notconnected"}

    def _get_document(self, values: dict[str, Any], key: Key) -> dict[str, Any]:  # noqa: ARG002
        name = _text(values, "Name", 1, 256)
        document = documents.DOCUMENTS.get(name)
        if document is None:
            raise LookupError(name)  # moto may have it
        content = json.dumps(self._content(name, document))
        values = {"Name": name, "DocumentVersion": "1", "Status": "Active", "Content": content}
        return values | {"DocumentType": "Session", "DocumentFormat": "JSON"}

    def _content(self, name: str, document: documents.Document) -> dict[str, Any]:
        content: dict[str, Any] = {"schemaVersion": "1.0", "sessionType": document.session_type}
        if name == documents.SHELL:
            content["description"] = "Document to hold regional settings for Session Manager"
            content["inputs"] = self._instances.preferences()
        return content


def owner_of(arn: str) -> str:
    """Return who a caller is, without the name of the role session."""
    return "/".join(arn.split("/")[:2])


def _invalid(name: str, value: object, constraint: str) -> ServiceError:
    shown = "null" if value is None else f"'{value}'"
    text = f"1 validation error detected: Value {shown} at '{name}' failed to satisfy constraint: {constraint}"
    return ServiceError("ValidationException", text)


def _text(values: dict[str, Any], name: str, shortest: int, longest: int) -> str:
    value = values.get(name)
    lower = name[0].lower() + name[1:]
    if value is None:
        raise _invalid(lower, None, "Member must not be null")
    if not isinstance(value, str):
        raise ServiceError("SerializationException", f"{name} is no string")
    if len(value) < shortest:
        raise _invalid(lower, value, f"Member must have length greater than or equal to {shortest}")
    if len(value) > longest:
        raise _invalid(lower, value, f"Member must have length less than or equal to {longest}")
    return value
