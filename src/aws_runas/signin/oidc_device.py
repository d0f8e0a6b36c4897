"""The device flow of OpenID Connect without I/O: builds requests and reads responses.

Source: RFC 8628; RFC 6749, section 5.2.
"""

from __future__ import annotations

from urllib.parse import urlencode

from aws_runas.aws.sso_oidc import DeviceAuthorization
from aws_runas.errors import CredentialsError
from aws_runas.redact import printable
from aws_runas.signin import device
from aws_runas.signin.device import DeviceAnswer, DeviceOutcome
from aws_runas.signin.id_token import read_object
from aws_runas.signin.oidc import Client, Tokens, denied, error_of, is_safe, read_tokens

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
POLL_INTERVAL = 5.0  # seconds, RFC 8628 3.2


def device_request(client: Client) -> str:
    """Return the form that starts a device flow."""
    return urlencode({"scope": " ".join(client.scopes)} | client.authenticate())


def device_grant(client: Client, device_code: str) -> str:
    """Return the form that asks whether the user has signed in."""
    return urlencode({"grant_type": DEVICE_GRANT, "device_code": device_code} | client.authenticate())


def read_device_code(status: int, text: str) -> DeviceAuthorization:
    """Read the response of the device endpoint.

    Raises:
        CredentialsError: the response is an error.
    """
    document = read_object(text)
    code = document.get("device_code") if document and status == 200 else None
    address = str(document.get("verification_uri", "")) if document else ""
    if not document or not isinstance(code, str) or not is_safe(address):
        error, description = error_of(text)
        raise denied(error or f"the device endpoint answers {status}", description)
    complete = str(document.get("verification_uri_complete") or "")
    return DeviceAuthorization(
        code,
        printable(str(document.get("user_code", ""))),
        printable(address),
        printable(complete) if is_safe(complete) else "",
        _seconds(document.get("expires_in"), 600.0),
        _seconds(document.get("interval"), POLL_INTERVAL),
    )


def _seconds(value: object, default: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        return default
    return min(float(value), 3600.0)


# Error of the token endpoint -> answer. Source: RFC 8628, section 3.5.
_POLL_ANSWERS = {
    "authorization_pending": DeviceAnswer.PENDING,
    "slow_down": DeviceAnswer.SLOW_DOWN,
    "expired_token": DeviceAnswer.EXPIRED,
}
TOO_MANY = 429
PASSING = (408, TOO_MANY)  # statuses after which a request is repeated, in addition to 500 and above


class DevicePolling:
    """Polling of a token endpoint: decides when to poll, and reads its responses.

    Args:
        code: from `read_device_code`.
        now: monotonic seconds; the first poll is one interval later.

    Attributes:
        tokens: None while the user signs in.
    """

    def __init__(self, code: DeviceAuthorization, now: float) -> None:
        self._wait = device.DevicePolling(now, code.interval, code.expires_in)
        self._wait.next_poll = now + code.interval  # no user can have signed in earlier
        self.tokens: Tokens | None = None

    def next_timer(self) -> float:
        """Return the time of the next poll in monotonic seconds."""
        return self._wait.next_timer()

    def receive_answer(self, status: int, text: str, now: float) -> None:
        """Process a response of the token endpoint.

        Args:
            status: HTTP status.
            text: body of the response.
            now: monotonic seconds.

        Raises:
            CredentialsError: the user refused, or the code has expired.
        """
        if status == 200:
            self.tokens = read_tokens(status, text)
            return
        error, description = error_of(text)
        is_passing = status >= 500 or status in PASSING
        unknown = DeviceAnswer.SLOW_DOWN if status == TOO_MANY else DeviceAnswer.FAILED
        self._wait.receive_answer(_POLL_ANSWERS.get(error, unknown if is_passing else DeviceAnswer.DENIED), now)
        if self._wait.outcome is DeviceOutcome.DENIED and not error:
            raise denied(f"the token endpoint answers {status}", description)
        self._check(error, description)

    def receive_failure(self, now: float) -> None:
        """Note that the token endpoint could not be reached.

        Args:
            now: monotonic seconds.

        Raises:
            CredentialsError: the code has expired.
        """
        self._wait.receive_answer(DeviceAnswer.FAILED, now)
        self._check("", "")

    def _check(self, error: str, description: str) -> None:
        if self._wait.outcome is DeviceOutcome.EXPIRED:
            raise CredentialsError("the code was not used in time", code="login-timeout", hint="sign in again")
        if self._wait.outcome is not None:
            raise denied(error, description)
