"""Decryption of SAML assertions, for a provider with a private key.

Source: W3C XML Encryption 1.1, sections 5.2 (AES), 5.5.1 and 5.5.2 (RSA); SAML 2.0 core, section 2.3.4.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.padding import AsymmetricPadding

XENC = "{http://www.w3.org/2001/04/xmlenc#}"
CBC = {"http://www.w3.org/2001/04/xmlenc#aes128-cbc": 16, "http://www.w3.org/2001/04/xmlenc#aes256-cbc": 32}
GCM = {"http://www.w3.org/2009/xmlenc11#aes128-gcm": 16, "http://www.w3.org/2009/xmlenc11#aes256-gcm": 32}
OAEP = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"
OAEP_11 = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
PKCS1 = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"
BLOCK, GCM_NONCE = 16, 12  # bytes


class Element(Protocol):
    """Used part of the interface of an lxml element; lxml has no type information."""

    tag: str
    text: str | None
    attrib: Mapping[str, str]

    def find(self, path: str) -> Element | None:
        """Return the first element below this one that matches a path."""

    def findall(self, path: str) -> list[Element]:
        """Return every element below this one that matches a path."""
        ...

    def iter(self, tag: str) -> Iterator[Element]:
        """Iterate over this element and its descendants that have a tag."""
        ...

    def itertext(self) -> Iterator[str]:
        """Iterate over the texts in this element and its descendants."""
        ...


class DecryptionError(Exception):
    """Failure to decrypt an element with this key."""


def decrypt(element: Element, private_key: str) -> bytes:
    """Return the XML inside an EncryptedAssertion.

    Args:
        element: an lxml element.
        private_key: PEM.

    Raises:
        DecryptionError: the key is wrong, an algorithm is not supported, or the data is damaged.
    """
    data = element.find(f"{XENC}EncryptedData")
    wrapped = next(element.iter(f"{XENC}EncryptedKey"), None)
    if data is None or wrapped is None:
        raise DecryptionError("there is no encrypted data")
    try:
        return _decrypted(_algorithm(data), _unwrapped(wrapped, private_key), _cipher_value(data))
    except (ValueError, TypeError, binascii.Error) as error:
        raise DecryptionError(str(error) or "decryption failed") from None


def _unwrapped(wrapped: Element, private_key: str) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(private_key.encode(), None)
    if not isinstance(key, RSAPrivateKey):
        raise DecryptionError("the private key is not an RSA key")
    return key.decrypt(_cipher_value(wrapped), _padding(wrapped))


def _padding(wrapped: Element) -> AsymmetricPadding:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    algorithm = _algorithm(wrapped)
    if algorithm == PKCS1:
        return padding.PKCS1v15()
    if algorithm not in (OAEP, OAEP_11):
        raise DecryptionError(f"{algorithm} is not supported")
    digest: hashes.HashAlgorithm = hashes.SHA1()  # noqa: S303 - the default of the standard
    for method in wrapped.iter("{http://www.w3.org/2000/09/xmldsig#}DigestMethod"):
        if str(method.attrib.get("Algorithm", "")).endswith("sha256"):
            digest = hashes.SHA256()
    mask: hashes.HashAlgorithm = hashes.SHA1()  # noqa: S303
    for method in wrapped.iter("{http://www.w3.org/2009/xmlenc11#}MGF"):
        if str(method.attrib.get("Algorithm", "")).endswith("sha256"):
            mask = hashes.SHA256()
    return padding.OAEP(padding.MGF1(mask), digest, None)


def _decrypted(algorithm: str, key: bytes, data: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if len(key) != CBC.get(algorithm, GCM.get(algorithm, -1)):
        raise DecryptionError(f"{algorithm or 'no algorithm'} with a key of {len(key)} bytes is not supported")
    if algorithm in GCM:
        try:
            return AESGCM(key).decrypt(data[:GCM_NONCE], data[GCM_NONCE:], None)
        except InvalidTag:
            raise DecryptionError("the data was changed") from None
    decryptor = Cipher(algorithms.AES(key), modes.CBC(data[:BLOCK])).decryptor()
    plain = decryptor.update(data[BLOCK:]) + decryptor.finalize()
    if not plain or not 1 <= plain[-1] <= BLOCK:
        raise DecryptionError("the padding is wrong")
    return plain[: -plain[-1]]


def _algorithm(element: Element) -> str:
    method = element.find(f"{XENC}EncryptionMethod")
    return "" if method is None else str(method.attrib.get("Algorithm", ""))


def _cipher_value(element: Element) -> bytes:
    value = element.find(f"{XENC}CipherData/{XENC}CipherValue")
    return base64.b64decode("".join((value.text or "").split()) if value is not None else "", validate=True)
