"""Values of a sign-in."""

from __future__ import annotations

import re

from aws_runas.signin.pkce import Pkce, new_pkce


def test_the_challenge_is_that_of_rfc_7636() -> None:
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
    assert Pkce(verifier, "s").challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_verifier_has_64_characters_and_no_padding() -> None:
    made = new_pkce(lambda size: bytes(range(size)))
    assert re.fullmatch(r"[A-Za-z0-9_-]{64}", made.verifier)
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", made.state)


def test_two_sign_ins_share_nothing_and_show_nothing() -> None:
    first, second = new_pkce(), new_pkce()
    assert first.verifier != second.verifier
    assert first.state != second.state
    assert first.verifier not in repr(first)
    assert first.state not in repr(first)
