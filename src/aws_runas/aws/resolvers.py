"""botocore's own credential resolvers: web identities, containers, instance metadata."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

from botocore import credentials as resolvers
from botocore import exceptions

from aws_runas.aws import local_sources
from aws_runas.aws.client import Session, attach
from aws_runas.aws.client_settings import check_settings
from aws_runas.aws.credentials import Credentials, checked, parse_time
from aws_runas.aws.errors import causes, connection_failed, scrub
from aws_runas.config.profile import Profile, ResolverSource
from aws_runas.errors import AwsRunasError, CredentialsError


def fetch(
    profile: Profile, source: ResolverSource, now: float, trace: Callable[[str], None] | None = None
) -> Credentials:
    """Fetch credentials through botocore.

    Args:
        profile: gives the content of the config files and the region.
        source: names the resolver and the profile section that configures it.
        now: seconds since the epoch, becomes ``issued``.
        trace: receives a line for each AWS call; None for no trace.

    Raises:
        CredentialsError: the source gave no credentials; the message names the source.
    """
    try:
        return _fetch(profile, source, now, trace)
    except AwsRunasError:
        raise
    except exceptions.ClientError as error:
        answer = error.response.get("Error") or {}
        reason = f"{scrub(str(answer.get('Message') or 'failed'))} ({answer.get('Code')})"
        raise _failure(source, reason, _HINT_REFUSED) from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        raise connection_failed(source.origin, CredentialsError, error) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise _failure(source, f"cannot read {error.filename}: {reason}" if error.filename else reason) from error
    except (exceptions.BotoCoreError, RuntimeError) as error:
        if source.kind == "EcsContainer":
            raise _container_failure(source, error) from error
        raise _failure(source, " ".join(str(error).split())) from error
    except ValueError as error:
        raise _failure(source, str(error) if type(error) is ValueError else "its answer cannot be read") from error
    except Exception as error:  # botocore reads replies and foreign files, and fails in many ways if they are malformed
        raise _failure(source, f"its answer cannot be read ({type(error).__name__})") from error


def _fetch(profile: Profile, source: ResolverSource, now: float, trace: Callable[[str], None] | None) -> Credentials:
    if source.kind == "EcsContainer":
        local_sources.check_container_variables(source.origin)
    elif source.kind == "Ec2InstanceMetadata":
        local_sources.check_metadata_variables(source.origin)
    if source.kind in ("EcsContainer", "Ec2InstanceMetadata"):
        check_settings(profile)
    session = Session(profile)
    if trace is not None:
        attach(session, trace)
    found = _provider(session, profile, source).load()
    if found is None:
        at = "" if source.kind != "Ec2InstanceMetadata" else f": {local_sources.metadata_address()} offers no role"
        raise _failure(source, f"it has none{at}")
    frozen = found.get_frozen_credentials()
    expiry = getattr(found, "_expiry_time", None)
    return checked(
        frozen.access_key,
        frozen.secret_key,
        frozen.token,
        expiration=parse_time(expiry.isoformat()) if isinstance(expiry, datetime) else None,
        now=now,
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
    }
    return make[source.kind]()


_HINT_REFUSED = "check the account, the role and the region in the profile, and that they are assigned to you"


def _container_failure(source: ResolverSource, error: Exception) -> CredentialsError:
    """Return an error for a failed fetch of container credentials: no connection, or a malformed response."""
    for cause in causes(error):
        if isinstance(cause, (exceptions.HTTPClientError, exceptions.ConnectionError)):
            worded = connection_failed(source.origin, CredentialsError, cause)
            return _failure(source, f"{worded.message.removeprefix(source.origin + ': ')} ({_container_variable()})")
    return _failure(source, local_sources.container_answer(str(error)))


def _container_variable() -> str:
    return local_sources.RELATIVE if os.environ.get(local_sources.RELATIVE) else local_sources.FULL


def _failure(source: ResolverSource, reason: str, hint: str = "") -> CredentialsError:
    hints = {
        "Ec2InstanceMetadata": "this works on an EC2 instance with an instance profile",
        "EcsContainer": _container_hint(),
    }
    return CredentialsError(
        f"no credentials from {source.origin}: {reason}",
        code="source-failed",
        hint=hint or hints.get(source.kind, "check the token file and the role_arn"),
    )


def _container_hint() -> str:
    return f"check what answers at {_container_variable()}, and {local_sources.TOKEN}"
