"""Parsers of ``-p``, ``-L [bind:]port:host:hostport`` and ``-L [bind:]port:rds:ID``."""

from __future__ import annotations

from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError
from aws_runas.ssm.forward.destination import LocalAddress

DEFAULT_BIND = "127.0.0.1"
LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class ForwardSpec:
    """One forward, without its target.

    Args:
        local: the address to listen on.
        host: a host behind the instance, "" for the instance itself.
        port: the port of that host.
        database: ``rds:ID`` or ``cache:ID``; host and port are known only after a call to AWS.
    """

    local: LocalAddress
    host: str
    port: int
    database: str = ""


def parse_forward(text: str, bind: str = DEFAULT_BIND) -> ForwardSpec:
    """Parse the argument of -L.

    Args:
        text: ``[bind:]port:host:hostport`` or ``/path/of/socket:host:hostport``; IPv6 addresses in brackets;
            ``rds:ID`` or ``cache:ID`` in place of host and port. The system picks a port if the local port is 0.
        bind: the address to listen on if the text names none.

    Raises:
        UsageError: the text does not have that form.
    """
    if text.startswith(("/", "./", "~")):
        path, _, rest = text.partition(":")
        parts = _split(rest, text)
        if len(parts) != 2:
            raise _not_a_forward(text)
        return _spec(LocalAddress(path=path), parts[0], parts[1], text)
    parts = _split(text, text)
    if len(parts) == 3:
        parts = [bind, *parts]
    if len(parts) != 4:
        raise _not_a_forward(text)
    host, port, remote_host, remote_port = parts
    local = LocalAddress(_bind_host(host), _port(port, text, lowest=0))
    return _spec(local, remote_host, remote_port, text)


def parse_local(text: str, bind: str = DEFAULT_BIND) -> LocalAddress:
    """Parse the argument of -p: a port, 0 for any, or the path of a unix socket.

    Args:
        text: as typed.
        bind: address for a port.

    Raises:
        UsageError: the text is neither a port nor a path.
    """
    if "/" in text or text.startswith("~"):
        return LocalAddress(path=text)
    return LocalAddress(_bind_host(bind), _port(text, text, lowest=0))


def _spec(local: LocalAddress, host: str, port: str, text: str) -> ForwardSpec:
    if host.lower() in ("rds", "cache") and port:
        return ForwardSpec(local, "", 0, f"{host.lower()}:{port}")
    return ForwardSpec(local, host, _port(port, text))


def _bind_host(host: str) -> str:
    if host == "*":
        return "0.0.0.0"  # noqa: S104 - the user wrote *
    return host.removeprefix("[").removesuffix("]")


def _split(text: str, whole: str) -> list[str]:
    """Split at colons outside brackets, and remove the brackets."""
    parts: list[str] = []
    while True:
        if text.startswith("["):
            inside, bracket, rest = text[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise _not_a_forward(whole)
            parts.append(inside)
            if not rest:
                return parts
            text = rest[1:]
            continue
        part, colon, text = text.partition(":")
        parts.append(part)
        if not colon:
            return parts


def _port(text: str, whole: str, lowest: int = 1) -> int:
    if not (text.isascii() and text.isdigit()) or not lowest <= int(text[:6]) <= LAST_PORT:
        where = f" in {whole!r}" if whole != text else ""
        raise UsageError(
            f"{text!r}{where} is not a port", code="port-invalid", hint=f"a port is a number from 1 to {LAST_PORT}"
        )
    return int(text)


def _not_a_forward(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is not a forward",
        code="forward-invalid",
        hint="write it as [bind:]port:host:hostport, such as 5432:db.internal:5432",
    )
