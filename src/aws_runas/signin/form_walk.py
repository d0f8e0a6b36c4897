"""Sign-in with the forms of a web site, as a state machine: pages in, requests and questions out. No socket, no clock.

It fills in user name, password and one-time code, and submits forms until one contains a SAML response, or a redirect
leads to the redirect URI of an OIDC client. It does not run scripts: a page that needs them is an error.
"""

from __future__ import annotations

from dataclasses import field
from typing import Literal
from urllib.parse import urlencode, urljoin, urlsplit

from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError
from aws_runas.redact import printable
from aws_runas.signin.html_forms import Form, Page, parse_page

MAX_PAGES = 20  # responses in one sign-in, including redirects
MAX_REASON = 200  # maximum characters of a page's message that are shown
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_REDIRECTS = (301, 302, 303, 307, 308)

Question = Literal["username", "password", "code"]
KINDS: tuple[Question, ...] = ("username", "password", "code")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The next request.

    Args:
        body: encoded form, which may contain the password; None for GET.
    """

    method: str
    url: str
    body: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A response; redirects are not followed.

    Args:
        location: target of a redirect, "" for none.
        text: text of the body.
    """

    status: int
    url: str
    location: str = ""
    text: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class SamlFound:
    """A form contains a SAML response for AWS.

    Args:
        encoded: the response in base64.
        address: address to which a browser would post it.
    """

    encoded: str = field(repr=False)
    address: str


@dataclass(frozen=True, slots=True)
class RedirectFound:
    """A page led to the redirect URI of the client."""

    url: str = field(repr=False)


class FormWalk:
    """One sign-in.

    After each `receive_response`, look at `result`, then `question`, then take `next_request`.

    Args:
        start: the address that the sign-in begins with.
        redirect_uri: redirect URI of an OIDC client; "" for SAML.

    Attributes:
        result: None until the sign-in has ended.
        question: question for the user, to answer with `answer`; None if there is none.
        is_repeated: the last answer to this question was refused.
        reason: message of the page about a refusal, printable; may be empty.
        prompt_label: label of the field on the page, printable; may be empty.
    """

    def __init__(self, start: str, redirect_uri: str = "") -> None:
        self._redirect_uri = redirect_uri
        self._request: HttpRequest | None = HttpRequest("GET", start)
        self._address = start  # of the page whose form is filled in
        self._pages = 0
        self._form: Form | None = None
        self._answers: dict[Question, str] = {}
        self._submitted: dict[Question, str] = {}  # question -> name of the field that was filled in
        self._posted: set[tuple[str, str]] = set()
        self.result: SamlFound | RedirectFound | None = None
        self.question: Question | None = None
        self.is_repeated = False
        self.reason = ""
        self.prompt_label = ""

    def next_request(self) -> HttpRequest | None:
        """Return the next request to send, only once; None if there is none."""
        request, self._request = self._request, None
        return request

    def answer(self, value: str) -> None:
        """Answer the question.

        Raises:
            CredentialsError: the address of the form is not safe.
        """
        if self.question is None or self._form is None:
            return
        self._answers[self.question] = value
        self.question = None
        self._fill(self._form)

    def receive_response(self, response: HttpResponse) -> None:
        """Process the response to the last request.

        Raises:
            CredentialsError: the page cannot be used; the message names the address.
        """
        self._pages += 1
        if self._pages > MAX_PAGES:
            raise unknown_page(response.url, f"the sign-in did not end after {MAX_PAGES} pages")
        if response.status in _REDIRECTS and response.location:
            self._follow(response)
            return
        self._address = response.url
        page = parse_page(response.text, response.url)
        self.reason = printable("; ".join(page.errors))[:MAX_REASON]
        found = next((form for form in page.forms if form.find("SAMLResponse")), None)
        field_found = found.find("SAMLResponse") if found else None
        if found and field_found and field_found.value.strip() and not self._redirect_uri:
            self.result = SamlFound(field_found.value, found.action)
            return
        self._read(page, response)

    def _follow(self, response: HttpResponse) -> None:
        try:
            target = urljoin(response.url, response.location)
        except ValueError:
            raise unknown_page(response.url, "it leads to an invalid address") from None
        if self._redirect_uri and is_redirect(target, self._redirect_uri):
            self.result = RedirectFound(target)
            return
        _check_address(target, response.url)
        self._request = HttpRequest("GET", target)

    def _read(self, page: Page, response: HttpResponse) -> None:
        for kind in (KINDS[1], KINDS[2], KINDS[0]):  # a password field distinguishes the login form from a search box
            form = next((form for form in page.forms if _field(form, kind)), None)
            if form is not None:
                self._form = form
                self._fill(form)
                return
        target = page.refresh
        if response.status >= 400:
            raise unknown_page(response.url, self.reason or f"it answers {response.status}")
        if target:
            _check_address(target, response.url)
            self._request = HttpRequest("GET", target)
            return
        hidden = [form for form in page.forms if form.inputs and all(each.kind == "hidden" for each in form.inputs)]
        if len(hidden) == 1:  # a form that a script would submit
            self._post(hidden[0], hidden[0].values())
            return
        reason = "it needs scripts" if page.has_script else "it has no form that can be filled in"
        raise unknown_page(response.url, self.reason or reason)

    def _fill(self, form: Form) -> None:
        """Fill in the form with the known answers, and ask for missing ones."""
        values = dict(form.values())
        filled: dict[Question, str] = {}
        for kind in KINDS:
            question = self._question_of(form, kind)
            name = _field(form, kind)
            if question is None or name is None:
                continue
            if question != "username" and self._submitted.get(question) == name:
                self._ask(question, name, repeated=True)
                return
            if question not in self._answers:
                self._ask(question, name, repeated=False)
                return
            values[name] = self._answers[question]
            filled[question] = name
        if filled.keys() == {"username"} and self._submitted.get("username") == filled["username"]:
            self._submitted.pop("username")
            self._ask("username", filled["username"], repeated=True)
            return
        self._submitted |= filled
        self._answers.pop("code", None)  # a code is only valid once
        self._post(form, list(values.items()))

    def _question_of(self, form: Form, kind: Question) -> Question | None:
        """Return the question that a field answers.

        A new field after the password is a second factor, such as a secret question.
        """
        name = _field(form, kind)
        used = self._submitted.get("password")
        if name is None or used is None:
            return None if name is None else kind
        if kind == "password" and used != name and _field(form, "username") is None:
            return "code"
        field_found = form.find(name)
        is_other = kind == "username" and self._submitted.get("username") not in (None, name)
        if is_other and form.first(password=True) is None and field_found and not field_found.is_user_name:
            return "code"
        return kind

    def _ask(self, question: Question, name: str, *, repeated: bool) -> None:
        self._submitted.pop(question, None)
        self._answers.pop(question, None)
        field_found = self._form.find(name) if self._form else None
        self.question, self.is_repeated = question, repeated
        self.prompt_label = printable(field_found.label if field_found else "")

    def _post(self, form: Form, values: list[tuple[str, str]]) -> None:
        _check_address(form.action, self._address)
        if form.method == "get":
            separator = "&" if urlsplit(form.action).query else "?"
            self._request = HttpRequest("GET", form.action + separator + urlencode(values))
            return
        self._request = HttpRequest("POST", form.action, urlencode(values))


