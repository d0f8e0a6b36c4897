"""A SAML identity provider without pages: makes signed responses, right and wrong ones."""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from signxml import methods
from signxml.signer import XMLSigner

ISSUER = "https://idp.example/metadata"
AUDIENCE = "urn:amazon:webservices"
RECIPIENT = "https://signin.aws.amazon.com/saml"
ACCOUNT = "123456789012"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:saml-provider/idp"
NAMESPACES = (
    'xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" '
    'xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
AWS = "https://aws.amazon.com/SAML/Attributes/"


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def pair(name: str, provider: str = PROVIDER) -> str:
    return f"{role(name)},{provider}"


@functools.cache
def identity(common_name: str = "idp.example") -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """A key and its certificate; one for each name in a test run."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    start = datetime.now(UTC) - timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(start)
    return key, builder.not_valid_after(start + timedelta(days=30)).sign(key, hashes.SHA256())


def metadata(issuer: str = ISSUER, common_name: str = "idp.example") -> str:
    """The document for CreateSAMLProvider."""
    der = identity(common_name)[1].public_bytes(serialization.Encoding.DER)
    return (
        '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" '
        f'xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="{issuer}"><md:IDPSSODescriptor '
        'protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><md:KeyDescriptor use="signing"><ds:KeyInfo>'
        f"<ds:X509Data><ds:X509Certificate>{base64.b64encode(der).decode()}</ds:X509Certificate></ds:X509Data>"
        "</ds:KeyInfo></md:KeyDescriptor></md:IDPSSODescriptor></md:EntityDescriptor>"
    )


def response(
    roles: Sequence[str] = (),
    *,
    now: datetime | None = None,
    issuer: str = ISSUER,
    audience: str = AUDIENCE,
    recipient: str = RECIPIENT,
    lifetime: int = 300,
    attributes: dict[str, str] | None = None,
    sign: str = "response",
    common_name: str = "idp.example",
) -> str:
    """Return a response, base64.

    Args:
        roles: values of AWS's Role attribute.
        lifetime: seconds until NotOnOrAfter.
        attributes: more of AWS's attributes, without their prefix.
        sign: "response", "assertion" or "" for not at all.
    """
    moment = now or datetime.now(UTC)
    start, end = (f"{when:%Y-%m-%dT%H:%M:%SZ}" for when in (moment, moment + timedelta(seconds=lifetime)))
    values = {"RoleSessionName": "jane"} | (attributes or {})
    texts = [_attribute("Role", roles)] + [_attribute(name, [value]) for name, value in values.items()]
    assertion = (
        f'<saml:Assertion {NAMESPACES} ID="_assertion" Version="2.0" IssueInstant="{start}"><saml:Issuer>{issuer}'
        '</saml:Issuer><saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">jane'
        '</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">'
        f'<saml:SubjectConfirmationData NotOnOrAfter="{end}" Recipient="{recipient}"/></saml:SubjectConfirmation>'
        f'</saml:Subject><saml:Conditions NotBefore="{start}" NotOnOrAfter="{end}"><saml:AudienceRestriction>'
        f"<saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
        f"<saml:AttributeStatement>{''.join(texts)}</saml:AttributeStatement></saml:Assertion>"
    )
    if sign == "assertion":
        assertion = _signed(assertion, "_assertion", common_name)
    whole = (
        f'<samlp:Response {NAMESPACES} ID="_response" Version="2.0" IssueInstant="{start}" Destination="{recipient}">'
        f"<saml:Issuer>{issuer}</saml:Issuer>{assertion}</samlp:Response>"
    )
    if sign == "response":
        whole = _signed(whole, "_response", common_name)
    return base64.b64encode(whole.encode()).decode()


def changed(encoded: str, before: str, after: str) -> str:
    """Change a response after it was signed."""
    text = base64.b64decode(encoded).decode()
    assert before in text
    return base64.b64encode(text.replace(before, after, 1).encode()).decode()


def encrypted() -> str:
    """A response whose assertion nobody but AWS can read."""
    return base64.b64encode(
        f'<samlp:Response {NAMESPACES} ID="_r" Version="2.0"><saml:Issuer>{ISSUER}</saml:Issuer>'
        "<saml:EncryptedAssertion>AAAA</saml:EncryptedAssertion></samlp:Response>".encode()
    ).decode()


def _attribute(name: str, values: Sequence[str]) -> str:
    texts = "".join(
        f"<saml:AttributeValue xsi:type='xs:string'>{escape(value)}</saml:AttributeValue>" for value in values
    )
    return f'<saml:Attribute Name="{AWS}{name}">{texts}</saml:Attribute>'


def _signed(text: str, reference: str, common_name: str) -> str:
    key, certificate = identity(common_name)
    signer = XMLSigner(method=methods.enveloped, c14n_algorithm="http://www.w3.org/2001/10/xml-exc-c14n#")
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    signed: Any = signer.sign(etree.fromstring(text), key=key, cert=[pem.decode()], reference_uri=reference)
    return str(etree.tostring(signed).decode())
