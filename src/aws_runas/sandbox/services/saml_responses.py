"""Validation of SAML responses as in STS: signature, issuer, audience, times, recipient, and the attributes of AWS.

Source: SAML 2.0 core, sections 2.3 to 2.7; IAM User Guide, "Configure SAML assertions for the authentication response".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from datetime import datetime
from typing import cast

from aws_runas.dataclass import dataclass
from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.xml_encryption import DecryptionError, Element, decrypt

PROTOCOL = "{urn:oasis:names:tc:SAML:2.0:protocol}"
ASSERTION = "{urn:oasis:names:tc:SAML:2.0:assertion}"
METADATA = "{urn:oasis:names:tc:SAML:2.0:metadata}"
SIGNATURE = "{http://www.w3.org/2000/09/xmldsig#}"
ATTRIBUTES = "https://aws.amazon.com/SAML/Attributes/"
AUDIENCES = ("https://signin.aws.amazon.com/saml", "urn:amazon:webservices")
REDEEMED_WITHIN = 300  # seconds after the assertion was issued
CLOCK_SKEW = 300  # seconds that the provider's clock may be ahead


@dataclass(frozen=True, slots=True)
class Metadata:
    """Metadata of a SAML provider.

    Args:
        certificates: certificates of the signing keys, DER in base64.
    """

    entity_id: str
    certificates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assertion:
    """SAML assertion with a valid signature.

    Args:
        issue_instant, not_before, not_on_or_after: seconds since the epoch.
        attributes: values by the full name of the attribute.
    """

    issuer: str
    subject: str
    subject_type: str
    audiences: tuple[str, ...]
    recipient: str
    issue_instant: float
    not_before: float | None
    not_on_or_after: float | None
    attributes: dict[str, tuple[str, ...]]

    def values(self, name: str) -> tuple[str, ...]:
        """Return the values of an attribute of AWS.

        Args:
            name: without the prefix of AWS.
        """
        return self.attributes.get(ATTRIBUTES + name, ())

    def value(self, name: str) -> str | None:
        """Return the first value of an attribute of AWS, None if there is none."""
        return next(iter(self.values(name)), None)

    def roles(self) -> list[tuple[str, str]]:
        """Return pairs of role ARN and provider ARN; the assertion may have them in either order."""
        pairs = []
        for text in self.values("Role"):
            parts = [part.strip() for part in text.split(",")]
            if len(parts) == 2:
                provider = next((part for part in parts if ":saml-provider/" in part), "")
                role = next((part for part in parts if ":role/" in part), "")
                pairs.append((role, provider))
        return pairs

    def tags(self) -> dict[str, str]:
        """Return the session tags."""
        prefix = ATTRIBUTES + "PrincipalTag:"
        return {name.removeprefix(prefix): found[0] for name, found in self.attributes.items() if prefix in name}


def invalid(message: str) -> ServiceError:
    """Return the AWS error for a response that is not valid."""
    return ServiceError("InvalidIdentityToken", message)


def read_metadata(document: str) -> Metadata:
    """Read a provider's metadata.

    Raises:
        ServiceError: the document is not metadata of an identity provider.
    """
    root = _parse(document.encode(), "Could not parse metadata")
    entity = next(root.iter(f"{METADATA}EntityDescriptor"), None)
    descriptor = None if entity is None else entity.find(f"{METADATA}IDPSSODescriptor")
    if entity is None or descriptor is None:
        raise invalid("Could not parse metadata")
    certificates = tuple(
        "".join((certificate.text or "").split())
        for key in descriptor.iter(f"{METADATA}KeyDescriptor")
        if key.attrib.get("use", "signing") == "signing"
        for certificate in key.iter(f"{SIGNATURE}X509Certificate")
    )
    return Metadata(entity.attrib.get("entityID", ""), certificates)


def verify(encoded: str, metadata: Metadata, now: float, private_key: str | None = None) -> Assertion:
    """Check a response and return its assertion.

    Args:
        encoded: base64, as the browser posts it.
        metadata: the metadata of the provider.
        now: seconds since the epoch.
        private_key: PEM, of a provider that decrypts assertions; None for others.

    Raises:
        ServiceError: the response is malformed, expired or not signed by the provider.
    """
    try:
        content = base64.b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Invalid base64 SAMLResponse") from None
    response = _parse(content, "Your request included an invalid SAML response")
    if response.tag != f"{PROTOCOL}Response":
        raise invalid("Your request included an invalid SAML response")
    assertion = _read(_signed_assertion(response, metadata, private_key))
    if assertion.issuer != metadata.entity_id:
        raise invalid("Issuer not present in specified provider")
    _check_times(assertion, now)
    if not set(assertion.audiences) & set(AUDIENCES):
        raise invalid("Response does not contain the required audience")
    return assertion


def _check_times(assertion: Assertion, now: float) -> None:
    if now > assertion.issue_instant + REDEEMED_WITHIN:
        raise ServiceError("ExpiredTokenException", "Token must be redeemed within 5 minutes of issuance")
    if assertion.not_on_or_after is not None and now >= assertion.not_on_or_after:
        raise ServiceError("ExpiredTokenException", "Response has expired")
    early = max(assertion.not_before or 0.0, assertion.issue_instant)
    if now + CLOCK_SKEW < early:
        raise invalid("Response is not yet valid")


def _parse(content: bytes, message: str) -> Element:
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise invalid(message) from None
    if root.getroottree().docinfo.doctype:
        raise invalid(message)
    return cast(Element, root)


def _signed_assertion(response: Element, metadata: Metadata, private_key: str | None) -> Element:
    """Return the signed assertion, or the assertion in the signed response, decrypted if necessary."""
    issuers = {(issuer.text or "").strip() for issuer in response.iter(f"{ASSERTION}Issuer")}
    if metadata.entity_id not in issuers:
        raise invalid("Issuer not present in specified provider")
    if response.find(f"{SIGNATURE}Signature") is not None:
        inside = _assertions(_verified(response, metadata, "Response signature invalid"), private_key)
    else:
        signed = [item for item in _assertions(response, private_key) if item.find(f"{SIGNATURE}Signature") is not None]
        inside = [_verified(item, metadata, "SAML Assertion signature is invalid") for item in signed]
    if len(inside) != 1 or inside[0].tag != f"{ASSERTION}Assertion":
        raise invalid("Response signature invalid" if not inside else "The response must contain one assertion")
    return inside[0]


def _assertions(response: Element, private_key: str | None) -> list[Element]:
    """Return the assertions of a response, decrypted if necessary."""
    encrypted = response.findall(f"{ASSERTION}EncryptedAssertion")
    if encrypted and private_key is None:
        raise invalid("The provider has no private key to decrypt the assertion with")
    try:
        decrypted = [_parse(decrypt(item, private_key or ""), "Failed to decrypt the assertion") for item in encrypted]
    except DecryptionError:
        raise invalid("Failed to decrypt the assertion") from None
    return [*response.findall(f"{ASSERTION}Assertion"), *decrypted]


def _verified(element: Element, metadata: Metadata, message: str) -> Element:
    from cryptography import x509
    from lxml import etree
    from signxml.exceptions import SignXMLException
    from signxml.verifier import SignatureConfiguration, XMLVerifier

    document = etree.tostring(element)
    configuration = SignatureConfiguration(location="./")
    for certificate in metadata.certificates:
        try:
            trusted = x509.load_der_x509_certificate(base64.b64decode(certificate))
            result = XMLVerifier().verify(document, x509_cert=trusted, expect_config=configuration)
        except (SignXMLException, ValueError, KeyError, etree.LxmlError):
            continue
        first = result[0] if isinstance(result, list) else result
        signed = cast("Element | None", first.signed_xml)
        if signed is not None and signed.tag == element.tag:
            return signed
    raise invalid(message)


def _read(element: Element) -> Assertion:
    name_id = element.find(f"{ASSERTION}Subject/{ASSERTION}NameID")
    path = f"{ASSERTION}Subject/{ASSERTION}SubjectConfirmation/{ASSERTION}SubjectConfirmationData"
    confirmation = element.find(path)
    conditions = element.find(f"{ASSERTION}Conditions")
    limits = [
        _time(found.attrib.get("NotOnOrAfter"))
        for found in (confirmation, conditions)
        if found is not None and found.attrib
    ]
    attributes: dict[str, tuple[str, ...]] = {}
    for attribute in element.iter(f"{ASSERTION}Attribute"):
        attributes[attribute.attrib.get("Name", "")] = tuple(_texts(attribute, "AttributeValue"))
    return Assertion(
        issuer=next(_texts(element, "Issuer"), ""),
        subject="" if name_id is None else (name_id.text or "").strip(),
        subject_type="" if name_id is None else name_id.attrib.get("Format", "").rpartition(":")[2],
        audiences=tuple(_texts(element, "Audience")),
        recipient="" if confirmation is None else confirmation.attrib.get("Recipient", ""),
        issue_instant=_time(element.attrib.get("IssueInstant")) or 0.0,
        not_before=None if conditions is None else _time(conditions.attrib.get("NotBefore")),
        not_on_or_after=min((limit for limit in limits if limit is not None), default=None),
        attributes=attributes,
    )


def _texts(element: Element, name: str) -> Iterator[str]:
    for found in element.iter(f"{ASSERTION}{name}"):
        yield "".join(found.itertext()).strip()


def _time(text: str | None) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        raise invalid("Your request included an invalid SAML response") from None
