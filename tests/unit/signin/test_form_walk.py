"""The walk over login pages, page by page, without a network."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws_runas.errors import CredentialsError
from aws_runas.signin.form_walk import (
    MAX_PAGES,
    FormWalk,
    HttpRequest,
    HttpResponse,
    RedirectFound,
    SamlFound,
    is_redirect,
)
from aws_runas.signin.html_forms import parse_page

START = "https://idp.example/start"
LOGIN = (
    "<form method=post action=/login><input type=hidden name=csrf value='a&amp;b'><input name=user>"
    "<input type=password name=pass><input type=checkbox name=remember value=1>"
    "<button name=go value=now>Sign in</button></form>"
)
CODE = "<form method=post action=/code><input name=totp autocomplete=one-time-code placeholder='Your code'></form>"
DONE = (
    "<form method=post action='https://signin.aws.amazon.com/saml'><input type=hidden name=SAMLResponse value='QUJD'>"
    "<input type=hidden name=RelayState></form><script>document.forms[0].submit()</script>"
)
WRONG = "<p class='login-error'>That is wrong</p>"


def page(text: str, url: str = START, status: int = 200) -> HttpResponse:
    return HttpResponse(status, url, text=text)


def walk_to(*responses: HttpResponse, redirect_uri: str = "") -> FormWalk:
    walk = FormWalk(START, redirect_uri)
    assert walk.next_request() == HttpRequest("GET", START)
    for response in responses:
        walk.receive_response(response)
    return walk


def answered(walk: FormWalk, **answers: str) -> HttpRequest:
    while walk.question is not None:
        walk.answer(answers[walk.question])
    request = walk.next_request()
    assert request is not None
    return request


def test_user_and_password_are_filled_in_and_the_response_is_found() -> None:
    walk = walk_to(page(LOGIN))
    request = answered(walk, username="jane", password="p w&")
    assert (request.method, request.url) == ("POST", "https://idp.example/login")
    assert request.body == "csrf=a%26b&user=jane&pass=p+w%26&go=now"
    assert "p w" not in repr(request)
    walk.receive_response(page(DONE))
    assert walk.result == SamlFound("QUJD", "https://signin.aws.amazon.com/saml")
    assert walk.next_request() is None


def test_a_wrong_password_is_asked_for_again_and_the_user_name_is_not() -> None:
    walk = walk_to(page(LOGIN))
    answered(walk, username="jane", password="bad")
    walk.receive_response(page(WRONG + LOGIN))
    assert (walk.question, walk.is_repeated, walk.reason) == ("password", True, "That is wrong")
    walk.answer("good")
    request = walk.next_request()
    assert request is not None
    assert "user=jane&pass=good" in str(request.body)


def test_a_code_follows_on_a_page_of_its_own_and_may_be_refused() -> None:
    walk = walk_to(page(LOGIN))
    answered(walk, username="jane", password="p")
    walk.receive_response(page(CODE))
    assert (walk.question, walk.is_repeated, walk.prompt_label) == ("code", False, "Your code")
    assert answered(walk, code="123456").body == "totp=123456"
    walk.receive_response(page(CODE))
    assert (walk.question, walk.is_repeated) == ("code", True)


def test_a_second_password_field_with_another_name_takes_the_second_factor() -> None:
    walk = walk_to(page(LOGIN))
    answered(walk, username="jane", password="p")
    walk.receive_response(page("<form method=post action=/2><input type=password name=token></form>"))
    assert walk.question == "code"


def test_a_secret_question_is_asked_and_not_answered_with_the_user_name() -> None:
    question = "<form method=post action=/q><label for=c>Favourite colour?</label><input id=c name=color></form>"
    walk = walk_to(page(LOGIN))
    answered(walk, username="jane", password="secret")
    walk.receive_response(page(question))
    assert (walk.question, walk.prompt_label) == ("code", "Favourite colour?")
    assert answered(walk, code="blue").body == "color=blue"


@pytest.mark.parametrize("field", ["name=userid2", "name=x type=email", "name=x autocomplete=username"])
def test_a_second_provider_may_ask_for_the_user_name_again(field: str) -> None:
    walk = walk_to(page(LOGIN))
    answered(walk, username="jane", password="secret")
    walk.receive_response(page(f"<form method=post action=/second><input {field}></form>"))
    assert answered(walk, username="jane").body in ("userid2=jane", "x=jane")


def test_the_user_name_may_have_a_page_of_its_own() -> None:
    name_only = "<form method=post action=/user><input type=email name=login></form>"
    walk = walk_to(page(name_only))
    assert answered(walk, username="jane").body == "login=jane"
    walk.receive_response(page(name_only))
    assert (walk.question, walk.is_repeated) == ("username", True)


def test_a_form_that_script_would_send_is_sent_on() -> None:
    relay = "<form method=post action=/relay><input type=hidden name=a value=1></form><script>go()</script>"
    walk = walk_to(page(relay))
    assert walk.next_request() == HttpRequest("POST", "https://idp.example/relay", "a=1")


def test_redirects_are_followed_with_get_also_to_other_hosts() -> None:
    walk = walk_to(HttpResponse(302, START, location="https://other.example/a?b=c"))
    assert walk.next_request() == HttpRequest("GET", "https://other.example/a?b=c")


@pytest.mark.parametrize(
    "target", ["http://idp.example/", "ftp://x/", "javascript:alert(1)", "//[", "data:text/html,x"]
)
def test_a_step_down_to_what_is_not_https_is_refused(target: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        walk_to(HttpResponse(302, START, location=target))
    assert caught.value.code == "saml-page-unknown"


def test_a_form_that_would_send_the_password_in_clear_is_refused() -> None:
    walk = walk_to(page(LOGIN.replace("/login", "http://idp.example/login")))
    with pytest.raises(CredentialsError, match="not https"):
        answered(walk, username="jane", password="p")


@pytest.mark.parametrize(
    "text", ["<script>app()</script><div id=root></div>", "", "hello", "<form><input type=file></form>"]
)
def test_a_page_that_needs_a_browser_says_so(text: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        walk_to(page(text, "https://idp.example/x?token=canary"))
    assert caught.value.code == "saml-page-unknown"
    assert "browser" in str(caught.value.hint)
    assert "canary" not in caught.value.message


def test_an_error_page_shows_its_status_and_words_escaped() -> None:
    with pytest.raises(CredentialsError) as caught:
        walk_to(page("<div class=error>no \x1b[31msession</div>", status=500))
    assert "no \\x1b[31msession" in caught.value.message


def test_a_sign_in_that_does_not_end_is_given_up() -> None:
    again = HttpResponse(302, START, location="/again")
    walk = walk_to(*[again] * MAX_PAGES)
    with pytest.raises(CredentialsError, match=f"{MAX_PAGES} pages"):
        walk.receive_response(again)


def test_a_redirect_to_the_client_is_read_and_not_followed() -> None:
    walk = walk_to(HttpResponse(303, START, location="app:/callback?code=c&state=s"), redirect_uri="app:/callback")
    assert walk.result == RedirectFound("app:/callback?code=c&state=s")
    assert walk.next_request() is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("app:/callback?x", True),
        ("app:/callback", True),
        ("app:/callbacks", False),
        ("https://evil/?app:/callback", False),
    ],
)
def test_only_the_address_itself_is_the_redirect(url: str, expected: bool) -> None:
    assert is_redirect(url, "app:/callback") is expected


def test_a_refresh_in_the_page_is_followed() -> None:
    walk = walk_to(page("<meta http-equiv=Refresh content='0; url=/next'>"))
    assert walk.next_request() == HttpRequest("GET", "https://idp.example/next")


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="<>/=\"' abfiputmordnels!-&;\n\0\x1b[]", max_size=200))
def test_any_page_is_read(text: str) -> None:
    parse_page(text, START)
    walk = FormWalk(START)
    walk.next_request()
    with contextlib.suppress(CredentialsError):
        walk.receive_response(page(text))


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ("http://[::1/", "it leads to an invalid address"),
        ("javascript:alert(1)", "it leads to javascript:alert(1), which is not https"),
    ],
)
def test_the_page_of_a_form_that_leads_astray_is_named(action: str, reason: str) -> None:
    walk = FormWalk("https://idp.example/login")
    walk.next_request()
    form = f'<form action="{action}" method=post><input name=user><input type=password name=p></form>'
    walk.receive_response(HttpResponse(200, "https://idp.example/login", "", form))
    walk.answer("bob")
    with pytest.raises(CredentialsError) as caught:
        walk.answer("secret")
    assert caught.value.message == f"cannot sign in at https://idp.example/login: {reason}"
