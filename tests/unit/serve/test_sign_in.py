"""Sign-ins that are started on the page: what it shows, what it asks, and what programs get meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

from aws_runas.errors import CredentialsError
from aws_runas.serve.desk import Desk
from tests.support.serving import TOKEN, FakeCatalogue, FakeProvider, Served, eventually, serving

BEARER = {"Authorization": TOKEN}
KIND = "x-awsrunas-authentication-type"
SECRET = "correct & horse+battery=staple"


def _asks(desk: Desk) -> None:
    """Ask as a sign-in with forms does."""
    if not desk.is_attended():
        raise CredentialsError("idp.example needs a sign-in", code="login-needed", hint="run: aws-runas login admin")
    desk.say("signing in to idp.example")
    assert desk.ask("User name: ") == "jane"
    assert desk.ask_secret("Password: ") == SECRET
    assert desk.choose("role", ["reader", "writer"]) == 1


@pytest.fixture
def served() -> Iterator[Served]:
    catalogue = FakeCatalogue()
    catalogue.providers["admin"] = FakeProvider(asks=_asks)
    with serving("ecs", "admin", catalogue=catalogue) as running:
        yield running


def _question(served: Served) -> Any:
    def find() -> Any:
        sign_in = served.fetch("/profile").json()["sign_in"]
        return sign_in and sign_in["question"]

    return eventually(find, "a question")


def _answer(served: Served, question: Any, text: str) -> int:
    body = urlencode({"question": question["number"], "answer": text})
    return served.change("/answer", body, **{"Content-Type": "application/x-www-form-urlencoded"}).status


def _ended(served: Served) -> Any:
    return eventually(
        lambda: (document := served.fetch("/profile").json())["sign_in"] is None and document, "the end of the sign-in"
    )


def test_a_person_answers_each_question_and_programs_get_credentials(served: Served) -> None:
    refused = served.fetch("/credentials", headers=BEARER)
    assert (refused.status, refused.headers[KIND], refused.json()["code"]) == (401, "SignIn", "login-needed")
    assert served.fetch("/profile").json()["sign_in_required"]

    started = served.change("/sign-in")
    assert (started.status, started.json()["sign_in"] is not None) == (202, True)
    name = _question(served)
    assert (name["text"], name["secret"], name["choices"]) == ("User name", False, [])
    assert served.fetch("/profile").json()["sign_in"]["lines"] == ["signing in to idp.example"]
    assert _answer(served, name, "jane") == 202
    password = eventually(lambda: (asked := _question(served))["number"] != name["number"] and asked)
    assert (password["text"], password["secret"]) == ("Password", True)
    assert _answer(served, name, "too late") == 409  # to the question before
    assert _answer(served, password, SECRET) == 202
    role = eventually(lambda: (asked := _question(served))["choices"] and asked)
    assert role["choices"] == ["reader", "writer"]
    assert _answer(served, role, "1") == 202
    after = _ended(served)
    assert (after["has_credentials"], after["sign_in_required"], after["error"]) == (True, False, None)
    assert served.fetch("/credentials", headers=BEARER).status == 200
    assert SECRET not in str(served.log)


def test_programs_do_not_wait_for_the_person(served: Served) -> None:
    served.fetch("/credentials", headers=BEARER)
    served.change("/sign-in")
    question = _question(served)
    refused = served.fetch("/credentials", headers=BEARER)
    assert (refused.status, refused.json()["code"]) == (401, "login-needed")
    assert served.change("/refresh").json()["code"] == "sign-in-under-way"
    assert served.change("/mfa", "123456").status == 409
    assert served.catalogue.providers["admin"].calls == 2  # the first request, and the sign-in
    _answer(served, question, "")


def test_programs_do_not_wait_for_the_person_of_the_first_sign_in_either(served: Served) -> None:
    served.change("/sign-in")  # nothing was fetched before, so there is no error to repeat
    question = _question(served)
    refused = served.fetch("/credentials", headers=BEARER)
    assert (refused.status, refused.json()["message"]) == (401, "a sign-in is under way")
    _answer(served, question, "")


def test_a_second_click_starts_no_second_sign_in(served: Served) -> None:
    served.fetch("/credentials", headers=BEARER)
    served.change("/sign-in")
    question = _question(served)
    assert served.change("/sign-in").json()["sign_in"]["question"] == question
    assert served.catalogue.providers["admin"].calls == 2
    _answer(served, question, "")
    assert _ended(served)["error"]["code"] == "sign-in-given-up"


def test_a_sign_in_that_was_cancelled_can_start_again(served: Served) -> None:
    served.change("/sign-in")
    _answer(served, _question(served), "")
    after = _ended(served)
    assert (after["error"]["code"], after["sign_in_required"]) == ("sign-in-given-up", True)
    served.change("/sign-in")
    assert _question(served)["text"] == "User name"
    assert served.change("/answer", "").json()["code"] == "answer-missing"
    assert served.change("/answer", "answer=").status == 202


@pytest.mark.parametrize("path", ["/sign-in", "/answer"])
def test_only_a_reader_of_the_page_or_the_token_may_start_or_answer(served: Served, path: str) -> None:
    assert served.fetch(path, "POST", {"Content-Type": "text/plain"}, "x").status == 403
    assert served.fetch(path, "POST", {"Authorization": "guess"}, "x").status == 401
    assert served.fetch(path).status == 405
    assert served.catalogue.providers["admin"].calls == 0


def test_an_answer_to_nothing_is_refused(served: Served) -> None:
    assert served.change("/answer", "answer=x").json()["code"] == "nothing-asked"


@pytest.mark.parametrize("answer", ["2", "-1", "x", "\u0661"])
def test_a_choice_that_is_none_chooses_nothing(answer: str) -> None:
    desk, chosen = Desk(), list[int | None]()
    with desk.attended():
        thread = threading.Thread(target=lambda: chosen.append(desk.choose("role", ["a", "b"])))
        thread.start()
        eventually(lambda: desk.answer(answer), "the question")
        thread.join()
    assert chosen == [None]


def test_a_question_that_nobody_answers_ends_the_sign_in() -> None:
    desk = Desk(patience=0.01)
    with desk.attended(), pytest.raises(CredentialsError) as caught:
        desk.ask_secret("Password: ")
    assert caught.value.code == "sign-in-given-up"


def test_nothing_is_asked_while_nobody_is_at_the_page() -> None:
    desk = Desk()
    with pytest.raises(CredentialsError) as caught:
        desk.ask("User name: ")
    assert caught.value.code == "login-needed"
    with pytest.raises(CredentialsError) as caught:
        desk.ask_passphrase("Passphrase: ")
    assert caught.value.code == "keyring-locked"
    assert desk.choose("role", ["a"]) is None
    assert not desk.answer("x")
