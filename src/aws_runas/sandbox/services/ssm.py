"""Session Manager: StartSession and related calls, JSON 1.1.

Source: AWS Systems Manager API reference.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime

from aws_runas.sandbox.instances import Instances
from aws_runas.sandbox.options import Faults
from aws_runas.sandbox.services import documents
from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply
from aws_runas.sandbox.services.json_input import (
    Input,
    JsonObject,
    invalid,
    page,
    read_object,
    read_objects,
    read_text,
    read_texts,
    require_text,
)
from aws_runas.sandbox.services.principals import ACCOUNT, Key
from aws_runas.sandbox.services.session import Plan, Session
from aws_runas.sandbox.services.tickets import Tickets
from aws_runas.sandbox.state import SandboxState

FAILURES = {"InternalServerError": 500, "ThrottlingException": 400, "AccessDeniedException": 400}
Authorize = Callable[..., None]
DELAY_STEP = 0.02  # seconds between two checks of start_slow and end_slow
MAX_DESCRIBED = 200  # sessions in one answer of DescribeSessions
DOCUMENT_CHECK = "ssm:SessionDocumentAccessCheck"


class SsmService:
    """Session Manager.

    Args:
        loop: sessions run on it; the API is called from other threads.
        instances: the instances with their agents.
        state: clock, region and faults.
        authorize: raises ServiceError if the caller's policies do not allow a call.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, instances: Instances, state: SandboxState, authorize: Authorize
    ) -> None:
        self._loop = loop
        self._instances = instances
        self._state = state
        self._region = state.region
        self._authorize = authorize
        self._starts: deque[float] = deque()
        self._starts_lock = threading.Lock()
        self.base_url = ""
        self.sessions: dict[str, Session] = {}
        self._actions: dict[str, Callable[[Input, Key], object]] = {
            "StartSession": self._start_session,
            "ResumeSession": self._resume_session,
            "TerminateSession": self._terminate_session,
            "DescribeSessions": self._describe_sessions,
            "DescribeInstanceInformation": self._describe_instance_information,
            "GetConnectionStatus": self._get_connection_status,
            "GetDocument": self._get_document,
        }

    def call(self, action: str, values: Input, key: Key, region: str) -> Reply:
        """Answer one call.

        Args:
            action: as AWS spells it.
            values: input of the call.
            key: the key that signed the request.
            region: the region that the request was signed for.

        Raises:
            LookupError: moto answers the call.
            ServiceError: the call is refused.
        """
        handler = self._actions.get(action)
        if handler is None:
            raise LookupError(action)
        if region != self._region:
            values = {**values, "region": region}
        return json_reply(handler(values, key))

    # --- sessions

    def _delay(self, seconds: Callable[[Faults], float]) -> None:
        """Wait for the time that a fault names; a change of the fault also applies to waiting calls."""
        begun = time.monotonic()
        while time.monotonic() < begun + seconds(self._state.faults):
            time.sleep(DELAY_STEP)

    def _start_session(self, values: Input, key: Key) -> dict[str, str]:
        self._delay(lambda faults: faults.start_slow)
        faults = self._state.faults
        if faults.start_fails:
            status = FAILURES.get(faults.start_fails, 400)
            raise ServiceError(faults.start_fails, "The sandbox was told to fail StartSession.", status)
        self._check_start_rate(faults.start_rate)
        target = require_text(values, "Target", 1, 400)
        reason = require_text(values, "Reason", 1, 256) if "Reason" in values else ""
        document = read_text(values, "DocumentName")
        self._authorize_start(target, document, key)
        if "region" in values or not self._instances.is_connected(target):
            raise ServiceError("TargetNotConnected", f"{target} is not connected.")
        return self.open_session(documents.plan(target, document, read_object(values, "Parameters"), reason), key)

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

    def _authorize_start(self, target: str, document: str, key: Key) -> None:
        """Check the permission on the instance and on the document.

        Without a document name, the permission on the default document is checked only if the policy has the condition
        ssm:SessionDocumentAccessCheck.
        """
        resource = self._resource(target)
        if not document:
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
        """Open a session and let the agent join it. Do not call this from the thread of the event loop.

        Args:
            plan: the plan of the session.
            key: the key that signed the request.
        """
        if self._instances.encrypting:
            self._state.wait_for("kms")
        return asyncio.run_coroutine_threadsafe(self._open(plan, key), self._loop).result()

    async def _open(self, plan: Plan, key: Key) -> dict[str, str]:
        name = key.principal.user_name or key.principal.arn.rpartition("/")[2]
        session_id = f"{name}-{secrets.token_hex(9)[:17]}"
        tickets = Tickets(session_id, self.base_url, self._state.faults)
        session = Session(tickets, key.principal.arn, plan, self._state.clock.lifetime, self._ended)
        self.sessions[session_id] = session
        self._instances.join(session)
        return {
            "SessionId": session_id,
            "TokenValue": tickets.new_token(),
            "StreamUrl": tickets.stream_url,
        }

    def _ended(self, _session: Session) -> None:
        ended = [session for session in self.sessions.values() if session.ended is not None]
        for old in ended[:-1000]:
            del self.sessions[old.session_id]

    def find(self, session_id: str) -> Session:
        """Return a session, ended or not.

        Raises:
            ServiceError: there is no session with that id.
        """
        session = self.sessions.get(session_id)
        if session is None:
            raise ServiceError("DoesNotExistException", f"Session {session_id} does not exist.")
        return session

    def _resume_session(self, values: Input, key: Key) -> dict[str, str]:
        faults = self._state.faults
        if faults.resume_fails:
            status = FAILURES.get(faults.resume_fails, 400)
            raise ServiceError(faults.resume_fails, "The sandbox was told to fail ResumeSession.", status)
        session = self.find(require_text(values, "SessionId", 1, 96))
        self._authorize("ssm:ResumeSession", key, self._session_arn(session))
        if owner_of(session.owner) != owner_of(key.principal.arn):
            resource = self._session_arn(session)
            text = f"User: {key.principal.arn} is not authorized to perform: ssm:ResumeSession on resource: {resource}"
            raise ServiceError("AccessDeniedException", text)
        if session.ended is not None:
            return {"SessionId": session.session_id}  # no token; means "timed out" to the official plugin

        async def resume() -> dict[str, str]:
            token = session.tickets.resume()
            return {"SessionId": session.session_id, "TokenValue": token, "StreamUrl": session.tickets.stream_url}

        return asyncio.run_coroutine_threadsafe(resume(), self._loop).result()

    def _terminate_session(self, values: Input, key: Key) -> dict[str, str]:
        self._delay(lambda faults: faults.end_slow)
        session = self.find(require_text(values, "SessionId", 1, 96))
        self._authorize("ssm:TerminateSession", key, self._session_arn(session))
        self._loop.call_soon_threadsafe(session.end, "")
        return {"SessionId": session.session_id}

    def _describe_sessions(self, values: Input, key: Key) -> JsonObject:  # noqa: ARG002
        return describe_sessions(list(self.sessions.values()), values)

    # --- instances

    def _describe_instance_information(self, values: Input, key: Key) -> JsonObject:  # noqa: ARG002
        if "region" in values:
            return {"InstanceInformationList": []}
        wanted: set[str] | None = None
        for item in read_objects(values, "Filters"):
            if read_text(item, "Key") == "InstanceIds":
                wanted = set(read_texts(item, "Values"))
        for item in read_objects(values, "InstanceInformationFilterList"):  # the older parameter
            if read_text(item, "key") == "InstanceIds":
                wanted = set(read_texts(item, "valueSet"))
        return {"InstanceInformationList": self._instances.information(wanted, self._state.clock.now())}

    def _get_connection_status(self, values: Input, key: Key) -> dict[str, str]:  # noqa: ARG002
        target = require_text(values, "Target", 1, 400)
        connected = "region" not in values and self._instances.is_connected(target)
        return {"Target": target, "Status": "connected" if connected else "notconnected"}

    def _get_document(self, values: Input, key: Key) -> JsonObject:  # noqa: ARG002
        name = require_text(values, "Name", 1, 256)
        document = documents.DOCUMENTS.get(name)
        if document is None:
            raise LookupError(name)  # moto may have it
        content = json.dumps(self._content(name, document))
        described: JsonObject = {"Name": name, "DocumentVersion": "1", "Status": "Active", "Content": content}
        return described | {"DocumentType": "Session", "DocumentFormat": "JSON"}

    def _content(self, name: str, document: documents.Document) -> JsonObject:
        content: JsonObject = {"schemaVersion": "1.0", "sessionType": document.session_type}
        if name == documents.SHELL:
            content["description"] = "Document to hold regional settings for Session Manager"
            content["inputs"] = self._instances.preferences()
        return content


