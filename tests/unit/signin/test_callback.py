"""The callback machine: what decides a sign-in, and what does not."""

from __future__ import annotations

import pytest

from aws_runas.errors import CredentialsError
from aws_runas.signin.callback import (
    MAX_CONNECTIONS,
    Callback,
    CodeReceived,
    Endpoint,
    Outcome,
    SignInRefused,
    TimedOut,
    check_outcome,
)

STATE = "the-state"
ENDPOINT = Endpoint(4000, start_path="/start/x", start_address="https://idp.example/authorize?state=the-state")
GOOD = "/oauth/callback?code=the-code&state=the-state"


class Browser:
    """Sends requests to a machine at virtual times."""

    def __init__(self, endpoint: Endpoint = ENDPOINT, timeout: float = 600.0) -> None:
        self.callback = Callback(endpoint, STATE, 0.0, timeout)
        self.now = 1.0
        self._count = 0

    def send(self, target: str, *, host: str = "127.0.0.1:4000", method: str = "GET", more: str = "") -> str:
        return self.raw(f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode())

    def raw(self, data: bytes, *, step: int = 0) -> str:
        self._count += 1
        self.callback.receive_connect(self._count, self.now)
        for start in range(0, len(data), step or len(data)):
            self.callback.receive_data(self._count, data[start : start + (step or len(data))], self.now)
        replies = self.callback.data_to_send()
        return "".join(content.decode() for number, content in replies if number == self._count)


@pytest.fixture
def browser() -> Browser:
    return Browser()


def status(reply: str) -> int:
    return int(reply.split(" ")[1])


def test_the_right_state_and_a_code_end_the_wait_on_a_clean_address(browser: Browser) -> None:
    reply = browser.send(GOOD)
    assert browser.callback.outcome == CodeReceived("the-code")
    assert status(reply) == 302
    assert "\r\nLocation: /oauth/callback/done\r\n" in reply
    assert "the-code" not in reply
    browser.callback.conclude(success=True)
    page = browser.send("/oauth/callback/done")
    assert status(page) == 200
    assert "You are signed in" in page
    assert browser.callback.is_shown


def test_the_last_page_says_when_it_failed(browser: Browser) -> None:
    browser.send(GOOD)
    browser.callback.conclude(success=False)
    assert "did not succeed" in browser.send("/oauth/callback/done")


@pytest.mark.parametrize("step", [1, 7])
def test_a_request_may_arrive_in_pieces(browser: Browser, step: int) -> None:
    assert (
        status(browser.raw(f"GET {GOOD} HTTP/1.1\r\nHost: 127.0.0.1:4000\r\n\r\ntrailing".encode(), step=step)) == 302
    )


@pytest.mark.parametrize(
    ("target", "host", "method", "expected"),
    [
        ("/oauth/callback?code=c&state=wrong", "127.0.0.1:4000", "GET", 400),
        ("/oauth/callback?code=c", "127.0.0.1:4000", "GET", 400),
        ("/oauth/callback?state=the-state", "127.0.0.1:4000", "GET", 400),
        ("/oauth/callback?code=c&state=the-state&state=the-state", "127.0.0.1:4000", "GET", 400),
        ("/oauth/callback?code=c&code=d&state=the-state", "127.0.0.1:4000", "GET", 400),
        ("/oauth/callback?error=access_denied&state=wrong", "127.0.0.1:4000", "GET", 400),
        ("/favicon.ico", "127.0.0.1:4000", "GET", 404),
        ("/", "127.0.0.1:4000", "GET", 404),
        ("/oauth/callback/done", "127.0.0.1:4000", "GET", 404),
        (GOOD, "evil.example:4000", "GET", 400),
        (GOOD, "127.0.0.1:4001", "GET", 400),
        (GOOD, "127.0.0.1", "GET", 400),
        (GOOD, "localhost:4000", "GET", 400),
        (GOOD, "127.0.0.1:4000", "POST", 405),
        (GOOD, "127.0.0.1:4000", "HEAD", 405),
        ("http://127.0.0.1:4000" + GOOD, "127.0.0.1:4000", "GET", 400),
    ],
)
def test_what_is_no_answer_is_refused_and_the_wait_goes_on(
    browser: Browser, target: str, host: str, method: str, expected: int
) -> None:
    assert status(browser.send(target, host=host, method=method)) == expected
    assert browser.callback.outcome is None
    assert status(browser.send(GOOD)) == 302


def test_two_host_headers_and_none_are_refused(browser: Browser) -> None:
    assert status(browser.send(GOOD, more="Host: 127.0.0.1:4000\r\n")) == 400
    assert status(browser.raw(f"GET {GOOD} HTTP/1.1\r\n\r\n".encode())) == 400
    assert status(browser.raw(b"\x16\x03\x01\r\n\r\n")) == 400
    assert browser.callback.outcome is None


def test_a_second_answer_is_a_conflict_and_changes_nothing(browser: Browser) -> None:
    browser.send(GOOD)
    assert status(browser.send("/oauth/callback?code=another&state=the-state")) == 409
    assert status(browser.send("/oauth/callback?error=x&state=the-state")) == 409
    assert browser.callback.outcome == CodeReceived("the-code")


