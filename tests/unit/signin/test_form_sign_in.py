"""The driver of the form walk: pages that a server could not make, and pages that are too large."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from aws_runas.aws.http import MAX_BODY, HttpAnswer
from aws_runas.config.profile import FederatedSource
from aws_runas.errors import CredentialsError
from aws_runas.signin.form_sign_in import FormSettings, sign_in_by_forms
from aws_runas.signin.form_walk import SamlFound
from aws_runas.signin.passwords import Passwords
from aws_runas.signin.person import Person

START = "https://idp.example/start"
DONE = b"<form method=post action='https://signin.aws.amazon.com/saml'><input type=hidden name=SAMLResponse value=QUJD>"
LOGIN = b"<form method=post action=/login><input name=user><input type=password name=pass></form>"
SOURCE = FederatedSource("saml", START, "form", "form", "p", "the test")


class Server:
    """Answers in turn, and keeps what it was asked."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def send(self, method: str, url: str, *, form: str | None = None, headers: Mapping[str, str]) -> HttpAnswer:
        self.asked.append(f"{method} {url} {form or ''}".strip())
        assert headers["Accept"] == "text/html"
        status, body = self._answers.pop(0)
        return HttpAnswer(status, {}, body)


def sign_in(server: Server) -> object:
    settings = FormSettings(Passwords(START, None, lambda _: None, lambda _: "secret"), Person(ask=lambda _: "jane"))
    return sign_in_by_forms(SOURCE, START, server, settings, debug=lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_page_that_could_not_be_made_is_asked_for_once_more(status: int) -> None:
    server = Server((status, b"oops"), (200, LOGIN), (200, DONE))
    assert sign_in(server) == SamlFound("QUJD", "https://signin.aws.amazon.com/saml")
    assert server.asked[0] == server.asked[1] == f"GET {START}"
    with pytest.raises(CredentialsError, match=f"answers {status}"):
        sign_in(Server((status, b""), (status, b"")))


def test_a_form_with_the_password_is_never_sent_twice() -> None:
    server = Server((200, LOGIN), (503, b""))
    with pytest.raises(CredentialsError, match="answers 503"):
        sign_in(server)
    assert len(server.asked) == 2


def test_a_page_that_is_cut_off_is_not_read_as_one_without_a_form() -> None:
    with pytest.raises(CredentialsError, match="more than 4 MB"):
        sign_in(Server((200, b"x" * MAX_BODY)))
