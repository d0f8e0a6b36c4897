"""A certificate authority for tests."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FAR = "stream.example.test"  # a name that only a test's proxy knows


class Certificates:
    """An authority of our own and a certificate that it issued for the far name, for localhost, and for others.

    Args:
        more: names that a client believes to reach.
    """

    def __init__(self, directory: Path, *more: str) -> None:
        key, self.authority = ec.generate_private_key(ec.SECP256R1()), directory / "authority.pem"
        now = datetime.datetime.now(datetime.UTC)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test Authority")])

        def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
            return (
                x509.CertificateBuilder()
                .subject_name(subject)
                .issuer_name(name)
                .public_key(public)
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(days=1))
                .not_valid_after(now + datetime.timedelta(days=1))
                .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False)
            )

        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        root = builder(name, key.public_key()).add_extension(x509.BasicConstraints(True, None), True)
        root = root.add_extension(usage, True)
        root = root.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        self.authority.write_bytes(root.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        own = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(name) for name in ("localhost", FAR, *more)])
        leaf = builder(x509.Name([]), own.public_key()).add_extension(names, True).sign(key, hashes.SHA256())
        both = directory / "server.pem"
        both.write_bytes(
            own.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + leaf.public_bytes(serialization.Encoding.PEM)
        )
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(both)
