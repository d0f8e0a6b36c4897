"""Readers of reply fields: a field has the type that AWS documents, otherwise the reply is not from AWS.

Call these within `translate`, which turns `ReplyError` into our own error. botocore checks only part of a reply's
shape: a field may be missing, null, or of another type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

Page = TypeVar("Page")

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


MAX_PAGES = 2_000  # of one list; 100,000 managed instances or 200,000 accounts need fewer


class ReplyError(Exception):
    """A field of a reply is missing or has another type."""


class EndlessListError(Exception):
    """A list had more pages than any AWS list."""


def limited(pages: Iterable[Page]) -> Iterator[Page]:
    """Yield the pages of a list, and stop at a limit in case a server names next pages forever.

    Args:
        pages: of one list, as botocore's paginator reads them.

    Raises:
        EndlessListError: there are more than MAX_PAGES.
    """
    for count, page in enumerate(pages):
        if count >= MAX_PAGES:
            raise EndlessListError
        yield page


def text(reply: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """Return a text field.

    Args:
        default: returned if the field is missing or null; None if the field must be there.

    Raises:
        ReplyError: the field is missing, or not a text.
    """
    value = reply.get(key)
    if value is None:
        value = default
    if not isinstance(value, str):
        raise ReplyError(key)
    return value


def word(reply: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """Return a text field that is one line, such as an id or a name, so that it can be written to one line of a file.

    Args:
        default: as for `text`.

    Raises:
        ReplyError: the field is missing, not a text, or has control characters or surrounding blanks.
    """
    value = text(reply, key, default)
    if not value.isprintable() or value != value.strip():
        raise ReplyError(key)
    return value


def address(reply: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """Return a text field that a browser may open: an https address, or an http address of this machine.

    Args:
        default: as for `text`; "" is returned as it is.

    Raises:
        ReplyError: the field is missing, or not such an address.
    """
    value = word(reply, key, default)
    try:
        parts = urlsplit(value)
        is_web = bool(parts.hostname) and " " not in value
    except ValueError:
        raise ReplyError(key) from None
    if value and not (is_web and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK))):
        raise ReplyError(key)
    return value


def next_page(reply: Mapping[str, Any], key: str, before: str = "") -> str:
    """Return the token of the next page, "" after the last one.

    Args:
        before: the token that was sent for this page.

    Raises:
        ReplyError: the token is not a text, or is the same again, so that the pages would never end.
    """
    token = text(reply, key, "")
    if token and token == before:
        raise ReplyError(key)
    return token


def token_pages(call: Callable[..., Mapping[str, Any]], key: str) -> Iterator[Mapping[str, Any]]:
    """Yield the pages of a call that has no paginator, as many as `limited` allows.

    Args:
        call: takes the token of the page as `key`, and nothing for the first page.
        key: name of the token, in request and reply.

    Raises:
        EndlessListError: there are more than MAX_PAGES.
        ReplyError: a token is not a text, or is that of the page itself.
    """

    def walk() -> Iterator[Mapping[str, Any]]:
        page = call()
        yield page
        token = next_page(page, key)
        while token:
            page = call(**{key: token})
            yield page
            token = next_page(page, key, token)

    return limited(walk())


def number(reply: Mapping[str, Any], key: str, default: int | None = None) -> int:
    """Return a field that is an integer.

    Args:
        reply: or a structure in it.
        key: name of the field.
        default: returned if the field is missing or null; None if the field must be there.

    Raises:
        ReplyError: the field is missing, or not an integer.
    """
    value = reply.get(key)
    if value is None:
        value = default
    if not isinstance(value, int) or isinstance(value, bool):
        raise ReplyError(key)
    return value


def moment(reply: Mapping[str, Any], key: str) -> datetime | None:
    """Return a field that is a time, None if it is missing or null.

    Raises:
        ReplyError: the field is not a time.
    """
    value = reply.get(key)
    if value is not None and not isinstance(value, datetime):
        raise ReplyError(key)
    return value


def mapping(reply: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a field that is a structure, empty if it is missing or null.

    Raises:
        ReplyError: the field is not a structure.
    """
    value = reply.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ReplyError(key)
    return value


def mappings(reply: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return a field that is a list of structures, empty if it is missing or null.

    Raises:
        ReplyError: the field is not such a list.
    """
    value = reply.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise ReplyError(key)
    return value


def listed(reply: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return a field that is a list of structures and must be there.

    Use it where a missing list would mean "nothing is left", for instance to remove items that are not listed.

    Raises:
        ReplyError: the field is missing, or not such a list.
    """
    if reply.get(key) is None:
        raise ReplyError(key)
    return mappings(reply, key)


def texts(reply: Mapping[str, Any], key: str) -> list[str]:
    """Return a field that is a list of texts, empty if it is missing or null.

    Raises:
        ReplyError: the field is not such a list.
    """
    value = reply.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ReplyError(key)
    return value
