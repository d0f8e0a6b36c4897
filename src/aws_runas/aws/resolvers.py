"""botocore's own credential resolvers: SSO, login, processes, web identities, containers, instance metadata."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore import credentials as resolvers
from botocore import exceptions

from aws_runas.aws.client import Session
from aws_runas.aws.credentials import Credentials
from aws_runas.aws.trace import attach
from aws_runas.config.profile import Profile, ResolverSource
from aws_runas.errors import CredentialsError


def fetch(
    profile: Profile, source: ResolverSource, now: float, trace: Callable[[str], None] | None = None
) -> Credentials:
    """Have botocore fetch credentials.

    Args:
        profile: gives the config files' content and the region.
        source: which resolver, configured by which profile section.
        now: seconds since the epoch, becomes ``issued``.
        trace: told of each AWS call; None for silence.

    Raises:
        CredentialsError: it could not; the message says which source.
    """
    try:
        return _fetch(profile, source, now, trace)
    except exceptions.ClientError as error:
        answer = error.response.get("Error", {})
        reason = f"{answer.get('Message') or 'failed'} ({answer.get('Code')})"
        raise _failure(source, reason) from error
    except (exceptions.BotoCoreError, OSError, ValueError) as error:
        raise _failure(source, " ".join(str(error).split())) from error


def _fetch(profile: Profile, source: ResolverSource, now: float, trace: Callable[[str], None] | None) -> Credentials:
    session = Session(profile)
    if trace is not None:
        attach(session, trace)
    found = _provider(session, profile, source).load()
    if found is None:
        raise _failure(source, "it has none")
    frozen = found.get_frozen_credentials()
    expiry = getattr(found, "_expiry_time", None)
    return Credentials(
        access_key_id=frozen.access_key,
        secret_access_key=frozen.secret_key,
        session_token=frozen.token or None,
        expiration=expiry.astimezone(UTC) if isinstance(expiry, datetime) else None,
        issued=datetime.fromtimestamp(now, UTC),
    )


def _provider(session: Session, profile: Profile, source: ResolverSource) -> Any:
    if source.kind in ("EcsContainer", "Ec2InstanceMetadata"):
        wanted = {"EcsContainer": "container-role", "Ec2InstanceMetadata": "iam-role"}[source.kind]
        return resolvers.create_credential_resolver(session).get_provider(wanted)
    builder = resolvers.ProfileProviderBuilder(session, cache={}, region_name=profile.sts_region)
    if source.kind == "environment-web-identity":
        return builder._create_web_identity_provider(None, False)
    make: dict[str, Callable[[], Any]] = {
        "web-identity": lambda: builder._create_web_identity_provider(source.profile, True),
        "sso": lambda: builder._create_sso_provider(source.profile),
        "login": lambda: builder._create_login_provider(source.profile),
        "process": lambda: builder._create_process_provider(source.profile),
    }
    return make[source.kind]()


def _failure(source: ResolverSource, reason: str) -> CredentialsError:
    hints = {
        "sso": "sign in again, for instance with aws sso login",
        "login": "sign in again with aws login",
        "process": "run the command of credential_process by hand to see more",
        "Ec2InstanceMetadata": "this works on an EC2 instance with an instance profile",
        "EcsContainer": "this works in an ECS task, or where AWS_CONTAINER_CREDENTIALS_FULL_URI is set",
    }
    return CredentialsError(
        f"no credentials from {source.origin}: {reason}",
        code="source-failed",
        hint=hints.get(source.kind, "check the token file and the role_arn"),
    )