def owner_of(arn: str) -> str:
    """Return the ARN of a caller without the role session name."""
    return "/".join(arn.split("/")[:2])


def describe_sessions(sessions: Iterable[Session], values: Input) -> JsonObject:
    """Answer DescribeSessions: the sessions in a state that match every filter, in pages.

    Raises:
        ServiceError: the state or a filter is unknown, or the page size is out of range.
    """
    state = read_text(values, "State")
    if state not in ("Active", "History"):
        raise invalid("state", state or None, "Member must satisfy enum value set: [History, Active]")
    filters = [_filter(read_text(item, "key"), read_text(item, "value")) for item in read_objects(values, "Filters")]
    matching = [session for session in sessions if (session.ended is None) is (state == "Active")]
    rows = [_described(session) for session in matching if all(passes(session) for passes in filters)]
    return page("Sessions", rows, values, MAX_DESCRIBED)


def _status(session: Session) -> str:
    return "Terminated" if session.ended is not None else "Connected" if session.client is not None else "Connecting"


def _described(session: Session) -> JsonObject:
    row: JsonObject = {
        "SessionId": session.session_id,
        "Target": session.plan.target,
        "Status": _status(session),
        "StartDate": session.started,
        "DocumentName": session.plan.document,
        "Owner": session.owner,
        "Reason": session.plan.reason,
        "AccessType": "Standard",
    }
    return row | ({"EndDate": session.ended} if session.ended is not None else {})


def _filter(key: str, value: str) -> Callable[[Session], bool]:
    """Return the test of one filter of DescribeSessions."""
    texts: dict[str, Callable[[Session], str]] = {
        "SessionId": lambda session: session.session_id,
        "Target": lambda session: session.plan.target,
        "Owner": lambda session: session.owner,
        "Status": _status,
        "AccessType": lambda _: "Standard",
    }
    if key in texts:
        return lambda session: texts[key](session) == value
    if key not in ("InvokedAfter", "InvokedBefore"):
        raise invalid("filters", key, "Member must satisfy enum value set of filter keys")
    try:
        moment = datetime.fromisoformat(value).timestamp()
    except ValueError:
        raise invalid("filters", value, "Member must be a timestamp such as 2018-08-29T00:00:00Z") from None
    if key == "InvokedAfter":
        return lambda session: session.started >= moment
    return lambda session: session.started < moment
