"""AssumeRoleWithSAML and AssumeRoleWithWebIdentity: check the roles that a user of an identity provider may assume.

moto accepts every assertion and every token. The providers are those that the user registered with IAM
(CreateSAMLProvider, CreateOpenIDConnectProvider), which moto keeps. Unlike at AWS, an issuer on this machine may use
http.

Source: AWS STS API reference; IAM User Guide, "IAM and AWS STS condition context keys".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services import id_tokens, policy, saml_responses
from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.json_input import Input, JsonObject
from aws_runas.sandbox.services.moto import Moto
from aws_runas.sandbox.services.principals import ACCOUNT
from aws_runas.sandbox.services.sts_parameters import Parameters
from aws_runas.sandbox.state import Clock

if TYPE_CHECKING:
    from moto.iam.models import Role, SAMLProvider

SANDBOX_ISSUER = "sandbox.example"  # issuer of the token that each sandbox writes
TAGS_CLAIM = "https://aws.amazon.com/tags"
SOURCE_IDENTITY_CLAIM = "https://aws.amazon.com/source_identity"
TOO_LONG = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
DEFAULT_DURATION = 3600  # seconds
LONGEST = 43200  # seconds


@dataclass(frozen=True, slots=True)
class Federated:
    """Role session for a federated user.

    Args:
        duration: seconds.
        answer: elements of the reply in addition to the credentials.
    """

    role: Role
    session_name: str
    duration: int
    source_identity: str | None
    answer: str = field(default="")


class Federation:
    """Federated calls of STS.

    Args:
        moto: provides roles and identity providers.
        clock: the clock of the service.
        web_identity_token: accepted unchecked, for users without a provider.
    """

    def __init__(self, moto: Moto, clock: Clock, web_identity_token: str) -> None:
        self._moto = moto
        self._clock = clock
        self._web_identity_token = web_identity_token
        self._keys = id_tokens.KeySets()

    def with_saml(self, parameters: Parameters) -> Federated:
        """Check a call of AssumeRoleWithSAML.

        Raises:
            ServiceError: the assertion is not valid, or the role does not trust it.
        """
        role_arn = parameters.required("RoleArn", 20, 2048)
        principal_arn = parameters.required("PrincipalArn", 20, 2048)
        encoded = parameters.required("SAMLAssertion", 4, 100_000)
        asked = parameters.duration(DEFAULT_DURATION, LONGEST)
        provider = self._saml_provider(principal_arn)
        metadata = saml_responses.read_metadata(provider.saml_metadata_document or "")
        private_key = self._moto.saml_private_keys.get(principal_arn)
        assertion = saml_responses.verify(encoded, metadata, self._clock.now(), private_key)
        name = _session_name(assertion)
        denied = ServiceError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML", 403)
        if (role_arn, principal_arn) not in assertion.roles():
            raise denied
        source_identity = assertion.value("SourceIdentity")
        context = {
            "SAML:aud": assertion.recipient,
            "SAML:iss": assertion.issuer,
            "SAML:sub": assertion.subject,
            "SAML:sub_type": assertion.subject_type,
            "SAML:namequalifier": _name_qualifier(assertion.issuer, provider.name),
            "sts:RoleSessionName": name,
        }
        role = self._trusted(
            role_arn,
            "AssumeRoleWithSAML",
            principal_arn,
            context,
            tags=assertion.tags(),
            source_identity=source_identity,
        )
        if role is None:
            raise denied
        duration = _shorter(asked, parameters, assertion.value("SessionDuration"))
        _check_duration(duration, role)
        answer = (
            f"<Issuer>{escape(assertion.issuer)}</Issuer><Audience>{escape(assertion.recipient)}</Audience>"
            f"<Subject>{escape(assertion.subject)}</Subject><SubjectType>{escape(assertion.subject_type)}</SubjectType>"
            f"<NameQualifier>{context['SAML:namequalifier']}</NameQualifier>"
        )
        return Federated(role, name, duration, source_identity, answer)

    def _saml_provider(self, arn: str) -> SAMLProvider:
        found = [provider for provider in self._moto.iam.saml_providers.values() if provider.arn == arn]
        if not found:
            raise saml_responses.invalid("Specified provider doesn't exist")
        return found[0]

    def with_web_identity(self, parameters: Parameters) -> Federated:
        """Check a call of AssumeRoleWithWebIdentity.

        Raises:
            ServiceError: the token is not valid, or the role does not trust it.
        """
        role_arn = parameters.required("RoleArn", 20, 2048)
        name = parameters.session_name("RoleSessionName")
        token = parameters.required("WebIdentityToken", 4, 20000)
        duration = parameters.duration(DEFAULT_DURATION, LONGEST)
        claims = self._claims(token, role_arn)
        issuer = re.sub("^https?://", "", str(claims.get("iss", "")))
        provider_arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{issuer}"
        tags, source_identity = _tags(claims), _text_or_none(claims.get(SOURCE_IDENTITY_CLAIM))
        audience = claims.get("aud")
        context = {
            f"{issuer}:aud": str(audience[0] if isinstance(audience, list) and audience else audience),
            f"{issuer}:sub": str(claims.get("sub", "")),
            f"{issuer}:amr": str(claims.get("amr", "")),
            "sts:RoleSessionName": name,
        }
        action = "AssumeRoleWithWebIdentity"
        role = self._trusted(role_arn, action, provider_arn, context, tags=tags, source_identity=source_identity)
        if role is None:
            raise ServiceError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403)
        _check_duration(duration, role)
        answer = (
            f"<SubjectFromWebIdentityToken>{escape(str(claims.get('sub', '')))}</SubjectFromWebIdentityToken>"
            f"<Audience>{escape(context[f'{issuer}:aud'])}</Audience>"
            f"<Provider>{escape(provider_arn if issuer != SANDBOX_ISSUER else issuer)}</Provider>"
        )
        return Federated(role, name, duration, source_identity, answer)

    def _claims(self, token: str, role_arn: str) -> JsonObject:
        ours = self._web_identity_token
        simple: JsonObject = {"iss": SANDBOX_ISSUER, "sub": "sandbox", "aud": "sandbox"}
        if hmac.compare_digest(token.encode(), ours.encode()):
            return simple
        if hmac.compare_digest(token.encode(), f"{ours}-expired".encode()):
            text = "Token expired: current date/time must be before the expiration date/time"
            raise ServiceError("ExpiredTokenException", text)
        if token.count(".") != 2:  # not a token of a provider: AWS checks the role first
            provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{SANDBOX_ISSUER}"
            if (
                self._trusted(role_arn, "AssumeRoleWithWebIdentity", provider, {}, tags={}, source_identity=None)
                is None
            ):
                raise ServiceError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403)
        issuer = str(id_tokens.claims_without_check(token).get("iss", ""))
        arn = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{re.sub('^https?://', '', issuer)}"
        provider_found = self._moto.iam.open_id_providers.get(arn)
        if provider_found is None:
            raise id_tokens.invalid("No OpenIDConnect provider found in your account for " + issuer)
        return id_tokens.verify(token, self._keys.find(issuer), list(provider_found.client_id_list), self._clock.now())

    def _trusted(
        self,
        role_arn: str,
        call: str,
        principal: str,
        context: Mapping[str, str],
        *,
        tags: Mapping[str, str],
        source_identity: str | None,
    ) -> Role | None:
        """Return the role if its trust policy allows the call, its tags and its source identity, else None."""
        role = self._moto.role(role_arn)
        if role is None:
            return None
        more = {f"aws:RequestTag/{name}": value for name, value in tags.items()}
        if source_identity:
            more["sts:SourceIdentity"] = source_identity
        actions = [f"sts:{call}", *(["sts:TagSession"] if tags else [])]
        actions += ["sts:SetSourceIdentity"] if source_identity else []
        trust = role.assume_role_policy_document
        allowed = all(policy.evaluate([trust], action, None, {**context, **more}, [principal]) for action in actions)
        return role if allowed else None


def _session_name(assertion: saml_responses.Assertion) -> str:
    name = assertion.value("RoleSessionName")
    if not name:
        raise saml_responses.invalid("RoleSessionName is required in AuthnResponse")
    if not re.fullmatch(r"[\w+=,.@-]{2,64}", name, re.ASCII):
        raise saml_responses.invalid("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}")
    return name


def _shorter(asked: int, parameters: Parameters, text: str | None) -> int:
    """Return the shorter of the requested duration and the duration that the assertion allows, in seconds."""
    if text is None:
        return asked
    if not text.isdigit() or not 900 <= int(text) <= LONGEST:
        raise parameters.invalid("SessionDuration", text, "Member must have value between 900 and 43200")
    return min(asked, int(text))


def _check_duration(duration: int, role: Role) -> None:
    if duration > int(role.max_session_duration or DEFAULT_DURATION):
        raise ServiceError("ValidationError", TOO_LONG)


def _name_qualifier(issuer: str, provider: str) -> str:
    digest = hashlib.sha1(f"{issuer}{ACCOUNT}/{provider}".encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _tags(claims: Input) -> dict[str, str]:
    tags = claims.get(TAGS_CLAIM)
    principal = tags.get("principal_tags", {}) if isinstance(tags, dict) else {}
    if not isinstance(principal, dict):
        return {}
    return {str(name): str(value[0] if isinstance(value, list) else value) for name, value in principal.items()}
