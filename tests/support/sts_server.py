"""A small STS on loopback that counts: what it is asked, by whom, and with which answer, is the test's to say."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

MFA = "arn:aws:iam::123456789012:mfa/me"
ROLE = "arn:aws:iam::123456789012:role/"
WRONG_CODE = "MultiFactorAuthentication failed with invalid MFA one time pass code. "
WRONG_DEVICE = (
    "MultiFactorAuthentication failed, unable to validate MFA code.  "
    "Please verify your MFA serial number is valid and associated with this user."
)


@dataclass
class Call:
    """One request.

    Args:
        action: ``AssumeRole``...
        parameters: of the query.
        key_id: whose signature it has.
        session_token: whether temporary credentials signed.
    """

    action: str
    parameters: dict[str, str]
    key_id: str
    session_token: str | None


@dataclass
class Sts:
    """What the server knows and has seen.

    Args:
        url: its address.
        codes: MFA codes that are right; each is good once.
        errors: by action: status, code, message; taken instead of an answer.
        gate: answers wait for it.
    """

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    codes: set[str] = field(default_factory=lambda: {"123456"})
    devices: set[str] = field(default_factory=lambda: {MFA})
    errors: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    dead_keys: set[str] = field(default_factory=set)
    gate: threading.Event = field(default_factory=threading.Event)
    body: bytes | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _made: int = 0

    def actions(self) -> list[str]:
        return [call.action for call in self.calls]

    def answer(self, call: Call) -> tuple[int, str]:
        with self._lock:
            self.calls.append(call)
            refusal = self._refusal(call)
            self._made += 1
            number = self._made
        self.gate.wait(60)
        if refusal:
            status, code, message = refusal
            return status, _ERROR.format(code=code, message=message)
        if call.action == "GetCallerIdentity":
            return 200, _IDENTITY
        end = datetime.now(UTC) + timedelta(seconds=int(call.parameters.get("DurationSeconds", 3600)))
        kind = "SESSION" if call.action == "GetSessionToken" else "ROLE"
        return 200, _ANSWER.format(
            action=call.action, key=f"ASIA{kind}{number:08d}", end=end.strftime("%Y-%m-%dT%H:%M:%SZ"), number=number
        )

    def _refusal(self, call: Call) -> tuple[int, str, str] | None:
        if call.action in self.errors:
            return self.errors[call.action]
        if call.key_id in self.dead_keys:
            return 403, "InvalidClientTokenId", "The security token included in the request is invalid."
        code = call.parameters.get("TokenCode")
        if code is not None:
            if call.parameters.get("SerialNumber") not in self.devices:
                return 403, "AccessDenied", WRONG_DEVICE
            if code not in self.codes:
                return 403, "AccessDenied", WRONG_CODE
            self.codes.discard(code)
        return None


@contextmanager
def running_sts() -> Iterator[Sts]:
    """Start the server; it ends with the block."""
    sts = Sts()
    sts.gate.set()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"])).decode()
            parameters = {key: values[0] for key, values in parse_qs(content).items()}
            signer = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
            call = Call(
                parameters.pop("Action"),
                parameters,
                signer[1] if signer else "",
                self.headers.get("X-Amz-Security-Token"),
            )
            status, text = sts.answer(call)
            body = sts.body if sts.body is not None else text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    sts.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield sts
    finally:
        sts.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()


def write_home(home: Path, url: str, *, more: str = "") -> dict[str, str]:
    """A home with profiles ``user`` (MFA), ``plain`` (none), ``role`` and ``other`` over user, ``chained`` over role.

    Returns:
        The environment to run in.
    """
    (home / ".aws").mkdir(mode=0o700)
    (home / ".aws" / "config").write_text(
        f"""[default]
region = us-east-1
[profile user]
mfa_serial = {MFA}
[profile role]
role_arn = {ROLE}Role
source_profile = user
[profile other]
role_arn = {ROLE}Other
source_profile = user
region = eu-west-1
[profile chained]
role_arn = {ROLE}Chained
source_profile = role
external_id = of-chained
[profile plainrole]
role_arn = {ROLE}Plain
source_profile = plain
"""
        + more
    )
    (home / ".aws" / "credentials").write_text(
        """[user]
aws_access_key_id = AKIAUSEREXAMPLE
aws_secret_access_key = secret-key-of-user
[plain]
aws_access_key_id = AKIAPLAINEXAMPLE
aws_secret_access_key = secret-key-of-plain
"""
    )
    return {"HOME": str(home), "PATH": "/usr/bin:/bin", "AWS_ENDPOINT_URL_STS": url, "LOGNAME": "tester"}


_XMLNS = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"'
_ANSWER = (
    f"<{{action}}Response {_XMLNS}><{{action}}Result><Credentials><AccessKeyId>{{key}}</AccessKeyId>"
    "<SecretAccessKey>secret-made-{number}</SecretAccessKey><SessionToken>token-made-{number}</SessionToken>"
    "<Expiration>{end}</Expiration></Credentials></{action}Result>"
    "<ResponseMetadata><RequestId>r-{number}</RequestId></ResponseMetadata></{action}Response>"
)
_IDENTITY = (
    f"<GetCallerIdentityResponse {_XMLNS}><GetCallerIdentityResult><UserId>AIDA</UserId><Account>123456789012</Account>"
    "<Arn>arn:aws:iam::123456789012:user/me</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"
)
_ERROR = (
    f"<ErrorResponse {_XMLNS}><Error><Type>Sender</Type><Code>{{code}}</Code><Message>{{message}}</Message></Error>"
    "<RequestId>r-e</RequestId></ErrorResponse>"
)
