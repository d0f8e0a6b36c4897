"""The identity behind credentials, and the time at AWS."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from aws_runas.aws import reply
from aws_runas.aws.errors import translate
from aws_runas.errors import AwsRunasError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access


@dataclass(frozen=True, slots=True)
class CallerIdentity:
    """The identity that STS reports for the credentials that signed.

    Args:
        account: twelve digits.
        arn: of the user or of the role session.
        user_id: ``AIDA...``, or ``AROA...:session``.
        date: the time of the answer, None where it has none.
    """

    account: str
    arn: str
    user_id: str
    date: datetime | None = None


def caller_identity(access: Access, *, user: bool = False) -> CallerIdentity:
    """Ask STS who we are.

    Args:
        access: whose credentials sign.
        user: sign with the user's own keys instead of the role's.

    Source: AWS API reference, sts GetCallerIdentity. No policy can deny it.
    """
    client = access.user_client("sts") if user else access.client("sts")
    with translate("sts", "GetCallerIdentity"):
        answer = client.get_caller_identity()
        values = (reply.text(answer, "Account"), reply.text(answer, "Arn"), reply.text(answer, "UserId"))
        return CallerIdentity(*values, _date(answer))


def date_of(error: AwsRunasError) -> datetime | None:
    """The time of the answer that an error of ours came from: a refused call tells it as well as a granted one."""
    return _date(getattr(error.__cause__, "response", None) or {})


def _date(answer: Any) -> datetime | None:
    try:
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
