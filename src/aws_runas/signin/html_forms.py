"""Forms of a web page, read without running its scripts.

Source: HTML standard, sections 4.10.18 to 4.10.22, as far as login pages need them.
"""

from __future__ import annotations

from dataclasses import field
from html.parser import HTMLParser
from urllib.parse import urljoin

from aws_runas.dataclass import dataclass

_TEXT_TYPES = frozenset(("text", "email", "tel", "number", "search", "url", ""))
_NO_VALUE = frozenset(("submit", "image", "button", "reset", "file"))


@dataclass(slots=True)
class Input:
    """One field.

    Args:
        kind: the type attribute, in lower case.
        label: the text shown next to the field: placeholder, aria-label, or text of its label element.
        element: the id attribute.
    """

    name: str
    kind: str
    value: str = field(repr=False)
    autocomplete: str = ""
    label: str = ""
    element: str = ""

    @property
    def is_password(self) -> bool:
        """True if the field takes a password."""
        return self.kind == "password" and not self.is_code

    @property
    def is_code(self) -> bool:
        """True if the field takes a one-time code."""
        name = self.name.lower()
        spelled = name.endswith(("otp", "totp", "passcode", "mfacode", "otpcode"))
        return self.autocomplete == "one-time-code" or (spelled and self.kind in (*_TEXT_TYPES, "password"))

    @property
    def is_user_name(self) -> bool:
        """True if type, name or label indicate that the field takes a user name."""
        words = f"{self.name} {self.label}".lower()
        named = any(word in words for word in ("user", "login", "mail", "account"))
        return self.kind == "email" or self.autocomplete == "username" or named

    @property
    def is_text(self) -> bool:
        """True if the field takes a line of text."""
        return self.kind in _TEXT_TYPES and not self.is_code


@dataclass(slots=True)
class Form:
    """A form.

    Args:
        action: absolute address.
        method: "get" or "post".
        submit: name and value of its first submit button.
    """

    action: str
    method: str
    inputs: list[Input] = field(default_factory=list)
    submit: tuple[str, str] | None = None

    def find(self, name: str) -> Input | None:
        """Return the field with a name."""
        return next((each for each in self.inputs if each.name == name), None)

    def first(self, *, password: bool = False, code: bool = False) -> Input | None:
        """Return the first field of a kind: password, one-time code, or text."""
        for each in self.inputs:
            if each.is_password if password else each.is_code if code else each.is_text:
                return each
        return None

    def values(self) -> list[tuple[str, str]]:
        """Return the names and values that a browser would send."""
        pairs = [(each.name, each.value) for each in self.inputs if each.name and each.kind not in _NO_VALUE]
        return pairs + ([self.submit] if self.submit and self.submit[0] else [])


@dataclass(slots=True)
class Page:
    """A page.

    Args:
        has_script: the page has scripts, so it may build forms that are not in its HTML.
        text: visible text, on one line, truncated.
        errors: text of elements that are marked as errors.
        refresh: address that the page redirects to by itself; "" for none.
    """

    title: str = ""
    forms: list[Form] = field(default_factory=list)
    has_script: bool = False
    text: str = ""
    errors: tuple[str, ...] = ()
    refresh: str = ""


MAX_TEXT = 4000  # maximum characters of a page's text that are kept
_ERROR_WORDS = ("error", "alert", "invalid", "feedback")
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
)


def parse_page(content: str, url: str) -> Page:
    """Read a page.

    Args:
        content: HTML; invalid HTML is not an error.
        url: address of the page, for relative addresses.
    """
    reader = _Reader(url)
    try:
        reader.feed(content)
        reader.close()
    except (AssertionError, ValueError):  # html.parser fails on a few unusual declarations
        pass
    return reader.page()


class _Reader(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__(convert_charrefs=True)
        self._base = url
        self._page = Page()
        self._form: Form | None = None
        self._open: list[tuple[str, bool]] = []  # element, and True if it is marked as an error
        self._text: list[str] = []
        self._errors: list[str] = []
        self._title: list[str] = []
        self._labels: dict[str, list[str]] = {}  # by the id in the attribute "for" of a label element
        self._label: list[str] | None = None

    def page(self) -> Page:
        for found in [found for form in self._page.forms for found in form.inputs if not found.label]:
            found.label = " ".join("".join(self._labels.get(found.element, [])).split())
        self._page.title = " ".join("".join(self._title).split())
        self._page.text = " ".join(" ".join(self._text).split())[:MAX_TEXT]
        self._page.errors = tuple(text for text in (" ".join(part.split()) for part in self._errors) if text)
        return self._page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "base" and values.get("href"):
            self._base = _join(self._base, values["href"])
        elif tag == "form":
            action = _join(self._base, values.get("action", ""))
            self._form = Form(action, "post" if values.get("method", "").lower() == "post" else "get")
            self._page.forms.append(self._form)
        elif tag == "meta" and values.get("http-equiv", "").lower() == "refresh":
            _, _, target = values.get("content", "").partition("=")
            self._page.refresh = _join(self._base, target.strip(" '\"")) if target else ""
        elif tag == "script":
            self._page.has_script = True
        elif tag in ("input", "button"):
            self._add(tag, values)
        elif tag == "label" and values.get("for"):
            self._label = self._labels.setdefault(values["for"], [])
        if tag not in _VOID:
            words = f"{values.get('class', '')} {values.get('id', '')} {values.get('role', '')}".lower()
            self._open.append((tag, any(word in words for word in _ERROR_WORDS)))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        if tag == "label":
            self._label = None
        names = [name for name, _ in self._open]
        if tag in names:
            del self._open[len(names) - 1 - names[::-1].index(tag) :]

    def handle_data(self, data: str) -> None:
        names = {name for name, _ in self._open}
        if names & {"script", "style", "noscript", "template"}:
            return
        if "title" in names:
            self._title.append(data)
            return
        self._text.append(data)
        if self._label is not None:
            self._label.append(data)
        if any(marked for _, marked in self._open):
            self._errors.append(data)

    def _add(self, tag: str, values: dict[str, str]) -> None:
        if self._form is None or "disabled" in values:
            return
        kind = values.get("type", "submit" if tag == "button" else "text").strip().lower()
        name, value = values.get("name", ""), values.get("value", "")
        if kind in ("submit", "image"):
            if self._form.submit is None:
                self._form.submit = (name, value)
            return
        if kind in ("checkbox", "radio") and "checked" not in values:
            return
        label = values.get("placeholder") or values.get("aria-label") or ""
        autocomplete = values.get("autocomplete", "").strip().lower()
        self._form.inputs.append(Input(name, kind, value, autocomplete, label, values.get("id", "")))


def _join(base: str, address: str) -> str:
    try:
        return urljoin(base, address)
    except ValueError:
        return ""
