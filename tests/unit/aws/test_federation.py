"""getSigninToken against servers that answer oddly or not at all: a token, or an error without the query."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote

import pytest

from aws_runas.aws.credentials import Credentials
from aws_runas.aws.federation import get_signin_token
from aws_runas.config.overrides import Overrides
from aws_runas.config.resolve import load_files, resolve
from aws_runas.errors import AwsRunasError
from tests.support.loopback import Quiet, serving

KEYS = Credentials("ASIAKEYID", "secret/key+value", "session/token+value==")
SECRETS = [
    form
    for text in (KEYS.secret_access_key, str(KEYS.session_token))
    for form in (text, quote(text, safe=""), quote(text))
]
Answer = tuple[int, bytes] | None  # None: the connection is closed without one


@contextmanager
def _endpoint(answers: dict[str, Answer]) -> Iterator[tuple[str, list[tuple[str, str, dict[str, list[str]]]]]]:
    """A server that answers by method; yields its address, and method, query and form of each request."""
    asked: list[tuple[str, str, dict[str, list[str]]]] = []

    class Handler(Quiet):
        def do_POST(self) -> None:  # noqa: N802
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            path, _, query = self.path.partition("?")
            assert path == "/federation"
            asked.append((self.command, query, parse_qs(body or query)))
            answer = answers[self.command]
            if answer is None:
                self.close_connection = True
                return
            self.answer(*answer)

        do_GET = do_POST  # noqa: N815

    with serving(Handler) as address:
        yield f"{address}/federation", asked


def _token(address: str, home: Path, duration: int | None = None) -> str:
    profile = resolve(load_files({}, home), None, Overrides(), {})
    return get_signin_token(profile, address, KEYS, duration)


def _error(address: str, home: Path, duration: int | None = None) -> AwsRunasError:
    with pytest.raises(AwsRunasError) as caught:
        _token(address, home, duration)
    error = caught.value
    texts = [error.message, error.hint or "", "".join(traceback.format_exception(error))]
    assert [secret for secret in SECRETS if any(secret in text for text in texts)] == []
    assert not any("getSigninToken&" in text or "?Action" in text for text in texts)
    return error


GOOD = (200, b'{"SigninToken": "the-token"}')


@pytest.fixture(autouse=True)
def _without_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def test_the_keys_are_posted(tmp_path: Path) -> None:
    with _endpoint({"POST": GOOD}) as (address, asked):
        assert _token(address, tmp_path, 7200) == "the-token"
        assert _token(address, tmp_path) == "the-token"
    (method, query, form), (_, _, without) = asked
    assert (method, query) == ("POST", "")
    assert form.pop("Session") == without.pop("Session")
    assert form == {"Action": ["getSigninToken"], "SessionDuration": ["7200"]}
    assert without == {"Action": ["getSigninToken"]}


def test_the_session_has_the_three_secrets(tmp_path: Path) -> None:
    with _endpoint({"POST": GOOD}) as (address, asked):
        _token(address, tmp_path)
    assert json.loads(asked[0][2]["Session"][0]) == {
        "sessionId": KEYS.access_key_id,
        "sessionKey": KEYS.secret_access_key,
        "sessionToken": KEYS.session_token,
    }


@pytest.mark.parametrize("status", [405, 501])
def test_get_is_used_where_post_is_not_taken(tmp_path: Path, status: int) -> None:
    with _endpoint({"POST": (status, b""), "GET": GOOD}) as (address, asked):
        assert _token(address, tmp_path) == "the-token"
    assert [method for method, _, _ in asked] == ["POST", "GET"]
    assert asked[0][2] == asked[1][2]


def test_a_refusal_shows_the_words_of_the_page_and_a_likely_cause(tmp_path: Path) -> None:
    page = (
        "<!doctype html><head><title>x</title><style>p{}</style></head><body><h1>Sign in</h1>"
        f"<p>Session duration is not &lt;valid&gt;. \x1b[31m {KEYS.secret_access_key} /federation?Action=x&amp;y</p>"
        f"<script>var a = '{quote(str(KEYS.session_token))}'</script>"
    )
    with _endpoint({"POST": (400, page.encode())}) as (address, asked):
        with_duration = _error(address, tmp_path, 43200)
        without = _error(address, tmp_path)
    assert with_duration.code == without.code == "console-refused"
    assert with_duration.exit_status == 4
    assert with_duration.message.startswith(
        "the console refused to sign in: 400 Sign in Session duration is not <valid>."
    )
    assert "43200 s" in (with_duration.hint or "")
    assert "try -r" in (without.hint or "")
    assert len(asked) == 2, "a refusal is not repeated by GET"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"SigninToken": 1}',
        b'{"SigninToken": ""}',
        b'{"SigninToken": "a\\nb"}',
        b"[" * 9999,
        b"\xff",
    ],
)
def test_an_answer_without_a_token_is_not_aws(tmp_path: Path, body: bytes) -> None:
    with _endpoint({"POST": (200, body)}) as (address, _):
        assert _error(address, tmp_path).code == "endpoint-not-aws"


@pytest.mark.parametrize("status", [302, 404, 429, 500, 503])
def test_any_other_status_is_named(tmp_path: Path, status: int) -> None:
    with _endpoint({"POST": (status, b"<p>busy")}) as (address, _):
        assert f"{status} busy" in _error(address, tmp_path).message


def test_an_endpoint_that_breaks_off_leaves_no_query_in_the_error(tmp_path: Path) -> None:
    with _endpoint({"POST": (405, b""), "GET": None}) as (address, asked):
        error = _error(address, tmp_path)
    assert address.rpartition("/")[0] in error.message
    assert "?" not in error.message
    assert [method for method, _, _ in asked][:2] == ["POST", "GET"]
    assert _error(address, tmp_path).code == "endpoint-unreachable"


def test_a_proxy_that_refuses_leaves_no_query_in_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    assert _error("https://signin.aws.amazon.com/federation", tmp_path).code == "proxy-failed"
