"""Which way a profile signs in to the console, and how long such a session may be asked to last.

Source: AWS IAM User Guide, "Enable custom identity broker access to the AWS console"; what AWS refuses is known from
reports of users: SessionDuration with chained roles and with GetFederationToken, session tokens altogether.
"""

from __future__ import annotations

from typing import Literal

from aws_runas.aws.credentials import Credentials
from aws_runas.config.durations import CHAINED_ROLE_LIMIT
from aws_runas.config.profile import FederatedSource, KeyringSource, KeySource, NoSource, Profile

Way = Literal["portal", "direct", "federated", "chained", "user", "unknown"]
SHORTEST, LONGEST = 900, 43200  # seconds of SessionDuration
NAME_LENGTH = 32  # characters of the Name of GetFederationToken
_FEDERATED_SOURCES = frozenset({"web-identity", "environment-web-identity"})


def find_way(profile: Profile, *, federation: bool) -> Way:
    """Tell how a profile signs in.

    Args:
        federation: not by the portal of Identity Center.

    Returns:
        "portal": the shortcut of Identity Center. "direct": role credentials that may have a SessionDuration: from
        AssumeRole with long-term keys, SAML or a web identity. "federated": those of Identity Center, of which that is
        not known. "chained": role credentials that may not. "user": keys
        of a user, by GetFederationToken. "unknown": STS knows what they are.
    """
    source = profile.source
    if profile.roles and not profile.session:
        own_keys = isinstance(source, KeyringSource) or (isinstance(source, KeySource) and source.session_token is None)
        kept = profile.roles[-1].duration.value <= CHAINED_ROLE_LIMIT  # such a role goes through a session token
        return "direct" if own_keys and len(profile.roles) == 1 and not kept else "chained"
    if isinstance(source, KeyringSource):
        return "user"
    if isinstance(source, KeySource):
        return "user" if source.session_token is None else "unknown"
    if isinstance(source, NoSource):
        return "unknown"
    if isinstance(source, FederatedSource):
        return "direct"
    if source.kind == "sso":
        return "federated" if federation else "portal"
    return "direct" if source.kind in _FEDERATED_SOURCES else "unknown"


def session_duration(way: Way, asked: int | None, credentials: Credentials, now: float) -> int | None:
    """Return the SessionDuration to send, in seconds; None to send none.

    Args:
        asked: by ``-d``; AWS decides where it is not known to be refused.
        credentials: that sign in.
        now: seconds since the epoch.
    """
    if way == "chained" or way == "user":
        return None
    if asked is not None:
        return asked
    if way != "direct" or credentials.expiration is None:
        return None
    left = int(credentials.expiration.timestamp() - now)
    return min(left, LONGEST) if left >= SHORTEST else None


def can_sign_in(arn: str) -> bool:
    """Tell whether temporary credentials of this identity can sign in: those of a role or a federated user."""
    return (
        arn.partition(":sts:")[2].partition(":")[2].partition(":")[2].startswith(("assumed-role/", "federated-user/"))
    )


def federation_name(arn: str) -> str:
    """Return the Name for GetFederationToken: the user's name, 2 to 32 characters."""
    name = arn.rpartition(":")[2].rpartition("/")[2][:NAME_LENGTH]
    return name if len(name) > 1 else f"{name}-user"
