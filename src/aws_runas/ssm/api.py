"""API calls of a session: start, resume and end it, sign the WebSocket's opening request, get the data key from KMS.

Replies are returned as values. Errors are raised as AwsRunasError and name the missing permission.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from aws_runas.aws import reply
from aws_runas.aws.errors import answer_was_lost, aws_code, aws_message, translate
from aws_runas.aws.session import StartedSession
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, CredentialsError, SessionError, TargetError
from aws_runas.ssm.transport.interfaces import AnsweredByAnother, CredentialsRefused, ServiceUnavailable, SessionGone
from aws_runas.ssm.versions import WAITS_AT_THE_END, at_least

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

# Codes of aws.errors: the service did not answer, or was too busy.
_UNREACHABLE: Final = frozenset(("endpoint-unreachable", "endpoint-timeout", "proxy-failed", "throttled"))
# Codes of aws.errors: something else answered, for instance the login page of a network.
_ANOTHER: Final = frozenset(("endpoint-not-aws", "certificate-untrusted", "proxy-refused"))
NETWORK_LOGIN_REQUIRED: Final = 511  # HTTP status, RFC 6585


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session as DescribeSessions reports it.

    Args:
        session_id, target: as in StartedSession.
        status: ``Connected``, ``Connecting``, ``Disconnected``, ``Terminated``, ``Terminating``, ``Failed``.
    """

    session_id: str
    target: str
    status: str