def _field(form: Form, kind: Question) -> str | None:
    """Return the name of the field that takes an answer; None if the form has none."""
    if kind == "username":
        names = [each.name for each in form.inputs if each.is_text and each.name]
        if form.first(password=True) is None and len(names) != 1:
            return None  # for example, a search box or a registration
        return names[0] if names else None
    found = form.first(password=kind == "password", code=kind == "code")
    return found.name if found else None


def is_redirect(url: str, redirect_uri: str) -> bool:
    """Return True if an address is the redirect URI, possibly with a query or fragment."""
    return url == redirect_uri or url.startswith((f"{redirect_uri}?", f"{redirect_uri}#", f"{redirect_uri}&"))


def _check_address(target: str, origin: str) -> None:
    """Refuse an invalid address, and a downgrade from https to http.

    Raises:
        CredentialsError: the address is refused.
    """
    try:
        parts, before = urlsplit(target), urlsplit(origin)
        host = parts.hostname
    except ValueError:
        raise unknown_page(origin, "it leads to an invalid address") from None
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and host in LOOPBACK and (before.scheme == "http" or host):
        return
    if not target:
        raise unknown_page(origin, "it leads to an invalid address")
    raise unknown_page(origin, f"it leads to {printable(target)[:MAX_REASON]}, which is not https")


def unknown_page(url: str, reason: str) -> CredentialsError:
    """Return the error for a page that this kind of sign-in cannot use."""
    parts = urlsplit(url)
    place = printable(f"{parts.scheme}://{parts.netloc}{parts.path}")  # the query may contain secrets
    return CredentialsError(
        f"cannot sign in at {place}: {printable(reason)}",
        code="saml-page-unknown",
        hint="use provider browser, which shows every page in a browser window",
    )
