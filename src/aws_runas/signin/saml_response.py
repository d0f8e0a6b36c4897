"""Contents of a SAML response that help to choose a role. AWS checks the signature; nothing is authorized here.

Source: SAML 2.0 core; IAM User Guide, "Configure SAML assertions for the authentication response".
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aws_runas.aws import xml_reply
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

PROTOCOL = "{urn:oasis:names:tc:SAML:2.0:protocol}"
ASSERTION = "{urn:oasis:names:tc:SAML:2.0:assertion}"
ATTRIBUTES = "https://aws.amazon.com/SAML/Attributes/"
STATUS_SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
MAX_SIZE = 100_000  # characters, AWS: AssumeRoleWithSAML SAMLAssertion
REDEEMED_WITHIN = 300.0  # seconds, AWS: a response is valid for five minutes
_PAIR = re.compile(r",\s*(?=arn:)")
DURATION_RANGE = (900, 43200)  # seconds, AWS: the attribute SessionDuration


@dataclass(frozen=True, slots=True)
class OfferedRole:
    """A role that the assertion offers, and its SAML provider in IAM."""

    role_arn: str
    principal_arn: str


@dataclass(frozen=True, slots=True)
class SamlResponse:
    """A response.

    Args:
        encoded: base64, as it is sent to AWS; a secret for five minutes.
        roles: offered roles, in the order of the assertion.
        session_duration: seconds, None if the assertion sets none.
        usable_until: seconds since the epoch, after which AWS refuses the response.
        encrypted: only AWS can read the assertion, so its attributes are not known.
    """

    encoded: str
    roles: tuple[OfferedRole, ...]
    issuer: str
    audience: str
    recipient: str
    session_name: str
    session_duration: int | None
    source_identity: str
    tags: tuple[tuple[str, str], ...]
    usable_until: float
    encrypted: bool = False

    def __repr__(self) -> str:
        return f"SamlResponse(issuer={self.issuer!r}, roles={len(self.roles)}, encrypted={self.encrypted})"


def read_response(encoded: str, now: float) -> SamlResponse:
    """Read a response.

    Args:
        encoded: base64 of the XML; line ends and spaces do not matter.
        now: seconds since the epoch.

    Raises:
        CredentialsError: the text is not a SAML response, or the identity provider did not sign the user in.
    """
    text = "".join(encoded.split())
    root = _parse(text)
    _check_status(root)
    assertion = root.find(f"{ASSERTION}Assertion")
    if assertion is None:
        if root.find(f"{ASSERTION}EncryptedAssertion") is None:
            raise _invalid("it has no assertion")
        issuer = _text(root.find(f"{ASSERTION}Issuer"))
        return SamlResponse(text, (), issuer, "", "", "", None, "", (), now + REDEEMED_WITHIN, encrypted=True)
    return _read(text, assertion, now)


def _parse(text: str) -> Element:
    if len(text) > MAX_SIZE:
        raise _invalid(f"it has {len(text)} characters, more than AWS takes")
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("it is not base64") from None
    try:
        root = xml_reply.parse(content)
    except xml_reply.DoctypeError as error:
        raise _invalid(str(error)) from None
    except ValueError:
        raise _invalid("it is not XML") from None
    if root.tag != f"{PROTOCOL}Response":
        raise _invalid("it is XML of another kind")
    return root


def _check_status(root: Element) -> None:
    code = root.find(f"{PROTOCOL}Status/{PROTOCOL}StatusCode")
    value = "" if code is None else code.get("Value", "")
    if value in ("", STATUS_SUCCESS):
        return
    inner = code.find(f"{PROTOCOL}StatusCode") if code is not None else None
    reason = (value if inner is None else inner.get("Value", "")).rpartition(":")[2]
    message = _text(root.find(f"{PROTOCOL}Status/{PROTOCOL}StatusMessage"))
    raise CredentialsError(
        f"the identity provider did not sign you in: {message or reason}",
        code="login-denied",
        hint="ask its administrators whether you may use this application",
    )


def _read(text: str, assertion: Element, now: float) -> SamlResponse:
    values = _attributes(assertion)
    prefix = f"{ATTRIBUTES}PrincipalTag:"
    data = assertion.find(f"{ASSERTION}Subject/{ASSERTION}SubjectConfirmation/{ASSERTION}SubjectConfirmationData")
    return SamlResponse(
        encoded=text,
        roles=_roles(values.get(f"{ATTRIBUTES}Role", ())),
        issuer=_text(assertion.find(f"{ASSERTION}Issuer")),
        audience=_text(next(assertion.iter(f"{ASSERTION}Audience"), None)),
        recipient="" if data is None else data.get("Recipient", ""),
        session_name=_one(values, "RoleSessionName"),
        session_duration=_duration(_one(values, "SessionDuration")),
        source_identity=_one(values, "SourceIdentity"),
        tags=tuple((name.removeprefix(prefix), found[0]) for name, found in values.items() if name.startswith(prefix)),
        usable_until=_usable_until(assertion, data, now),
    )


def _attributes(assertion: Element) -> dict[str, tuple[str, ...]]:
    """Return the values by name. Keycloak may write an attribute with several values as several attributes."""
    found: dict[str, tuple[str, ...]] = {}
    for attribute in assertion.iter(f"{ASSERTION}Attribute"):
        values = ("".join(value.itertext()).strip() for value in attribute.iter(f"{ASSERTION}AttributeValue"))
        texts = tuple(value for value in values if value)
        if texts:
            name = attribute.get("Name", "")
            found[name] = found.get(name, ()) + texts
    return found


def _roles(values: tuple[str, ...]) -> tuple[OfferedRole, ...]:
    """Read the pairs. Other values are ignored: Entra adds roles of its application, such as msiam_access.

    Raises:
        CredentialsError: there are values, but none is a pair.
    """
    roles = tuple(dict.fromkeys(role for role in map(_role, values) if role is not None))
    if values and not roles:
        raise _invalid(f"its role {values[0]!r} is not a role ARN and a provider ARN")
    return roles


def _role(value: str) -> OfferedRole | None:
    """Read one pair, with role and provider in either order; None if the value is not a pair of ARNs."""
    parts = [part.strip() for part in _PAIR.split(value.strip())]  # a role name may contain a comma
    roles = [part for part in parts if ":role/" in part]
    providers = [part for part in parts if ":saml-provider/" in part]
    if len(parts) != 2 or len(roles) != 1 or len(providers) != 1:
        return None
    return OfferedRole(roles[0], providers[0])


def _one(values: dict[str, tuple[str, ...]], name: str) -> str:
    return values.get(ATTRIBUTES + name, ("",))[0]


def _duration(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        return None
    return int(text) if DURATION_RANGE[0] <= int(text) <= DURATION_RANGE[1] else None


def _usable_until(assertion: Element, data: Element | None, now: float) -> float:
    issued = _time(assertion.get("IssueInstant"))
    ends = [now + REDEEMED_WITHIN] + ([issued + REDEEMED_WITHIN] if issued is not None else [])
    for element in (data, assertion.find(f"{ASSERTION}Conditions")):
        end = None if element is None else _time(element.get("NotOnOrAfter"))
        ends += [] if end is None else [end]
    return min(ends)


def _time(text: str | None) -> float | None:
    try:
        moment = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return None if moment is None else moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()


def _text(element: Element | None) -> str:
    return "" if element is None else "".join(element.itertext()).strip()


def _invalid(reason: str) -> CredentialsError:
    return CredentialsError(
        f"the SAML response cannot be used: {reason}",
        code="saml-response-invalid",
        hint="check that saml_auth_url is the address that signs in to AWS",
    )