class SsmApi:
    """The session calls for one identity. Every method blocks, and may be called from any thread.

    Args:
        access: credentials, region and clients of the profile.
        why_offline: target -> hint; called if a target is not connected.
    """

    def __init__(self, access: Access, why_offline: Callable[[str], str] | None = None) -> None:
        self._access = access
        self._why_offline = why_offline

    def prepare(self) -> None:
        """Get the credentials, which may prompt for an MFA code, and create the client.

        Raises:
            AwsRunasError: there are no credentials.
        """
        self._access.provider.credentials()
        self._access.session_client()

    def start_session(
        self,
        target: str,
        document: str | None = None,
        parameters: Mapping[str, Sequence[str]] | None = None,
        reason: str | None = None,
    ) -> StartedSession:
        """Open a session.

        Args:
            target: ``i-...``, ``mi-...`` or ``ecs:CLUSTER_TASK_RUNTIME``.
            document: session document; None for the account's default shell.
            parameters: parameters of the document.
            reason: stored in the session history.

        Raises:
            TargetError: the target is not connected.
            SessionError: not permitted, unknown document, or wrong parameters.
            CredentialsError: there are no credentials.
        """
        _, started = self.start_session_raw(target, document, parameters, reason)
        return started

    def start_session_raw(
        self,
        target: str,
        document: str | None = None,
        parameters: Mapping[str, Sequence[str]] | None = None,
        reason: str | None = None,
    ) -> tuple[dict[str, object], StartedSession]:
        """Open a session like `start_session`, and return the request too, which the external plugin needs.

        Args:
            target, document, parameters, reason: as for `start_session`.
        """
        request: dict[str, object] = {"Target": target}
        if document:
            request["DocumentName"] = document
        if parameters:
            request["Parameters"] = {name: list(values) for name, values in parameters.items()}
        if reason:
            request["Reason"] = reason
        try:
            with translate("ssm", "StartSession", SessionError):
                answer = self._access.session_client().start_session(**request)
                session_id = reply.text(answer, "SessionId", "")
                url, token = reply.text(answer, "StreamUrl", ""), reply.text(answer, "TokenValue", "")
                if not (session_id and url and token):
                    _check_origin(answer)
        except AwsRunasError as error:
            if aws_code(error) == "TargetNotConnected":
                raise self._not_connected(target) from error.__cause__
            raise _start_error(error, target, document) from error.__cause__
        if not (session_id and url and token):
            raise SessionError(
                "StartSession returned no stream",
                code="session-without-stream",
                hint="check AWS_ENDPOINT_URL and the proxy",
            )
        return request, StartedSession(session_id, url, token, target)

    def resume_session(self, session_id: str) -> tuple[str, str]:
        """See transport.interfaces.SessionService."""
        try:
            with translate("ssm", "ResumeSession", SessionError):
                answer = self._access.session_client().resume_session(SessionId=session_id)
                token, url = reply.text(answer, "TokenValue", ""), reply.text(answer, "StreamUrl", "")
                if not token:
                    _check_origin(answer, session_id)
        except AwsRunasError as error:
            raise _resume_error(error, session_id) from error.__cause__
        if not token:
            raise SessionGone(f"the session {session_id} has timed out at the service", code="session-gone")
        return token, url

    def prepare_resume(self) -> None:
        """See transport.interfaces.SessionService."""
        open_ahead = getattr(self._access.session_client(), "open_ahead", None)  # the botocore client does not have it
        if open_ahead is not None:
            open_ahead()

    def terminate_session(self, session_id: str) -> None:
        """See transport.interfaces.SessionService."""
        try:
            with translate("ssm", "TerminateSession", SessionError):
                answer = self._access.session_client().terminate_session(SessionId=session_id)
                _check_origin(answer, session_id)
        except AwsRunasError as error:
            if aws_code(error) != "DoesNotExistException":
                raise

    def describe_session(self, session_id: str) -> SessionState | None:
        """Return the active session with this id, or None.

        Raises:
            AwsRunasError: the service refused or did not answer.
        """
        with translate("ssm", "DescribeSessions", SessionError):
            answer = self._access.client("ssm").describe_sessions(
                State="Active", Filters=[{"key": "SessionId", "value": session_id}]
            )
            for session in reply.mappings(answer, "Sessions"):
                if session.get("SessionId") == session_id:
                    target, status = reply.text(session, "Target", ""), reply.text(session, "Status", "")
                    return SessionState(session_id, target, status)
        return None

    def session_is_active(self, session_id: str) -> bool | None:
        """See transport.interfaces.SessionService."""
        try:
            return self.describe_session(session_id) is not None
        except AwsRunasError:
            return None

    def agent_waits(self, target: str, version: str) -> bool:
        """See transport.interfaces.SessionService."""
        if not version and not target.startswith("ecs:"):
            from aws_runas.aws.ssm import ask_instance_facts

            with suppress(AwsRunasError):
                version = ask_instance_facts(self._access, target).agent_version
        return at_least(version, WAITS_AT_THE_END)

    def stream_headers(self, url: str) -> list[tuple[str, str]]:
        """See transport.interfaces.SessionService."""
        from aws_runas.aws.sigv4 import sign_stream_request

        try:
            credentials = self._access.provider.credentials()
        except CredentialsError as error:
            raise _try_later(error) or error from error
        return sign_stream_request(url, credentials, self._access.region(), time.time())

    def data_key(self, kms_key_id: str, encryption_context: dict[str, str]) -> tuple[bytes, bytes]:
        """See transport.interfaces.SessionService."""
        return generate_data_key(self._access, kms_key_id, encryption_context)

    def endpoint_url(self) -> str:
        """Return the address of Systems Manager, for the external plugin."""
        return str(self._access.client("ssm").meta.endpoint_url)

    def renew_credentials(self) -> None:
        """See transport.interfaces.SessionService."""
        try:
            self._access.provider.credentials(refresh=True)
        except CredentialsError as error:
            raise _try_later(error) or error from error

    def _not_connected(self, target: str) -> TargetError:
        hint = None
        if self._why_offline is not None and not target.startswith("ecs:"):
            hint = self._why_offline(target)
        return TargetError(
            f"{target} is not connected to Systems Manager in {self._access.region()}",
            code="target-not-connected",
            hint=hint or "is it running, is its SSM agent up and permitted, and is this its region and account?",
        )


