"""botocore clients for the inside of a sandbox, isolated from the test runner's own variables."""

from __future__ import annotations

from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from aws_runas.sandbox.world import Sandbox

PLAIN = Config(parameter_validation=False, retries={"max_attempts": 1}, connect_timeout=10, read_timeout=30)


def client(
    sandbox: Sandbox,
    service: str,
    *,
    profile: str | None = None,
    keys: dict[str, str] | None = None,
    region: str = "us-east-1",
) -> Any:
    """A client of a profile's, or of an AWS reply's ``Credentials``."""
    session = botocore.session.Session(
        session_vars={
            "config_file": (None, None, str(sandbox.config_file), None),
            "credentials_file": (None, None, str(sandbox.credentials_file), None),
            "profile": (None, None, profile, None),
        }
    )
    more: dict[str, Any] = {}
    if keys is not None:
        more = {
            "aws_access_key_id": keys["AccessKeyId"],
            "aws_secret_access_key": keys["SecretAccessKey"],
            "aws_session_token": keys.get("SessionToken"),
        }
    return session.create_client(service, region_name=region, endpoint_url=sandbox.endpoint, config=PLAIN, **more)


def user_client(sandbox: Sandbox, service: str) -> Any:
    """A client with the user's own keys."""
    return client(sandbox, service, profile="my-profile-user")


def refusal(error: ClientError) -> tuple[str, str]:
    """Code and message of an AWS error."""
    return error.response["Error"]["Code"], error.response["Error"]["Message"]
