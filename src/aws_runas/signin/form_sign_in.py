"""Drives a form walk over HTTP, and prompts for the values that the pages request."""

from __future__ import annotations

from collections.abc import Callable

from aws_runas.aws.http import MAX_BODY, HttpAnswer, HttpClient
from aws_runas.config.profile import FederatedSource
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError
from aws_runas.redact import printable
from aws_runas.signin.form_walk import FormWalk, HttpRequest, HttpResponse, RedirectFound, SamlFound, unknown_page
from aws_runas.signin.passwords import ATTEMPTS, Passwords
from aws_runas.signin.person import Person

MAX_NAME = 200  # maximum characters of a page's label that are shown
RETRIED = (500, 502, 503, 504)  # statuses after which a GET is repeated once


@dataclass(frozen=True, slots=True)
class FormSettings:
    """Settings that supply the answers for the pages.

    Args:
        passwords: passwords for the password fields.
        code: returns a one-time code without a prompt, used once; returns None if there is none.
    """

    passwords: Passwords
    person: Person
    code: Callable[[], str | None] = lambda: None


def sign_in_by_forms(
    source: FederatedSource,
    start: str,
    client: HttpClient,
    settings: FormSettings,
    *,
    debug: Callable[[str], None],
    redirect_uri: str = "",
) -> SamlFound | RedirectFound:
    """Sign in with the forms of the pages.

    Args:
        source: the identity provider and its settings.
        start: address of the first page.
        client: HTTP client with separate cookies.
        settings: supply the answers.
        debug: receives the address of each page, without its query.
        redirect_uri: redirect URI of an OIDC client; "" for SAML.

    Raises:
        CredentialsError: a page cannot be used, or an answer was refused three times.
    """
    walk = FormWalk(start, redirect_uri)
    answers = _Answers(source, settings)
    while walk.result is None:
        while walk.question is not None:
            walk.answer(answers.give(walk))
        request = walk.next_request()
        if request is None:
            raise unknown_page(start, "the pages lead nowhere")
        debug(f"{request.method} {request.url.partition('?')[0]}")
        walk.receive_response(_send(client, request))
    return walk.result


def _send(client: HttpClient, request: HttpRequest) -> HttpResponse:
    """Send a request. A GET is repeated once after a server error; a form is never sent twice."""

    def send() -> HttpAnswer:
        return client.send(request.method, request.url, form=request.body, headers={"Accept": "text/html"})

    answer = send()
    if answer.status in RETRIED and request.method == "GET":
        answer = send()
    if len(answer.body) >= MAX_BODY:
        raise unknown_page(request.url, f"the page has more than {MAX_BODY // 1024 // 1024} MB")
    return HttpResponse(answer.status, request.url, answer.headers.get("location", ""), answer.text())


class _Answers:
    def __init__(self, source: FederatedSource, settings: FormSettings) -> None:
        self._source = source
        self._settings = settings
        self._user = source.login_name
        self._codes = 0

    def give(self, walk: FormWalk) -> str:
        """Return the answer to the current question of the walk."""
        if walk.question == "username":
            if not self._user or walk.is_repeated:
                self._user = self._settings.person.ask(f"User name at {self._source.label}: ")
            return self._user
        if walk.question == "password":
            return self._settings.passwords.next(self._user, walk.reason if walk.is_repeated else "")
        return self._code(walk)

    def _code(self, walk: FormWalk) -> str:
        if self._source.mfa_type in ("none", "push"):
            raise CredentialsError(
                f"{self._source.label} asks for a one-time code, and mfa_type is {self._source.mfa_type}",
                code="idp-code-refused",
                hint="use mfa_type = code, or provider browser",
            )
        self._codes += 1
        if self._codes > ATTEMPTS:
            reason = f": {walk.reason}" if walk.reason else ""
            raise CredentialsError(
                f"{self._source.label} refused the one-time code{reason}",
                code="idp-code-refused",
                hint="wait for the next code and try again",
            )
        ready = self._settings.code() if self._codes == 1 else None
        if ready is not None:
            return ready
        label = printable(walk.prompt_label)[:MAX_NAME] or "One-time code"
        return self._settings.person.ask_code(f"{label} for {self._source.label}: ").strip()
