"""The one address of all services: find who signed a request and for which service, and pass it on."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

from aws_runas.sandbox.clock import Clock
from aws_runas.sandbox.services import policy, signature
from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply, render
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import ACCOUNT, Key, TemporaryKeys, account_of
from aws_runas.sandbox.services.requests import Request
from aws_runas.sandbox.services.sts import Sts

OF_THE_CALLER = ("ListMFADevices", "ListAccessKeys", "GetUser", "CreateAccessKey")  # IAM, where no UserName is given


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made, for those who count them.

    Args:
        error: AWS's code of the answer, "" when it went well.
        time: seconds since the epoch.
    """

    service: str
    action: str
    access_key_id: str
    arn: str
    region: str
    error: str
    time: float
    user_agent: str
    parameters: dict[str, Any] = field(default_factory=dict)


JsonService = Callable[[str, dict[str, Any], Key, str], Reply]
SECRET_PARAMETERS = (
    "TokenCode",
    "WebIdentityToken",
    "SAMLAssertion",
    "Plaintext",
    "CiphertextBlob",
    "TokenValue",
    "AddPrivateKey",
)


SAML_PROVIDER_CALLS = ("CreateSAMLProvider", "UpdateSAMLProvider")

# Without a signature, STS answers the first two; to the others it answers that the signature is missing.
UNSIGNED = ("AssumeRoleWithWebIdentity", "AssumeRoleWithSAML", "GetCallerIdentity", "AssumeRole", "GetSessionToken")
# What STS makes of X-Amz-Expires: nothing. Source: aws-iam-authenticator, pkg/token/token.go (presignedURLExpiration).
PRESIGNED_LIFETIME = 15 * 60  # seconds


class Gateway:
    """Authenticates and routes.

    Args:
        own: our JSON services by signing name: (action, input, key, region) -> reply; LookupError: moto answers.
        wait_for: blocks until moto has what that service needs.
    """

    def __init__(
        self,
        moto: Moto,
        sts: Sts,
        keys: TemporaryKeys,
        clock: Clock,
        own: dict[str, JsonService],
        wait_for: Callable[[str], None],
        sts_slow: Callable[[], float],
    ) -> None:
        self._moto = moto
        self._sts = sts
        self._keys = keys
        self._clock = clock
        self._own = own
        self._wait_for = wait_for
        self._sts_slow = sts_slow
        self._calls: list[Call] = []
        self._lock = threading.Lock()

    def calls(self) -> list[dict[str, Any]]:
        """Every call so far."""
        with self._lock:
            return [asdict(call) for call in self._calls]

    def forget_calls(self) -> None:
        """Forget the recorded calls."""
        with self._lock:
            self._calls.clear()

    def handle(self, request: Request) -> Reply:
        """Answer one request; may block, so not on the event loop."""
        service, action, region, key, error = "", "", "", None, ""
        values: dict[str, Any] = {}
        try:
            signed = signature.read(request)
            action, values = read_action(request)
            service = signed.service if signed is not None else unsigned_service(action)
            region = signed.region if signed is not None else ""
            if signed is not None:
                key = self.authenticate(request, signed)
            if service == "sts" and self._sts_slow():
                time.sleep(self._sts_slow())
            reply = self._route(service, action, values, region, key, request)
            if reply.status >= 400:
                error = str(reply.status)
        except ServiceError as problem:
            error = problem.code
            reply = render(problem, service)
        self._note(service, action, region, key, error, values, request)
        return reply

    def note(
        self, service: str, action: str, error: str, request: Request, values: Mapping[str, Any] | None = None
    ) -> None:
        """Record an unsigned call that another part of the sandbox has answered.

        Args:
            error: AWS's code of the answer, "" when it went well.
            values: parameters of the call, without secrets.
        """
        self._note(service, action, "", None, error, dict(values or {}), request)

    def authenticate(self, request: Request, signed: signature.Signed, *, any_query_form: bool = False) -> Key:
        """Find whose signature this is, and check it.

        Raises:
            ServiceError: unknown key, expired token, wrong signature; worded for the service.
        """
        words = WORDS.get(signed.service, WORDS["json"])
        key = self._keys.find(signed.access_key_id) or self._moto.user_key(signed.access_key_id)
        if key is None or (key.session_token or "") != (signed.session_token or ""):
            raise ServiceError(*words["unknown"])
        if key.expiration is not None and key.expiration <= self._clock.now():
            raise ServiceError(*words["expired"])
        if signed.presigned and signed.service == "sts":
            signed = replace(signed, expires=PRESIGNED_LIFETIME)
        try:
            signature.check(request, signed, key.secret_access_key, self._clock.now(), any_query_form=any_query_form)
        except ServiceError as problem:
            if words is WORDS["json"]:
                raise ServiceError("InvalidSignatureException", problem.message, 400) from None
            raise
        return key

    def _route(
        self, service: str, action: str, values: dict[str, Any], region: str, key: Key | None, request: Request
    ) -> Reply:
        if service == "sts":
            if key is not None and action == "GetCallerIdentity" and "json" in request.headers.get("accept", ""):
                return caller_identity(key)
            return self._sts.call(action, values, key)
        if key is None:
            raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        if action != "StartSession":  # which knows the resource, and asks itself
            self.authorize(f"{service}:{action}", key, None)
        own = self._own.get(service)
        if own is not None:
            try:
                return own(action, values, key, region)
            except LookupError:
                pass
        self._wait_for(service)
        if service == "iam" and action == "GetUser" and key.principal.role_name and "UserName" not in values:
            raise ServiceError("ValidationError", "Must specify userName when calling with non-User credentials")
        if service == "iam" and action in OF_THE_CALLER and "UserName" not in values and key.principal.user_name:
            request = replace(request, body=request.body + f"&UserName={key.principal.user_name}".encode())
        reply = self._moto.call(request, key)
        if service == "iam" and action in SAML_PROVIDER_CALLS and "AddPrivateKey" in values and reply.status < 400:
            arn = values.get("SAMLProviderArn") or f"arn:aws:iam::{ACCOUNT}:saml-provider/{values.get('Name')}"
            self._moto.saml_private_keys[arn] = values["AddPrivateKey"]
        return reply

    def authorize(
        self, action: str, key: Key, resource: str | None, conditions: Mapping[str, str] | None = None
    ) -> None:
        """Refuse what neither the caller's policies nor its session policies allow.

        Args:
            conditions: condition keys of the service and their values.

        Raises:
            ServiceError: as AWS words it.
        """
        service = action.partition(":")[0]
        if key.temporary and key.principal.user_name and service == "iam" and not key.mfa:
            raise ServiceError("InvalidClientTokenId", "The security token included in the request is invalid", 403)
        context = {"aws:MultiFactorAuthPresent": "true" if key.mfa else "false"} if key.temporary else {}
        context |= {"aws:PrincipalArn": key.principal.arn, **(conditions or {})}
        allowed = policy.evaluate(self._moto.identity_policies(key.principal), action, resource, context)
        if allowed and (key.session_policies or key.federated):
            allowed = policy.evaluate(key.session_policies, action, resource, context)
        if not allowed:
            why = "with an explicit deny in an" if allowed is False else "because no"
            tail = f"{why} identity-based policy" + ("" if allowed is False else f" allows the {action} action")
            where = f" on resource: {resource}" if resource else ""
            text = f"User: {key.principal.arn} is not authorized to perform: {action}{where} {tail}"
            code = {"ec2": "UnauthorizedOperation", "iam": "AccessDenied"}.get(service, "AccessDeniedException")
            raise ServiceError(code, text, 400 if code == "AccessDeniedException" else 403)

    def _note(
        self,
        service: str,
        action: str,
        region: str,
        key: Key | None,
        error: str,
        values: dict[str, Any],
        request: Request,
    ) -> None:
        hidden = (*SECRET_PARAMETERS, "Action", "Version")
        shown = {name: value for name, value in values.items() if name not in hidden and not name.startswith("X-Amz-")}
        arn = "" if key is None else key.principal.arn
        key_id = "" if key is None else key.access_key_id
        agent = request.headers.get("user-agent", "")
        call = Call(service, action, key_id, arn, region, error, time.time(), agent, shown)
        with self._lock:
            self._calls.append(call)
            del self._calls[:-100_000]