def test_a_refusal_is_shown_without_what_could_steer_a_terminal(browser: Browser) -> None:
    target = "/oauth/callback?error=access_denied&error_description=no%1b[2J%0d%0a+way%e2%80%ae&state=the-state"
    assert status(browser.send(target)) == 302
    assert browser.callback.outcome == SignInRefused("access_denied", "no[2J way\\u202e")


def test_the_start_address_leads_to_the_authorization(browser: Browser) -> None:
    reply = browser.send("/start/x")
    assert status(reply) == 302
    assert "\r\nLocation: https://idp.example/authorize?state=the-state\r\n" in reply
    assert status(browser.send("/start/y")) == 404


def test_every_reply_forbids_scripts_storing_and_referrers(browser: Browser) -> None:
    replies = [browser.send(GOOD), browser.send("/x"), browser.send(GOOD), browser.send("/oauth/callback/done")]
    for reply in replies:
        assert "\r\nCache-Control: no-store\r\n" in reply
        assert "\r\nReferrer-Policy: no-referrer\r\n" in reply
        assert "\r\nContent-Security-Policy: default-src 'none'\r\n" in reply
        assert "<script" not in reply


def test_ten_minutes_of_silence_end_the_wait(browser: Browser) -> None:
    assert browser.callback.next_timer() == 600.0
    browser.callback.handle_timer(599.9)
    assert browser.callback.outcome is None
    browser.callback.handle_timer(600.0)
    assert browser.callback.outcome == TimedOut(had_wrong_state=False)


def test_an_answer_after_the_end_is_too_late(browser: Browser) -> None:
    browser.now = 601.0
    assert status(browser.send(GOOD)) == 409
    assert browser.callback.outcome == TimedOut(had_wrong_state=False)


def test_limits_of_a_request(browser: Browser) -> None:
    assert status(browser.raw(b"GET /" + b"a" * 20_000)) == 431
    browser.callback.receive_connect(99, 10.0)
    browser.callback.receive_data(99, b"GET / HT", 10.0)
    assert browser.callback.next_timer() == 15.0
    browser.callback.handle_timer(15.0)
    assert [number for number, content in browser.callback.data_to_send() if b" 408 " in content] == [99]
    assert browser.callback.outcome is None


def test_twenty_connections_at_most(browser: Browser) -> None:
    for number in range(100, 100 + MAX_CONNECTIONS):
        browser.callback.receive_connect(number, 1.0)
    browser.callback.receive_connect(200, 1.0)
    assert [(number, content[9:12]) for number, content in browser.callback.data_to_send()] == [(200, b"503")]
    browser.callback.receive_disconnect(100)
    assert status(browser.send(GOOD)) == 302


def test_another_user_of_the_machine_is_refused(browser: Browser) -> None:
    browser.callback.receive_connect(7, 1.0, is_own=False)
    browser.callback.receive_data(7, f"GET {GOOD} HTTP/1.1\r\nHost: 127.0.0.1:4000\r\n\r\n".encode(), 1.0)
    assert [content[9:12] for _, content in browser.callback.data_to_send()] == [b"403"]
    assert browser.callback.outcome is None


@pytest.mark.parametrize(
    "line", [f"http://127.0.0.1:4000{GOOD}", f"  https://127.0.0.1:4000{GOOD} \n", "code=the-code&state=the-state"]
)
def test_a_pasted_address_counts_like_a_callback(browser: Browser, line: str) -> None:
    assert browser.callback.receive_line(line, 1.0)
    assert browser.callback.outcome == CodeReceived("the-code")


@pytest.mark.parametrize("line", ["", "hello", "http://[?state=x", "http://x/?code=c&state=wrong", "\0"])
def test_a_line_that_is_no_answer_changes_nothing(browser: Browser, line: str) -> None:
    assert not browser.callback.receive_line(line, 1.0)
    assert browser.callback.outcome is None


def test_another_path_hostname_and_port() -> None:
    browser = Browser(Endpoint(5000, "/", ("localhost",)))
    assert status(browser.send("/?code=c&state=the-state", host="127.0.0.1:5000")) == 400
    assert status(browser.send("/?code=c&state=the-state", host="LOCALHOST:5000")) == 302
    assert browser.callback.outcome == CodeReceived("c")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (SignInRefused("access_denied", "no"), "login-denied"),
        (TimedOut(had_wrong_state=False), "login-timeout"),
        (TimedOut(had_wrong_state=True), "login-state-mismatch"),
    ],
)
def test_each_failure_has_its_error(outcome: Outcome, code: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        check_outcome(outcome, "sso-session corp", "aws-runas login")
    assert caught.value.code == code


def test_a_wrong_state_is_remembered_for_the_error(browser: Browser) -> None:
    browser.send("/oauth/callback?code=c&state=wrong")
    browser.callback.handle_timer(600.0)
    assert browser.callback.outcome == TimedOut(had_wrong_state=True)


def test_a_code_is_in_no_repr() -> None:
    assert "the-code" not in repr(CodeReceived("the-code"))
