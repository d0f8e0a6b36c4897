"""Common address of all services: finds the signer and the service of a request, and passes it on."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services import policy, resource_groups, signature
from aws_runas.sandbox.services.calls import Call, CallLog
from aws_runas.sandbox.services.errors import Reply, ServiceError, json_reply, render
from aws_runas.sandbox.services.json_input import Input, JsonObject, JsonService, read_text
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import ACCOUNT, Key, TemporaryKeys, account_of
from aws_runas.sandbox.services.requests import Request
from aws_runas.sandbox.services.sts import Sts
from aws_runas.sandbox.state import SandboxState

SAML_PROVIDER_CALLS = ("CreateSAMLProvider", "UpdateSAMLProvider")
# IAM actions that apply to the caller if there is no UserName.
CALLER_ACTIONS = ("ListMFADevices", "ListAccessKeys", "GetUser", "CreateAccessKey")
# Without a signature, STS answers the first two. For the others it returns an error for the missing signature.
UNSIGNED = ("AssumeRoleWithWebIdentity", "AssumeRoleWithSAML", "GetCallerIdentity", "AssumeRole", "GetSessionToken")
# STS ignores X-Amz-Expires. Source: aws-iam-authenticator, pkg/token/token.go (presignedURLExpiration).
PRESIGNED_LIFETIME = 15 * 60  # seconds


@dataclass(frozen=True, slots=True)
class Refusals:
    """Errors for refused credentials in one protocol: code, message and HTTP status."""

    unknown: tuple[str, str, int]
    expired: tuple[str, str, int]


QUERY_REFUSALS = Refusals(
    ("InvalidClientTokenId", "The security token included in the request is invalid.", 403),
    ("ExpiredToken", "The security token included in the request is expired", 403),
)
EC2_REFUSALS = Refusals(
    ("AuthFailure", "AWS was not able to validate the provided access credentials", 401),
    ("RequestExpired", "Request has expired.", 400),
)
JSON_REFUSALS = Refusals(
    ("UnrecognizedClientException", "The security token included in the request is invalid.", 400),
    ("ExpiredTokenException", "The security token included in the request is expired", 400),
)
REFUSALS = {"sts": QUERY_REFUSALS, "iam": QUERY_REFUSALS, "ec2": EC2_REFUSALS}  # other services speak JSON


class Gateway:
    """Gateway that authenticates requests and passes each one to its service.

    Args:
        keys: the keys that the sandbox has issued.
        own: services of the sandbox by signing name; moto answers all other calls.
        log: records every call.
    """

    def __init__(
        self,
        moto: Moto,
        sts: Sts,
        keys: TemporaryKeys,
        *,
        state: SandboxState,
        own: Mapping[str, JsonService],
        log: CallLog,
    ) -> None:
        self._moto = moto
        self._sts = sts
        self._keys = keys
        self._state = state
        self._own = own
        self._log = log

    def handle(self, request: Request) -> Reply:
        """Answer one request and record it. This may block, so call it outside the event loop."""
        call, error = Call("", "", request), ""
        try:
            signed = signature.read(request)
            action, values = read_action(request, "" if signed is None else signed.service)
            call = replace(call, service=unsigned_service(action), action=action, values=values)
            if signed is not None:
                call = replace(call, service=signed.service, region=signed.region)
                call = replace(call, key=self.authenticate(request, signed))
            if call.service == "sts" and self._state.faults.sts_slow:
                time.sleep(self._state.faults.sts_slow)
            reply = self._route(call)
            if reply.status >= 400:
                error = str(reply.status)
        except ServiceError as problem:
            error = problem.code
            reply = render(problem, call.service)
        self._log.record(call, error)
        return reply

    def authenticate(self, request: Request, signed: signature.Signed, *, any_query_form: bool = False) -> Key:
        """Check a signature and return its key.

        Args:
            any_query_form: accept every canonical form of the query that clients of the data channel use.

        Raises:
            ServiceError: the key is unknown, the token has expired, or the signature is wrong.
        """
        refusals = REFUSALS.get(signed.service, JSON_REFUSALS)
        key = self._keys.find(signed.access_key_id) or self._moto.user_key(signed.access_key_id)
        if key is None or (key.session_token or "") != (signed.session_token or ""):
            raise ServiceError(*refusals.unknown)
        now = self._state.clock.now()
        if key.expiration is not None and key.expiration <= now:
            raise ServiceError(*refusals.expired)
        if signed.presigned and signed.service == "sts":
            signed = replace(signed, expires=PRESIGNED_LIFETIME)
        try:
            signature.check(request, signed, key.secret_access_key, now, any_query_form=any_query_form)
        except ServiceError as problem:
            if refusals is JSON_REFUSALS:
                raise ServiceError("InvalidSignatureException", problem.message, 400) from None
            raise
        return key

    def _route(self, call: Call) -> Reply:
        key, request = call.key, call.request
        if call.service == "sts":
            if key is not None and call.action == "GetCallerIdentity" and "json" in request.headers.get("accept", ""):
                return caller_identity(key)
            return self._sts.call(call.action, {name: str(value) for name, value in call.values.items()}, key)
        if key is None:
            raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        if call.action != "StartSession":  # which passes the resource to its own check
            self.authorize(f"{call.service}:{call.action}", key, None)
        own = self._own.get(call.service)
        if own is not None:
            try:
                return own(call.action, call.values, key, call.region)
            except LookupError:
                pass
        self._state.wait_for(call.service)
        if call.service == "iam" and call.action in CALLER_ACTIONS and "UserName" not in call.values:
            request = _with_caller(call.action, request, key)
        reply = self._moto.call(request, key)
        if call.service == "iam" and call.action in SAML_PROVIDER_CALLS and reply.status < 400:
            self._keep_private_key(call.values)
        return reply

    def _keep_private_key(self, values: Input) -> None:
        """Store the private key of a SAML provider, which moto drops."""
        if private_key := read_text(values, "AddPrivateKey"):
            name = read_text(values, "Name")
            arn = read_text(values, "SAMLProviderArn") or f"arn:aws:iam::{ACCOUNT}:saml-provider/{name}"
            self._moto.saml_private_keys[arn] = private_key

    def authorize(
        self, action: str, key: Key, resource: str | None, conditions: Mapping[str, str] | None = None
    ) -> None:
        """Refuse an action that the caller's policies or session policies do not allow.

        Args:
            action: ``service:Operation``.
            resource: an ARN; None for any resource.
            conditions: condition keys of the service and their values.

        Raises:
            ServiceError: the call is not allowed.
        """
        service = action.partition(":")[0]
        if key.temporary and key.principal.user_name and service == "iam" and not key.grant.mfa:
            raise ServiceError("InvalidClientTokenId", "The security token included in the request is invalid", 403)
        context = {"aws:MultiFactorAuthPresent": "true" if key.grant.mfa else "false"} if key.temporary else {}
        context |= {"aws:PrincipalArn": key.principal.arn, **(conditions or {})}
        allowed = policy.evaluate(self._moto.identity_policies(key.principal), action, resource, context)
        if allowed and (key.grant.session_policies or key.federated):
            allowed = policy.evaluate(key.grant.session_policies, action, resource, context)
        if not allowed:
            raise _denied(action, key, resource, explicitly=allowed is False)


def _with_caller(action: str, request: Request, key: Key) -> Request:
    """Return an IAM request that names its caller, because moto does not know the signer."""
    if action == "GetUser" and key.principal.role_name:
        raise ServiceError("ValidationError", "Must specify userName when calling with non-User credentials")
    if not key.principal.user_name:
        return request
    return replace(request, body=request.body + f"&UserName={key.principal.user_name}".encode())


def _denied(action: str, key: Key, resource: str | None, *, explicitly: bool) -> ServiceError:
    service = action.partition(":")[0]
    if explicitly:
        reason = "with an explicit deny in an identity-based policy"
    else:
        reason = f"because no identity-based policy allows the {action} action"
    target = f" on resource: {resource}" if resource else ""
    text = f"User: {key.principal.arn} is not authorized to perform: {action}{target} {reason}"
    code = {"ec2": "UnauthorizedOperation", "iam": "AccessDenied"}.get(service, "AccessDeniedException")
    return ServiceError(code, text, 400 if code == "AccessDeniedException" else 403)


def read_action(request: Request, service: str = "") -> tuple[str, JsonObject]:
    """Return the action of a request and its input, a form or a JSON object.

    Args:
        service: signing name, "" for an unsigned request. In REST services the path determines the action.

    Raises:
        ServiceError: the body is not JSON although the request names a JSON action.
    """
    if service == "resource-groups":
        return resource_groups.ACTIONS.get(request.path, ""), _json_input(request)
    target = request.headers.get("x-amz-target", "")
    if target:
        return target.rpartition(".")[2], _json_input(request)
    text = request.body.decode("utf-8", "replace") if request.body else request.query
    form = dict(parse_qsl(text, keep_blank_values=True))
    return form.get("Action", ""), {**form}


def _json_input(request: Request) -> JsonObject:
    try:
        values = json.loads(request.body or b"{}")
    except (ValueError, RecursionError):
        raise ServiceError("SerializationException", "the body is not JSON") from None
    return values if isinstance(values, dict) else {}


def caller_identity(key: Key) -> Reply:
    """Answer GetCallerIdentity in the format for ``Accept: application/json``, which clusters send."""
    result = {"Account": account_of(key.principal.arn), "Arn": key.principal.arn, "UserId": key.principal.user_id}
    metadata = {"RequestId": str(uuid.uuid4())}
    body = {"GetCallerIdentityResponse": {"GetCallerIdentityResult": result, "ResponseMetadata": metadata}}
    return json_reply(body, content_type="application/json")


def unsigned_service(action: str) -> str:
    """Return the service that answers an unsigned request, "" for none."""
    return "sts" if action in UNSIGNED else ""