WORDS: dict[str, dict[str, tuple[str, str, int]]] = {
    "sts": {
        "unknown": ("InvalidClientTokenId", "The security token included in the request is invalid.", 403),
        "expired": ("ExpiredToken", "The security token included in the request is expired", 403),
    },
    "iam": {
        "unknown": ("InvalidClientTokenId", "The security token included in the request is invalid.", 403),
        "expired": ("ExpiredToken", "The security token included in the request is expired", 403),
    },
    "ec2": {
        "unknown": ("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
        "expired": ("RequestExpired", "Request has expired.", 400),
    },
    "json": {
        "unknown": ("UnrecognizedClientException", "The security token included in the request is invalid.", 400),
        "expired": ("ExpiredTokenException", "The security token included in the request is expired", 400),
    },
}


def read_action(request: Request) -> tuple[str, dict[str, Any]]:
    """Find what is asked for: the action, and its input as a flat form or a JSON object."""
    target = request.headers.get("x-amz-target", "")
    if target:
        try:
            values = json.loads(request.body or b"{}")
        except (ValueError, RecursionError):
            raise ServiceError("SerializationException", "the body is no JSON") from None
        return target.rpartition(".")[2], values if isinstance(values, dict) else {}
    text = request.body.decode("utf-8", "replace") if request.body else request.query
    values = dict(parse_qsl(text, keep_blank_values=True))
    return str(values.get("Action", "")), values


def caller_identity(key: Key) -> Reply:
    """Answer GetCallerIdentity as STS does for ``Accept: application/json``, which clusters send."""
    result = {"Account": account_of(key.principal.arn), "Arn": key.principal.arn, "UserId": key.principal.user_id}
    metadata = {"RequestId": str(uuid.uuid4())}
    body = {"GetCallerIdentityResponse": {"GetCallerIdentityResult": result, "ResponseMetadata": metadata}}
    return json_reply(body, content_type="application/json")


def unsigned_service(action: str) -> str:
    """Where an unsigned request goes."""
    return "sts" if action in UNSIGNED else ""
