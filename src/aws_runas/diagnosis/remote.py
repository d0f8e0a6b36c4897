"""Checks that call AWS: STS, the clock by the time of its response, the identity, and the age of long-term keys."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aws_runas.aws.errors import CLOCK_LIMIT, aws_code
from aws_runas.aws.iam import Iam
from aws_runas.aws.sts import CallerIdentity, caller_identity, date_of
from aws_runas.config.durations import parse_age
from aws_runas.config.profile import KeyringSource, KeySource, Profile, Setting
from aws_runas.dataclass import dataclass
from aws_runas.diagnosis.model import Finding, fail, ok, warn
from aws_runas.errors import AwsRunasError, CredentialsError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

CLOCK_WARNING = 180  # seconds; as in the original tool
_SET_CLOCK = "set the clock, for instance by switching on time synchronisation"


@dataclass(frozen=True, slots=True)
class StsAnswer:
    """The result of GetCallerIdentity.

    Args:
        identity: None if STS refused.
        error: the reason, None if STS answered.
        sent, received: times in seconds since the epoch by this machine's clock.
    """

    identity: CallerIdentity | None
    error: AwsRunasError | None
    sent: float
    received: float

    @property
    def answered(self) -> bool:
        """Return True if STS was reached; a refusal counts as an answer."""
        return self.identity is not None or (self.error is not None and bool(aws_code(self.error)))

    @property
    def date(self) -> datetime | None:
        """Return the time at STS."""
        if self.identity is not None:
            return self.identity.date
        return date_of(self.error) if self.error is not None else None


def check_source(access: Access, found: Finding) -> Finding:
    """Check that external sources (SSO, a process, a web identity) give credentials.

    Args:
        access: its first credentials are checked.
        found: the finding known without a request; returned if the source gives credentials.
    """
    try:
        access.user_provider.credentials()
    except AwsRunasError as error:
        return fail(found.check, error)
    return found


def ask_sts(access: Access, now: Callable[[], float]) -> StsAnswer:
    """Ask STS with the user's own keys, which needs no MFA code.

    Args:
        access: its keys sign the call.
        now: this machine's clock, seconds since the epoch.
    """
    sent = now()
    try:
        identity = caller_identity(access, user=True)
    except AwsRunasError as error:
        return StsAnswer(None, error, sent, now())
    return StsAnswer(identity, None, sent, now())


def check_sts(answer: StsAnswer, endpoint: str) -> Finding:
    """Check that STS can be reached.

    Args:
        answer: of STS.
        endpoint: the called endpoint, for messages.
    """
    if not answer.answered and answer.error is not None:
        return fail("sts", answer.error)
    return ok("sts", f"{endpoint} answers")


def check_clock(answer: StsAnswer) -> Finding:
    """Check with the Date header of the response that AWS accepts this machine's clock.

    Args:
        answer: of STS.
    """
    if answer.date is None:
        return warn("clock", "the answer of STS has no time to compare with", "compare with a time server: --ntp")
    # The header has whole seconds, and the response took time: the verdict is not more precise than that.
    there = answer.date.timestamp()
    offset = 0.0
    if answer.received < there:
        offset = answer.received - there
    elif answer.sent > there + 1:
        offset = answer.sent - (there + 1)
    return judge_clock("clock", offset, "STS")


def judge_clock(check: str, offset: float, source: str) -> Finding:
    """Return a finding for the offset of a clock.

    Args:
        check: name of the check.
        offset: seconds, positive if this machine is ahead.
        source: the clock that it was compared with.
    """
    side = "ahead of" if offset > 0 else "behind"
    words = f"{abs(offset):.0f} s {side} {source}" if abs(offset) >= 1 else f"in step with {source}"
    if abs(offset) >= CLOCK_LIMIT:
        return fail(check, CredentialsError(f"{words}; AWS allows {CLOCK_LIMIT} s", code="clock-skew", hint=_SET_CLOCK))
    if abs(offset) >= CLOCK_WARNING:
        return warn(check, words, _SET_CLOCK)
    return ok(check, words)


def check_identity(access: Access, answer: StsAnswer) -> Finding:
    """Check that AWS accepts the credentials, including the role. May ask for an MFA code.

    Args:
        access: the profile.
        answer: of STS: an identity or an error.
    """
    if answer.error is not None:
        return fail("identity", answer.error)
    if answer.identity is not None and not access.profile.roles and not access.profile.use_session_token:
        return ok("identity", answer.identity.arn)
    try:
        return ok("identity", caller_identity(access).arn)
    except AwsRunasError as error:
        return fail("identity", error)


SERVER = "pool.ntp.org"
PORT = 123  # RFC 5905
TIMEOUT = 3.0  # seconds
_EPOCH = 2_208_988_800  # seconds from 1900, the start of NTP time, to 1970
_ERA = 1 << 32  # seconds; the first ends in 2036
_PACKET = struct.Struct("!B3x36xII")  # the first octet, and the transmit timestamp
_CLIENT = 0x23  # no warning, version 4, mode 3 (RFC 5905 7.3)


def check_ntp(server: str = SERVER) -> Finding:
    """Compare this machine's clock with a time server.

    Args:
        server: name or address, with a port after a colon if it is not the default port.
    """
    host, colon, port = server.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.startswith("[")):
        host, port = server, str(PORT)
    try:
        offset = _offset(host.strip("[]"), int(port))
    except (OSError, ValueError) as error:
        reason = "no answer" if isinstance(error, TimeoutError) else str(error)
        return warn("ntp", f"{server} cannot be asked: {reason}", "name another server: --ntp-server SERVER")
    return judge_clock("ntp", offset, server)


def _offset(host: str, port: int) -> float:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as query:
        query.settimeout(TIMEOUT)
        query.connect(address)
        sent = time.time()
        query.send(bytes([_CLIENT]) + bytes(47))
        answer = query.recv(512)
        received = time.time()
    if len(answer) < _PACKET.size or answer[0] & 7 != 4 or answer[1] == 0:  # mode 4: a server; stratum 0: a refusal
        raise ValueError("not an answer of a time server")
    _, seconds, fraction = _PACKET.unpack_from(answer)
    there: float = seconds - _EPOCH + fraction / _ERA
    while there < sent - _ERA / 2:
        there += _ERA
    return (sent + received) / 2 - there


CHECK = "key age"
DEFAULT_MAX_AGE = "90d"
DAY = 24 * 3600


def check_key_age(access: Access, user_arn: str, now: float) -> Finding | None:
    """Compare the age of a user's own keys with ``key_max_age``; None for other credentials.

    Args:
        access: the user's own keys sign the calls to IAM.
        user_arn: of the caller, from STS.
        now: seconds since the epoch.
    """
    source = access.profile.source
    if not isinstance(source, KeySource | KeyringSource) or ":user/" not in user_arn:
        return None
    if isinstance(source, KeySource) and source.session_token:
        return None
    setting = _max_age(access.profile)
    try:
        limit = parse_age(setting.value)
    except ValueError as error:
        return warn(CHECK, f"{error} ({setting.origin})", "write key_max_age = 90d")
    try:
        keys = Iam(access).access_keys(user_arn.rpartition("/")[2])
    except AwsRunasError as error:
        return ok(CHECK, f"not known: {error.message}")
    created = next((key.created for key in keys if key.access_key_id == source.access_key_id), None)
    if created is None:
        return ok(CHECK, "not known: IAM does not list this key")
    age = datetime.fromtimestamp(now, UTC) - created
    if age.total_seconds() > limit:
        advice = f"aws-runas keys rotate {access.profile.source_profile or access.profile.name}"
        return warn(CHECK, f"{age.days} days, more than {setting.value} ({setting.origin})", advice)
    return ok(CHECK, f"{age.days} days")


def _max_age(profile: Profile) -> Setting[str]:
    for name in (profile.source_profile, "default"):
        section = profile.sections.get(name or "")
        text = section.text("key_max_age") if section else None
        if section and text:
            return Setting(text, section.origin("key_max_age"))
    return Setting(DEFAULT_MAX_AGE, "default")