def _start_error(error: AwsRunasError, target: str, document: str | None) -> AwsRunasError:
    """Return the error of StartSession, with a hint."""
    code = aws_code(error)
    words = aws_message(error)
    if error.code == "access-denied":
        what = f" with document {document}" if document else ""
        return SessionError(
            f"not permitted to start a session on {target}{what}: {words}",
            code="session-denied",
            hint="the identity needs ssm:StartSession on the instance and on the document",
        )
    if answer_was_lost(error):
        error.hint = "check network and proxy; a session that AWS may have opened ends by itself"
    if code in ("InvalidDocument", "InvalidDocumentVersion", "InvalidDocumentContent"):
        return SessionError(
            f"the session document {document or 'SSM-SessionManagerRunShell'} cannot be used: {words or code}",
            code="document-invalid",
            hint="see: aws ssm list-documents --filters Key=DocumentType,Values=Session",
        )
    if code in ("ValidationException", "InvalidParameters", "BadRequest"):
        return SessionError(f"Systems Manager does not accept the session: {words or code}", code="session-invalid")
    return error


def _resume_error(error: AwsRunasError, session_id: str) -> AwsRunasError:
    """Classify an error of ResumeSession: session gone, service unavailable, or credentials refused."""
    words, code = aws_message(error).lower(), aws_code(error)
    is_from_aws = not code.isdigit()  # botocore takes the HTTP status for the code of an answer without one
    if is_from_aws and (code == "DoesNotExistException" or "terminated" in words or "timed out" in words):
        return SessionGone(f"the session {session_id} no longer exists", code="session-gone")
    later = _try_later(error)
    if later is not None:
        return later
    if error.code == "access-denied":
        return CredentialsRefused(
            f"not permitted to resume the session {session_id}",
            code="resume-denied",
            hint="the identity needs ssm:ResumeSession on its sessions",
        )
    if isinstance(error, CredentialsError):
        return error
    return CredentialsRefused(error.message, code="resume-refused", hint=error.hint)


def _try_later(error: AwsRunasError) -> ServiceUnavailable | None:
    """Return the error for a call that may succeed later, None if the answer is final."""
    code, status = aws_code(error), _http_status(error)
    if error.code in _ANOTHER or status == NETWORK_LOGIN_REQUIRED or (code.isdigit() and status < 500):
        return AnsweredByAnother(error.message, code="service-unavailable", hint=error.hint)
    if error.code in _UNREACHABLE or status >= 500:
        return ServiceUnavailable(error.message, code="service-unavailable", hint=error.hint)
    return None


def _check_origin(answer: Mapping[str, object], session_id: str = "") -> None:
    """Check that a reply is from AWS: it has a request id, or names the session. A login page of a network does not.

    Raises:
        ReplyError: it is not.
    """
    has_request_id = bool(reply.mapping(answer, "ResponseMetadata").get("RequestId"))
    if not has_request_id and (not session_id or answer.get("SessionId") != session_id):
        raise reply.ReplyError("RequestId")


def _http_status(error: AwsRunasError) -> int:
    """Return the HTTP status of AWS's answer, 0 if there was none."""
    response = getattr(error.__cause__, "response", None) or {}
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


KEY_LENGTH: Final = 64  # bytes: 32 for each direction, from the agent first


def generate_data_key(access: Access, kms_key_id: str, encryption_context: dict[str, str]) -> tuple[bytes, bytes]:
    """Get a data key from KMS.

    Args:
        access: its credentials sign the request.
        kms_key_id: from the agent's request.
        encryption_context: session and target; the agent must use the same.

    Returns:
        The 64-byte key, which is secret, and the encrypted key for the agent.

    Raises:
        SessionError: KMS refused.
        CredentialsError: there are no credentials.
    """
    try:
        with translate("kms", "GenerateDataKey", SessionError):
            reply = access.client("kms").generate_data_key(
                KeyId=kms_key_id, NumberOfBytes=KEY_LENGTH, EncryptionContext=encryption_context
            )
            keys = reply["Plaintext"], reply["CiphertextBlob"]
            if not all(isinstance(key, bytes) for key in keys):
                raise TypeError("no bytes")
            return keys
    except AwsRunasError as error:
        if error.code != "access-denied":
            raise
        raise SessionError(
            f"not permitted to use the key of this encrypted session, {kms_key_id}",
            code="data-key-denied",
            hint="the identity needs kms:GenerateDataKey on it",
        ) from error.__cause__
