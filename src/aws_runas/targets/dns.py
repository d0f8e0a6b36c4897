"""DNS queries with this machine's resolver settings."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aws_runas.errors import ConfigError
from aws_runas.files import read_named

if TYPE_CHECKING:
    import dns.resolver

LIFETIME = 5.0  # seconds for one query, over all servers and retries
LIFETIME_BESIDE_A_NAME = 1.0  # seconds if an instance with this Name tag is already found, ADR 0707
DNS_PORT = 53  # RFC 1035 4.2


class NoAnswer(Exception):  # noqa: N818 - not an error: the name does not have such a record
    """Query without an answer; the text explains why, for messages."""


class Questions:
    """Queries the system's name servers and applies its search domains.

    ``RUNAS_DNS_SERVER`` (``address``, ``address:port`` or ``[address]:port``) names another server, and
    ``RUNAS_RESOLV_CONF`` a file to read instead of /etc/resolv.conf. A server that did not answer is not queried
    again: the user waits for one timeout at most.

    Args:
        environ: the environment variables.
        lifetime: seconds that one query may take.
    """

    def __init__(self, environ: Mapping[str, str], *, lifetime: float = LIFETIME) -> None:
        self._environ = environ
        self._lifetime = lifetime
        self._silent: str | None = None
        self._resolver: dns.resolver.Resolver | None = None

    def addresses(self, name: str) -> list[str]:
        """Return the addresses of a name, A before AAAA. Aliases are followed.

        Args:
            name: a host name.

        Raises:
            NoAnswer: the name has no such record, or no server answered.
        """
        reasons = []
        found: list[str] = []
        for kind in ("A", "AAAA"):
            try:
                found += [record.to_text() for record in self._ask(name, kind)]
            except NoAnswer as none:
                reasons.append(str(none))
        if not found:
            raise NoAnswer("; ".join(dict.fromkeys(reasons)))
        return found

    def texts(self, name: str) -> list[tuple[str, ...]]:
        """Return the TXT records of a name, each as a tuple of its strings.

        Args:
            name: a host name.

        Raises:
            NoAnswer: the name has no such record, or no server answered.
        """
        return [
            tuple(part.decode("ascii", "replace") for part in record.strings)  # type: ignore[attr-defined]
            for record in self._ask(name, "TXT")
        ]

    def _ask(self, name: str, kind: str) -> Iterator[dns.rdata.Rdata]:
        import dns.exception
        import dns.resolver

        if self._silent:
            raise NoAnswer(self._silent)
        try:
            resolver = self._configured()
            answer = resolver.resolve(name, kind, search=True, lifetime=self._lifetime)
        except dns.resolver.NXDOMAIN:
            raise NoAnswer("no such name in DNS") from None
        except dns.resolver.NoAnswer:
            raise NoAnswer(f"no {kind} record") from None
        except dns.resolver.YXDOMAIN:
            raise NoAnswer("the name is too long once an alias is followed") from None
        except dns.resolver.NoNameservers as error:
            raise NoAnswer(f"the name server failed ({_failures(error)})") from None
        except dns.resolver.LifetimeTimeout:
            self._silent = f"no name server answered within {self._lifetime:g} s"
            raise NoAnswer(self._silent) from None
        except dns.resolver.NoResolverConfiguration:
            self._silent = "this machine has no name server set"
            raise NoAnswer(self._silent) from None
        except (dns.exception.DNSException, UnicodeError, OSError) as error:
            raise NoAnswer(f"cannot be looked up in DNS ({str(error) or type(error).__name__})") from None
        return iter(answer)

    def _configured(self) -> dns.resolver.Resolver:
        if self._resolver is None:
            self._resolver = self._configure()
        return self._resolver

    def _configure(self) -> dns.resolver.Resolver:
        import dns.nameserver
        import dns.resolver

        server = self._environ.get("RUNAS_DNS_SERVER")
        path = self._environ.get("RUNAS_RESOLV_CONF")
        try:
            resolver = _from_file(Path(path)) if path else dns.resolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            if not server:
                raise
            resolver = dns.resolver.Resolver(configure=False)
        if server:
            address, port = _address_and_port(server)
            resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port)]
        # with a short lifetime, a silent server leaves time for the next ones
        resolver.timeout = min(resolver.timeout, self._lifetime / max(1, len(resolver.nameservers)))
        return resolver


def _from_file(path: Path) -> dns.resolver.Resolver:
    """Return a resolver with the settings of a file. Reading a device with dnspython would never end."""
    import dns.resolver

    try:
        text = read_named(path).decode("utf-8", "replace")
    except OSError:
        raise dns.resolver.NoResolverConfiguration from None
    resolver = dns.resolver.Resolver(configure=False)
    resolver.read_resolv_conf(io.StringIO(text))
    return resolver


def _address_and_port(server: str) -> tuple[str, int]:
    import ipaddress

    address, port = server, str(DNS_PORT)
    if server.startswith("["):
        address, bracket, rest = server[1:].partition("]")
        port = (rest.removeprefix(":") or port) if bracket else ""
    elif server.count(":") == 1:
        address, _, port = server.partition(":")
    try:
        return str(ipaddress.ip_address(address)), int(port)
    except ValueError:
        raise ConfigError(
            f"RUNAS_DNS_SERVER={server!r} is not an address and a port",
            code="dns-server-invalid",
            hint="write it as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353",
        ) from None


def _failures(error: dns.resolver.NoNameservers) -> str:
    """List the result of each server: ``SERVFAIL``, ``REFUSED``, or the network error."""
    answers = []
    for entry in error.kwargs.get("errors", []):
        answers.append(str(entry[3]) or type(entry[3]).__name__)
    return ", ".join(dict.fromkeys(answers)) or "no reason given"
