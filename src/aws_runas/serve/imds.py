"""EC2 instance metadata service, versions 1 and 2, as a pure function of request, instance and time.

Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
"""

from __future__ import annotations

import base64
import hmac
import struct
from collections.abc import Callable

from aws_runas.aws.credentials import Credentials
from aws_runas.dataclass import dataclass
from aws_runas.serve import replies
from aws_runas.serve.ecs import account_of
from aws_runas.serve.http import Request, Response
from aws_runas.serve.profiles import ProfileFacts, alias

TOKEN_PATH = "/latest/api/token"  # noqa: S105 - a path
TOKEN_HEADER = "x-aws-ec2-metadata-token"  # noqa: S105 - the name of a header
TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds"
MAX_TTL = 21600  # seconds, as at AWS
CREDENTIALS_PATH = "meta-data/iam/security-credentials/"
INSTANCE_ID = "i-00000000000000000"  # there is no instance, but parsers expect this format


class Tokens:
    """IMDSv2 session tokens: random, signed, and with their expiry inside, so that no state is needed.

    Args:
        secret: 32 random bytes of this server.
        random: returns the given number of random bytes.
    """

    def __init__(self, secret: bytes, random: Callable[[int], bytes]) -> None:
        self._secret = secret
        self._random = random

    def issue(self, ttl: int, now: float) -> str:
        """Return a new token.

        Args:
            ttl: lifetime in seconds.
            now: seconds, of the same clock as in `is_valid`.
        """
        body = self._random(16) + struct.pack("!d", now + ttl)
        return base64.urlsafe_b64encode(body + self._sign(body)).decode("ascii")

    def is_valid(self, token: str, now: float) -> bool:
        """Return True if this server issued the token and it has not expired.

        Args:
            token: as sent by the client.
            now: seconds, of the same clock as in `issue`.
        """
        try:
            raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
        except ValueError:
            return False
        if len(raw) != 42 or not hmac.compare_digest(raw[24:], self._sign(raw[:24])):
            return False
        (end,) = struct.unpack("!d", raw[16:24])
        return bool(now < end)

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._secret, body, "sha256")[:18]


@dataclass(frozen=True, slots=True)
class WantCredentials:
    """Result for a request for the credentials of this profile: fetch them and call ``render``."""

    profile: str
    extended: bool = False


def is_ours(path: str) -> bool:
    """Return True if a path belongs to the metadata service: ``/latest/...``, or a dated version of AWS.

    Args:
        path: decoded.
    """
    first = path.split("/")[1]
    return first == "latest" or first == "1.0" or (len(first) == 10 and first.replace("-", "").isdigit())


def role_name(facts: ProfileFacts) -> str:
    """Return the name of the active profile for a path, which SDKs build without escaping.

    Args:
        facts: the facts of the profile.
    """
    return "".join(
        chr(byte) if byte < 0x80 and (chr(byte).isalnum() or byte in b"-._~@+=,") else f"%{byte:02X}"
        for byte in alias(facts.name).encode()
    )


def handle(
    request: Request, facts: ProfileFacts, tokens: Tokens, *, now: float, allow_v1: bool = True
) -> Response | WantCredentials:
    """Answer a metadata request.

    Args:
        request: with a path for which `is_ours` is True.
        facts: the active profile.
        tokens: the tokens of this server.
        now: monotonic seconds.
        allow_v1: answer requests without a token.
    """
    if request.path == TOKEN_PATH:
        return _token(request, tokens, now)
    if request.method not in ("GET", "HEAD"):
        return replies.error(405, "method-not-allowed", "metadata is read with GET", (("Allow", "GET, HEAD"),))
    token = request.header(TOKEN_HEADER)
    if (token is None and not allow_v1) or (token is not None and not tokens.is_valid(token, now)):
        return replies.error(401, "token-refused", "a valid session token is needed: PUT /latest/api/token")
    return _read(request.path.split("/", 2)[-1] if request.path.count("/") > 1 else "", facts)


