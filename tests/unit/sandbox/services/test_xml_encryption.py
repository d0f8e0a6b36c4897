"""Encrypted assertions at the sandbox's STS: every algorithm, both places of the signature, and what is refused."""

from __future__ import annotations

import base64
import os
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lxml import etree

from aws_runas.sandbox.services import saml_responses
from aws_runas.sandbox.services.errors import ServiceError
from tests.support import saml

XENC = "http://www.w3.org/2001/04/xmlenc#"
XENC11 = "http://www.w3.org/2009/xmlenc11#"
METADATA = saml_responses.read_metadata(saml.metadata())
DATA = [(f"{XENC}aes128-cbc", 16), (f"{XENC}aes256-cbc", 32), (f"{XENC11}aes128-gcm", 16), (f"{XENC11}aes256-gcm", 32)]
KEYS: list[tuple[str, Any, str]] = [
    (f"{XENC}rsa-oaep-mgf1p", padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None), ""),
    (f"{XENC}rsa-1_5", padding.PKCS1v15(), ""),
    (
        f"{XENC11}rsa-oaep",
        padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None),
        '<ds:DigestMethod xmlns:ds="http://www.w3.org/2000/09/xmldsig#" Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/>'
        f'<x:MGF xmlns:x="{XENC11}" Algorithm="{XENC11}mgf1sha256"/>',
    ),
]


def private_key(common_name: str = "idp.example") -> str:
    """PEM of the key that the assertion is encrypted for."""
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    return saml.identity(common_name)[0].private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain).decode()


def element(assertion: bytes, data: tuple[str, int] = DATA[0], wrapping: tuple[str, Any, str] = KEYS[0]) -> bytes:
    """Return an EncryptedAssertion, encrypted for the test's identity provider."""
    key, (algorithm, size) = os.urandom(data[1]), data
    if "gcm" in algorithm:
        nonce = os.urandom(12)
        content = nonce + AESGCM(key).encrypt(nonce, assertion, None)
    else:
        vector, missing = os.urandom(16), 16 - len(assertion) % 16
        encryptor = Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor()
        content = vector + encryptor.update(assertion + bytes(missing - 1) + bytes([missing])) + encryptor.finalize()
    assert len(key) == size
    wrapped = saml.identity("idp.example")[0].public_key().encrypt(key, wrapping[1])
    return (
        f'<saml:EncryptedAssertion {saml.NAMESPACES}><e:EncryptedData xmlns:e="{XENC}"><e:EncryptionMethod '
        f'Algorithm="{algorithm}"/><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><e:EncryptedKey>'
        f'<e:EncryptionMethod Algorithm="{wrapping[0]}">{wrapping[2]}</e:EncryptionMethod><e:CipherData><e:CipherValue>'
        f"{base64.b64encode(wrapped).decode()}</e:CipherValue></e:CipherData></e:EncryptedKey></ds:KeyInfo>"
        f"<e:CipherData><e:CipherValue>{base64.b64encode(content).decode()}</e:CipherValue></e:CipherData>"
        "</e:EncryptedData></saml:EncryptedAssertion>"
    ).encode()


def encrypted(*, sign: str = "assertion", replaced: bytes | None = None, **how: Any) -> str:
    """Return a response whose one assertion is encrypted."""
    made = etree.fromstring(base64.b64decode(saml.response([saml.pair("r")], sign=sign)))
    assertion = made.find(f"{saml_responses.ASSERTION}Assertion")
    inner = replaced if replaced is not None else element(etree.tostring(assertion), **how)
    made.replace(assertion, etree.fromstring(inner))
    return base64.b64encode(etree.tostring(made)).decode()


def verify(response: str, key: str | None = None) -> saml_responses.Assertion:
    return saml_responses.verify(response, METADATA, time.time(), key or private_key())


@pytest.mark.parametrize("data", DATA, ids=lambda data: data[0].rpartition("#")[2])
@pytest.mark.parametrize("wrapping", KEYS, ids=lambda wrapping: wrapping[0].rpartition("#")[2])
def test_an_assertion_signed_before_it_was_encrypted_is_read(data: tuple[str, int], wrapping: Any) -> None:
    found = verify(encrypted(data=data, wrapping=wrapping))
    assert found.roles() == [(saml.role("r"), saml.PROVIDER)]


def test_without_a_private_key_it_is_refused() -> None:
    with pytest.raises(ServiceError, match="no private key"):
        saml_responses.verify(encrypted(), METADATA, time.time())


def test_another_key_is_refused() -> None:
    with pytest.raises(ServiceError, match="Failed to decrypt"):
        verify(encrypted(), private_key("another"))


def test_an_assertion_that_nobody_signed_is_refused() -> None:
    with pytest.raises(ServiceError, match="signature invalid"):
        verify(encrypted(sign=""))


def test_a_signature_over_another_assertion_does_not_help() -> None:
    """The response was signed before its assertion was replaced by an encrypted one."""
    with pytest.raises(ServiceError, match="signature invalid"):
        verify(encrypted(sign="response"))


@pytest.mark.parametrize(
    "inner",
    [
        b"<saml:EncryptedAssertion xmlns:saml='urn:oasis:names:tc:SAML:2.0:assertion'>AAAA</saml:EncryptedAssertion>",
        element(b"no xml at all"),
        element(b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>"),
        element(b"<a/>").replace(b"aes128-cbc", b"tripledes-cbc"),
        element(b"<a/>").replace(b"rsa-oaep-mgf1p", b"rot13"),
        element(b"<a/>").replace(b"<e:CipherValue>", b"<e:CipherValue>!"),
        element(b"<a/>", data=DATA[2]).replace(b"aes128-gcm", b"aes256-gcm"),
    ],
)
def test_what_cannot_be_decrypted_is_an_invalid_token(inner: bytes) -> None:
    with pytest.raises(ServiceError) as caught:
        verify(encrypted(replaced=inner))
    assert caught.value.code == "InvalidIdentityToken"
