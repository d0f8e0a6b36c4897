"""Passwords: the Go tool's encoding by its own vectors, and who is asked how often."""

from __future__ import annotations

import pytest

from aws_runas.config.profile import Setting
from aws_runas.errors import CredentialsError
from aws_runas.signin.passwords import Passwords, decode

URL = "https://idp.example/saml"
KEY = "...mY not very Secure kEy..."  # of the Go tool's own tests


@pytest.mark.parametrize(
    ("text", "password"),
    [
        ("10$QVYF6DHFP4SRM$zjim/p3MVYKCOgn8y94iV6lD3NMdEs4+T0Ydepare7Q", "short"),
        ("a$YHP4ZOTFYIFMG$gt+Xca1ZauWqgkGfVB+gaLLqDKVoC4BdSYWQurLeJzD9pRhEkJspuCcgp+CYfKLg", "1234567890ABCDEF"),
    ],
)
def test_passwords_of_the_go_tool_are_read(text: str, password: str) -> None:
    assert decode(text, KEY) == password


@pytest.mark.parametrize(
    "text", ["plain", "pa$$word$", "x$a", "100$ABC$xyz", "10$q0lxe$adb", "1f$QVYF6DHFP4SRM$AAAA", ""]
)
def test_everything_else_is_plain_text(text: str) -> None:
    assert decode(text, KEY) == text


def test_another_address_does_not_open_it() -> None:
    text = "a$YHP4ZOTFYIFMG$gt+Xca1ZauWqgkGfVB+gaLLqDKVoC4BdSYWQurLeJzD9pRhEkJspuCcgp+CYfKLg"
    assert decode(text, URL) != "1234567890ABCDEF"


class Asked:
    def __init__(self, *answers: str) -> None:
        self.questions: list[str] = []
        self._answers = list(answers)

    def __call__(self, question: str) -> str:
        self.questions.append(question)
        if not self._answers:
            raise CredentialsError("no terminal", code="terminal-missing")
        return self._answers.pop(0)


def test_a_configured_password_comes_first_and_is_used_once() -> None:
    asked = Asked("second", "third")
    passwords = Passwords(URL, Setting("canary", "RUNAS_PASSWORD"), lambda _: "kept", asked)
    assert [passwords.next("jane", ""), passwords.next("jane", "no"), passwords.next("jane", "no")] == [
        "canary", "second", "third",
    ]  # fmt: skip
    with pytest.raises(CredentialsError) as caught:
        passwords.next("jane", "locked soon")
    assert caught.value.code == "idp-password-wrong"
    assert "RUNAS_PASSWORD" in caught.value.message
    assert "canary" not in repr(passwords)
    assert len(asked.questions) == 2


def test_the_keyring_is_asked_before_the_person() -> None:
    passwords = Passwords(URL, None, {"jane": "kept"}.get, Asked())
    assert passwords.next("jane", "") == "kept"
    with pytest.raises(CredentialsError) as caught:  # nobody to ask: what was wrong counts, not the missing terminal
        passwords.next("jane", "wrong")
    assert (caught.value.code, "the keyring" in caught.value.message) == ("idp-password-wrong", True)


def test_nobody_to_ask_is_said_as_it_is() -> None:
    with pytest.raises(CredentialsError) as caught:
        Passwords(URL, None, lambda _: None, Asked()).next("jane", "")
    assert caught.value.code == "terminal-missing"
