"""Security Token Service: checks MFA codes, roles and the limits of AWS.

moto returns the same key for every GetSessionToken, ignores MFA codes and assumes roles that do not exist.

Source: AWS Security Token Service API reference; the messages are those of AWS.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from aws_runas.sandbox.services import policy
from aws_runas.sandbox.services.errors import Reply, ServiceError, xml_reply
from aws_runas.sandbox.services.federation import Federated, Federation
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import ACCOUNT, Grant, Key, Principal, TemporaryKeys, account_of
from aws_runas.sandbox.services.sts_parameters import Parameters
from aws_runas.sandbox.state import Clock

if TYPE_CHECKING:
    from moto.iam.models import Role

CHAINED_LIMIT = 3600  # seconds, "role chaining limits your session to a maximum of one hour"
DEFAULT_ROLE_DURATION = 3600
DEFAULT_SESSION_DURATION = 43200
NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"


class MfaDevices:
    """MFA devices by serial number. Each one stores the codes that it has accepted."""

    def __init__(self, moto: Moto) -> None:
        self._moto = moto
        self._devices: dict[tuple[str, str], Device] = {}
        self._lock = threading.Lock()

    def find(self, user_name: str, serial_number: str) -> Device | None:
        """Return a device if it is enabled for a user, else None."""
        seed = self._moto.mfa_seed(user_name, serial_number)
        if seed is None:
            return None
        with self._lock:
            return self._devices.setdefault((serial_number, seed), Device(seed))


class Sts:
    """STS.

    Args:
        moto: provides users, roles and policies.
        keys: the store of temporary keys.
        devices: check MFA codes.
        clock: the clock of the service.
        web_identity_token: accepted by AssumeRoleWithWebIdentity in addition to the tokens of registered providers.
    """

    def __init__(
        self, moto: Moto, keys: TemporaryKeys, devices: MfaDevices, clock: Clock, web_identity_token: str
    ) -> None:
        self._moto = moto
        self._keys = keys
        self._devices = devices
        self._clock = clock
        self._federation = Federation(moto, clock, web_identity_token)
        self._actions: dict[str, Callable[[Parameters, Key], str]] = {
            "GetCallerIdentity": self._get_caller_identity,
            "GetSessionToken": self._get_session_token,
            "AssumeRole": self._assume_role,
            "GetFederationToken": self._get_federation_token,
            "GetAccessKeyInfo": lambda *_: f"<Account>{ACCOUNT}</Account>",
        }

    def call(self, action: str, values: Mapping[str, str], key: Key | None) -> Reply:
        """Answer one call.

        Args:
            action: as AWS spells it.
            values: the form of the request.
            key: None for an unsigned request, which only the federated calls accept.

        Raises:
            ServiceError: the call is refused.
        """
        parameters = Parameters(values)
        if action == "AssumeRoleWithWebIdentity":
            result = self._assume_federated(self._federation.with_web_identity(parameters))
        elif action == "AssumeRoleWithSAML":
            result = self._assume_federated(self._federation.with_saml(parameters))
        elif key is None:
            raise ServiceError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
        elif action not in self._actions:
            raise ServiceError("InvalidAction", f"Could not find operation {action} for version 2011-06-15")
        elif key.federated and action != "GetCallerIdentity":
            raise ServiceError("AccessDenied", f"Cannot call {action} with federated user credentials", 403)
        else:
            result = self._actions[action](parameters, key)
        return xml_reply(
            f'<{action}Response xmlns="{NAMESPACE}"><{action}Result>{result}</{action}Result>'
            f"<ResponseMetadata><RequestId>{uuid.uuid4()}</RequestId></ResponseMetadata></{action}Response>"
        )

    def _get_caller_identity(self, _parameters: Parameters, key: Key) -> str:
        arn, user_id = escape(key.principal.arn), escape(key.principal.user_id)
        return f"<Arn>{arn}</Arn><UserId>{user_id}</UserId><Account>{account_of(arn)}</Account>"

    def _get_session_token(self, parameters: Parameters, key: Key) -> str:
        if key.temporary:
            raise ServiceError("AccessDenied", "Cannot call GetSessionToken with session credentials", 403)
        duration = parameters.duration(DEFAULT_SESSION_DURATION, 129600)
        mfa = self._check_mfa(parameters, key)
        return self._credentials(self._issue(key.principal, duration, Grant(mfa=mfa)))

    def _get_federation_token(self, parameters: Parameters, key: Key) -> str:
        if key.temporary:
            raise ServiceError("AccessDenied", "Cannot call GetFederationToken with session credentials", 403)
        name = parameters.federated_name("Name")
        duration = parameters.duration(DEFAULT_SESSION_DURATION, 129600)
        arn = f"arn:aws:sts::{ACCOUNT}:federated-user/{name}"
        if not policy.evaluate(self._moto.identity_policies(key.principal), "sts:GetFederationToken", arn, {}):
            text = f"User: {key.principal.arn} is not authorized to perform: sts:GetFederationToken on resource: {arn}"
            raise ServiceError("AccessDenied", text, 403)
        policies = self._session_policies(parameters)
        principal = Principal(arn, f"{ACCOUNT}:{name}", user_name=key.principal.user_name)
        issued = self._issue(principal, duration, Grant(session_policies=policies))
        user_id = f"<FederatedUserId>{ACCOUNT}:{escape(name)}</FederatedUserId>"
        return f"{self._credentials(issued)}<FederatedUser><Arn>{escape(arn)}</Arn>{user_id}</FederatedUser>"

    def _check_mfa(self, parameters: Parameters, key: Key) -> bool:
        """Return True for a valid code. Without a code, return True if the key was created with one.

        Raises:
            ServiceError: the code or the device is wrong.
        """
        serial, code = parameters.text("SerialNumber", 9, 256), parameters.text("TokenCode", 6, 6)
        if serial is None and code is None:
            return key.grant.mfa
        if serial is None or code is None:
            text = "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."
            raise ServiceError("AccessDenied", text, 403)
        device = None if key.temporary else self._devices.find(key.principal.user_name or "", serial)
        if device is None:
            text = (
                "MultiFactorAuthentication failed, unable to validate MFA code.  "
                "Please verify your MFA serial number is valid and associated with this user."
            )
            raise ServiceError("AccessDenied", text, 403)
        if not re.fullmatch(r"\d{6}", code):
            raise parameters.invalid("tokenCode", code, r"Member must satisfy regular expression pattern: [\d]*")
        if not device.accept(code, self._clock.now()):
            text = "MultiFactorAuthentication failed with invalid MFA one time pass code."
            raise ServiceError("AccessDenied", text, 403)
        return True

    def _assume_role(self, parameters: Parameters, key: Key) -> str:
        arn = parameters.required("RoleArn", 20, 2048)
        name = parameters.session_name("RoleSessionName")
        duration = parameters.duration(DEFAULT_ROLE_DURATION, 43200)
        parameters.external_id()  # refuses a malformed id before the role is looked up
        source_identity = parameters.text("SourceIdentity", 2, 64)
        mfa = self._check_mfa(parameters, key)
        role = self._moto.role(arn)
        actions = ["sts:AssumeRole"]
        actions += ["sts:TagSession"] if parameters.tags() else []
        actions += ["sts:SetSourceIdentity"] if source_identity else []
        context = self._context(key, mfa, parameters)
        denied = next((a for a in actions if role is None or not self._may_assume(role, a, key, context)), None)
        if role is None or denied is not None:
            text = f"User: {key.principal.arn} is not authorized to perform: {denied} on resource: {arn}"
            raise ServiceError("AccessDenied", text, 403)
        self._check_duration(duration, int(role.max_session_duration or CHAINED_LIMIT), key)
        policies = self._session_policies(parameters)
        inherited = source_identity or key.grant.source_identity
        grant = Grant(session_policies=policies, source_identity=inherited, chained=key.temporary)
        return self._assumed(role, name, duration, grant)

    def _check_duration(self, duration: int, longest: int, key: Key) -> None:
        if key.temporary and duration > CHAINED_LIMIT:
            text = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
            raise ServiceError("ValidationError", text)
        if duration > longest:
            raise ServiceError(
                "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
            )

    def _context(self, key: Key, mfa: bool, parameters: Parameters) -> dict[str, str]:
        """Return the condition keys of AssumeRole and their values."""
        name, external_id = parameters.session_name("RoleSessionName"), parameters.external_id()
        source_identity = parameters.text("SourceIdentity", 2, 64) or key.grant.source_identity
        context = {"aws:PrincipalArn": key.principal.arn, "aws:PrincipalAccount": ACCOUNT, "sts:RoleSessionName": name}
        if key.temporary or mfa:
            context["aws:MultiFactorAuthPresent"] = "true" if mfa else "false"
        if key.principal.user_name:
            context["aws:username"] = key.principal.user_name
        if mfa:
            context["aws:MultiFactorAuthAge"] = str(int(self._clock.now() - key.issued)) if key.temporary else "0"
        if external_id is not None:
            context["sts:ExternalId"] = external_id
        if source_identity:
            context["sts:SourceIdentity"] = source_identity
        return context | {f"aws:RequestTag/{tag}": value for tag, value in parameters.tags().items()}

    def _may_assume(self, role: Role, action: str, key: Key, context: Mapping[str, str]) -> bool:
        principal = key.principal
        names = [principal.arn]
        if principal.role_name is not None:
            names.append(f"arn:aws:iam::{account_of(principal.arn)}:role/{principal.role_name}")
        trust = role.assume_role_policy_document
        own = policy.evaluate(self._moto.identity_policies(principal), action, role.arn, context)
        if (
            own is False
            or policy.evaluate([trust], action, None, context, [*names, policy.account_root(), ACCOUNT]) is False
        ):
            return False
        if policy.evaluate([trust], action, None, context, names):
            return True
        return own is True and policy.evaluate([trust], action, None, context, [policy.account_root(), ACCOUNT]) is True

    def _session_policies(self, parameters: Parameters) -> tuple[str, ...]:
        text = parameters.text("Policy", 1, 2048)
        texts = [] if text is None else [text]
        for arn in parameters.members("PolicyArns", "arn"):
            documents = self._moto.managed_policy(arn)
            if not documents:
                raise ServiceError("ValidationError", f"Policy {arn} does not exist or is not attachable.")
            texts += documents
        try:
            for document in texts:
                policy.statements(document)
        except (ValueError, AttributeError, TypeError):
            raise ServiceError("MalformedPolicyDocument", "Syntax errors in policy.") from None
        return tuple(texts)

    def _assume_federated(self, who: Federated) -> str:
        grant = Grant(source_identity=who.source_identity)
        return who.answer + self._assumed(who.role, who.session_name, who.duration, grant)

    def _assumed(self, role: Role, name: str, duration: int, grant: Grant) -> str:
        arn = f"arn:aws:sts::{account_of(role.arn)}:assumed-role/{role.name}/{name}"
        principal = Principal(arn, f"{role.id}:{name}", role_name=role.name)
        key = self._issue(principal, duration, grant)
        source_identity, policies = grant.source_identity, grant.session_policies
        role_id = f"<AssumedRoleId>{role.id}:{escape(name)}</AssumedRoleId>"
        user = f"<AssumedRoleUser><Arn>{escape(arn)}</Arn>{role_id}</AssumedRoleUser>"
        identity = f"<SourceIdentity>{escape(source_identity)}</SourceIdentity>" if source_identity else ""
        packed = f"<PackedPolicySize>{min(100, sum(map(len, policies)) // 40)}</PackedPolicySize>" if policies else ""
        return self._credentials(key) + user + identity + packed

    def _issue(self, principal: Principal, duration: int, grant: Grant) -> Key:
        now = self._clock.now()
        return self._keys.issue(principal, now + self._clock.lifetime(duration), now, grant)

    def _credentials(self, key: Key) -> str:
        expiration = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(key.expiration or 0))
        return (
            f"<Credentials><AccessKeyId>{key.access_key_id}</AccessKeyId>"
            f"<SecretAccessKey>{key.secret_access_key}</SecretAccessKey>"
            f"<SessionToken>{key.session_token}</SessionToken><Expiration>{expiration}</Expiration></Credentials>"
        )


STEP = 30  # seconds, RFC 6238 section 4.1
DRIFT = 1  # steps that the clock of a device may be ahead or behind


def code_at(seed: str, step: int) -> str:
    """Return the code of one time step.

    Args:
        seed: base32, as a virtual device shows it.
        step: seconds since the epoch divided by STEP.
    """
    key = base64.b32decode(seed + "=" * (-len(seed) % 8), casefold=True)
    digest = hmac.digest(key, struct.pack(">Q", step), hashlib.sha1)
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


class Device:
    """MFA device: checks codes, accepts each time step once, and can return a code that is still valid.

    Args:
        seed: base32.
    """

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self._used: set[int] = set()
        self._given_out: set[int] = set()
        self._lock = threading.Lock()

    def accept(self, code: str, now: float) -> bool:
        """Accept a code that is current or was returned by `fresh_code`, and was not accepted before.

        Args:
            code: six digits.
            now: seconds since the epoch.
        """
        current = int(now // STEP)
        with self._lock:
            for step in sorted({*range(current - DRIFT, current + DRIFT + 1), *self._given_out}):
                if step not in self._used and hmac.compare_digest(code_at(self.seed, step), code):
                    self._used.add(step)
                    self._given_out.discard(step)
                    return True
        return False

    def fresh_code(self, now: float) -> str:
        """Return a code that was not returned before and will be accepted, even if the current one was used.

        A user would wait until the device shows the next code; a hundred tests cannot wait.

        Args:
            now: seconds since the epoch.
        """
        with self._lock:
            step = int(now // STEP)
            while step in self._used or step in self._given_out:
                step += 1
            self._given_out.add(step)
            return code_at(self.seed, step)
