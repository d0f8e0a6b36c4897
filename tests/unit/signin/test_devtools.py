"""The driven browser as messages: what is watched, what is held back, what is let through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aws_runas.signin.devtools import DevTools, WindowClosed, is_saml_address
from aws_runas.signin.form_walk import RedirectFound, SamlFound

START = "https://idp.example/start?x=y"


class Browser:
    """The other end of the pipe."""

    def __init__(self, redirect_uri: str = "") -> None:
        self.machine = DevTools(START, redirect_uri)
        self.sent: list[dict[str, Any]] = []
        self.take()

    def take(self) -> list[dict[str, Any]]:
        new = [json.loads(part) for part in self.machine.data_to_send().split(b"\0") if part]
        self.sent += new
        return new

    def say(self, method: str, session: str = "", **parameters: object) -> list[dict[str, Any]]:
        message = {"method": method, "params": parameters} | ({"sessionId": session} if session else {})
        self.machine.receive_data(json.dumps(message).encode() + b"\0")
        return self.take()

    def attach(self, session: str = "s1", kind: str = "page") -> list[dict[str, Any]]:
        return self.say("Target.attachedToTarget", sessionId=session, targetInfo={"type": kind})

    def pause(self, url: str, method: str = "POST", session: str = "s1", **more: Any) -> list[dict[str, Any]]:
        request = {"url": url, "method": method} | more.pop("request", {})
        return self.say("Fetch.requestPaused", session, requestId="r1", request=request, **more)


def methods(messages: list[dict[str, Any]]) -> list[str]:
    return [message["method"] for message in messages]


def test_the_first_page_is_watched_before_it_opens_the_address() -> None:
    browser = Browser()
    assert methods(browser.sent) == ["Target.setAutoAttach"]
    sent = browser.attach()
    assert methods(sent)[-1] == "Page.navigate"
    assert sent[-1]["params"]["url"] == START
    assert methods(sent).index("Fetch.enable") < methods(sent).index("Runtime.runIfWaitingForDebugger")
    patterns = next(message for message in sent if message["method"] == "Fetch.enable")["params"]["patterns"]
    assert [pattern["requestStage"] for pattern in patterns] == ["Request"] * 4
    assert "Page.navigate" not in methods(browser.attach("s2"))  # a second window opens what its page wants


@pytest.mark.parametrize(
    "host",
    ["signin.aws.amazon.com", "eu-west-1.signin.aws.amazon.com", "signin.amazonaws.cn", "signin.amazonaws-us-gov.com",
     "us-gov-west-1.signin.amazonaws-us-gov.com", "signin.amazonaws-eusc.eu",
     "eusc-de-east-1.signin.amazonaws-eusc.eu"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/saml", "/saml/acs/SAMLSP123"])
def test_the_post_to_every_partition_is_held_back(host: str, path: str) -> None:
    browser = Browser()
    browser.attach()
    sent = browser.pause(f"https://{host}{path}", request={"postData": "SAMLResponse=QUJD%2B&RelayState="})
    assert methods(sent) == ["Fetch.fulfillRequest"]  # and never Fetch.continueRequest
    assert browser.machine.outcome == SamlFound("QUJD+", f"https://{host}{path}")
    assert "QUJD" not in repr(browser.machine.outcome)


@pytest.mark.parametrize(
    "url",
    ["https://signin.aws.amazon.com.evil.example/saml", "https://signin.aws.amazon.com/samlx",
     "http://signin.aws.amazon.com/saml",
     "https://evil.example/signin.aws.amazon.com/saml",
     "https://a.b.signin.aws.amazon.com/saml", "https://[/saml"],
)  # fmt: skip
def test_other_addresses_are_let_through(url: str) -> None:
    assert not is_saml_address(url)
    browser = Browser()
    browser.attach()
    assert methods(browser.pause(url, request={"postData": "SAMLResponse=QUJD"})) == ["Fetch.continueRequest"]
    assert browser.machine.outcome is None


def test_a_body_in_parts_is_joined() -> None:
    browser = Browser()
    browser.attach()
    parts = [{"bytes": "U0FNTFJlc3BvbnNlPQ=="}, {"bytes": "QUJD"}]  # SAMLResponse=, ABC
    browser.pause("https://signin.aws.amazon.com/saml", request={"postDataEntries": parts})
    assert browser.machine.outcome == SamlFound("ABC", "https://signin.aws.amazon.com/saml")


def test_a_post_without_a_response_goes_on() -> None:
    browser = Browser()
    browser.attach()
    url = "https://signin.aws.amazon.com/saml"
    assert methods(browser.pause(url, "GET")) == ["Fetch.continueRequest"]
    assert methods(browser.pause(url, request={"postData": "a=b"})) == ["Fetch.continueRequest"]


def test_a_loopback_redirect_is_stopped_as_a_request() -> None:
    browser = Browser("http://127.0.0.1:99/cb")
    browser.attach()
    browser.pause("http://127.0.0.1:99/cb?code=c&state=s", "GET")
    assert browser.machine.outcome == RedirectFound("http://127.0.0.1:99/cb?code=c&state=s")


def test_a_redirect_to_an_app_is_read_off_the_response_before_it() -> None:
    browser = Browser("app:/callback")
    browser.attach()
    headers = [{"name": "Location", "value": "app:/callback?code=c"}]
    assert methods(browser.pause("https://idp.example/x", "GET", responseStatusCode=302, responseHeaders=[])) == [
        "Fetch.continueRequest"
    ]
    browser.pause("https://idp.example/x", "GET", responseStatusCode=302, responseHeaders=headers)
    assert browser.machine.outcome == RedirectFound("app:/callback?code=c")
    assert "code=c" not in repr(browser.machine.outcome)


def test_a_navigation_by_script_to_an_app_is_seen() -> None:
    browser = Browser("app:/callback")
    browser.attach()
    browser.say("Page.frameRequestedNavigation", "s1", url="app:/callback?code=c")
    assert browser.machine.outcome == RedirectFound("app:/callback?code=c")


def test_the_last_window_ends_the_sign_in() -> None:
    browser = Browser()
    browser.attach("s1")
    browser.attach("s2")
    browser.say("Target.detachedFromTarget", sessionId="s1")
    assert browser.machine.outcome is None
    sent = browser.say("Target.detachedFromTarget", sessionId="s2")
    assert browser.machine.outcome == WindowClosed("the window was closed")
    assert methods(sent) == ["Browser.close"]


def test_a_browser_that_forbids_it_is_named() -> None:
    browser = Browser()
    (number,) = [message["id"] for message in browser.sent]
    browser.machine.receive_data(json.dumps({"id": number, "error": {"message": "Not allowed"}}).encode() + b"\0")
    assert browser.machine.outcome == WindowClosed("Target.setAutoAttach failed: Not allowed")


def test_messages_arrive_in_any_pieces() -> None:
    browser = Browser()
    message = {"method": "Target.attachedToTarget", "params": {"sessionId": "s", "targetInfo": {"type": "page"}}}
    for byte in json.dumps(message).encode() + b"\0":
        browser.machine.receive_data(bytes([byte]))
    assert "Page.navigate" in methods(browser.take())


KEYS = st.sampled_from(["method", "params", "sessionId", "request", "url", "error", "id"])
VALUES = st.recursive(
    st.none() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_message_is_taken(data: bytes) -> None:
    machine = DevTools(START)
    machine.receive_data(data + b"\0")
    machine.receive_end()
    assert machine.outcome is not None