def _token(request: Request, tokens: Tokens, now: float) -> Response:
    if request.method != "PUT":
        return replies.error(405, "method-not-allowed", "a token is requested with PUT", (("Allow", "PUT"),))
    ttl = request.header(TTL_HEADER) or ""
    if not (ttl.isascii() and ttl.isdigit() and len(ttl) <= 5 and 1 <= int(ttl) <= MAX_TTL):
        return replies.error(400, "ttl-refused", f"{TTL_HEADER} must be a number of seconds from 1 to {MAX_TTL}")
    return replies.text(tokens.issue(int(ttl), now), headers=((TTL_HEADER, str(int(ttl))),))


def _read(path: str, facts: ProfileFacts) -> Response | WantCredentials:
    for extended, prefix in ((False, CREDENTIALS_PATH), (True, CREDENTIALS_PATH.replace("ls/", "ls-extended/"))):
        if path in (prefix, prefix.rstrip("/")):
            return replies.text(role_name(facts))
        if path.startswith(prefix):
            return WantCredentials(path.removeprefix(prefix), extended)
    leaves = _leaves(facts)
    value = leaves.get(path.removesuffix("/"))  # botocore requests availability-zone/
    if value is not None:
        return value
    folder = path.rstrip("/") + "/" if path else ""
    names = sorted({name.removeprefix(folder) for name in leaves if name.startswith(folder)})
    entries = dict.fromkeys(name if "/" not in name else name.split("/")[0] + "/" for name in names)
    if not entries:
        return replies.error(404, "not-found", "this metadata is not served here")
    return replies.text("\n".join(entries))


def _leaves(facts: ProfileFacts) -> dict[str, Response]:
    """Return all leaves except credentials."""
    leaves = {
        "meta-data/instance-id": replies.text(INSTANCE_ID),
        "meta-data/iam/info": replies.json_response(200, _info(facts)),
        CREDENTIALS_PATH + "x": replies.text(""),  # for the listings; never requested by this name
    }
    partition = facts.role_arn.split(":")[1] if facts.role_arn else "aws"
    leaves["meta-data/services/partition"] = replies.text(partition)
    leaves["meta-data/services/domain"] = replies.text("amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com")
    if facts.region:
        leaves["meta-data/placement/region"] = replies.text(facts.region)
        leaves["meta-data/placement/availability-zone"] = replies.text(facts.region + "a")
        leaves["dynamic/instance-identity/document"] = replies.json_response(200, _document(facts, facts.region))
    return leaves


def _info(facts: ProfileFacts) -> dict[str, str]:
    account = account_of(facts.role_arn) or "000000000000"
    partition = facts.role_arn.split(":")[1] if facts.role_arn else "aws"
    return {
        "Code": "Success",
        "InstanceProfileArn": f"arn:{partition}:iam::{account}:instance-profile/{role_name(facts)}",
        "InstanceProfileId": "AIPA00000000000000000",
    }


def _document(facts: ProfileFacts, region: str) -> dict[str, str | None]:
    return {
        "accountId": account_of(facts.role_arn),
        "architecture": "x86_64",
        "availabilityZone": region + "a",
        "imageId": "ami-00000000000000000",
        "instanceId": INSTANCE_ID,
        "instanceType": "t3.micro",
        "privateIp": "127.0.0.1",
        "region": region,
        "version": "2017-09-30",
    }


def render(credentials: Credentials, facts: ProfileFacts, *, now: float, extended: bool = False) -> Response:
    """Return credentials as the metadata service writes them.

    Args:
        credentials: to serve.
        facts: the profile of the credentials.
        now: seconds since the epoch.
        extended: include the account, as in security-credentials-extended.
    """
    from datetime import UTC, datetime

    issued = credentials.issued or datetime.fromtimestamp(now, UTC)
    document = {
        "Code": "Success",
        "LastUpdated": replies.timestamp(issued),
        "Type": "AWS-HMAC",
        **replies.credentials_document(credentials, now=now),
    }
    if extended and (account := account_of(facts.role_arn)):
        document["AccountId"] = account
    return replies.json_response(200, document)
