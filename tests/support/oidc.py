"""An OpenID Connect issuer without pages: publishes its keys on loopback and signs ID tokens, right and wrong ones."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from tests.support.loopback import Quiet, serving


@dataclass
class Issuer:
    """The issuer and what it was asked.

    Args:
        paths: of each request so far.
    """

    url: str
    key: RSAKey
    paths: list[str] = field(default_factory=list)

    def token(self, *, key: RSAKey | None = None, **claims: Any) -> str:
        """Sign an ID token for client ``client`` that lives five minutes; claims replace what is there."""
        now = int(time.time())
        whole = {"iss": self.url, "aud": "client", "sub": "jane", "iat": now, "exp": now + 300} | claims
        signing = key or self.key
        return jwt.encode({"alg": "RS256", "kid": signing.kid}, whole, signing)


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """Serve discovery and keys; ends with the block."""
    issuer = Issuer("", RSAKey.generate_key(2048, {"kid": "one"}, auto_kid=False))

    class Handler(Quiet):
        def do_GET(self) -> None:  # noqa: N802
            issuer.paths.append(self.path)
            answers = {
                "/.well-known/openid-configuration": {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/jwks"},
                "/jwks": KeySet([issuer.key]).as_dict(private=False),
            }
            body = json.dumps(answers.get(self.path, {})).encode()
            self.answer(200 if self.path in answers else 404, body)

    with serving(Handler) as issuer.url:
        yield issuer
