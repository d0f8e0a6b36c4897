"""The environment of the user's program. This module is on the fast path, so it imports only os."""

import os

TYPE_CHECKING = False  # the name that typing uses: type checkers treat it as true without the import of typing
if TYPE_CHECKING:
    from collections.abc import Mapping

# Variables that would give the program another identity than the profile's, or take precedence over it.
REMOVED = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CREDENTIAL_EXPIRATION",
    "AWS_ACCESS_KEY",  # also read by version 1 of the Java SDK
    "AWS_SECRET_KEY",
    "AWS_CREDENTIAL_FILE",  # of the old EC2 tools; botocore reads it before the endpoint
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    # secrets that are meant for us
    "MFA_CODE",
    "SAML_PASSWORD",
    "WEB_PASSWORD",
    "WEB_IDENTITY_PASSWORD",
    "RUNAS_PASSWORD",
    "RUNAS_KEYRING_PASSPHRASE",
)


def base(environ: "Mapping[str, str]", profile: str, region: str | None) -> dict[str, str]:
    """Return the variables that both modes have in common.

    Args:
        environ: the variables of this process; not changed.
        profile: name or role ARN, for AWSRUNAS_PROFILE.
        region: the resolved region; None leaves the variables unchanged.

    Returns:
        A new environment.
    """
    variables = dict(environ)
    for name in REMOVED:
        variables.pop(name, None)
    _undo_locale_coercion(variables)
    variables["AWSRUNAS_PROFILE"] = profile
    if region:
        variables["AWS_REGION"] = variables["AWS_DEFAULT_REGION"] = region
    return variables


def with_keys(
    variables: dict[str, str], access_key_id: str, secret_access_key: str, session_token: str | None, expiration: str
) -> dict[str, str]:
    """Add credentials, for -E.

    Args:
        variables: from base; changed and returned.
        access_key_id, secret_access_key, session_token: the credentials.
        expiration: when the credentials expire, ISO 8601 in UTC; "" if they do not.
    """
    variables["AWS_ACCESS_KEY_ID"] = access_key_id
    variables["AWS_SECRET_ACCESS_KEY"] = secret_access_key
    if session_token:
        variables["AWS_SESSION_TOKEN"] = variables["AWS_SECURITY_TOKEN"] = session_token
    if expiration:
        variables["AWS_CREDENTIAL_EXPIRATION"] = expiration
    return variables


def with_endpoint(variables: dict[str, str], port: int, token: str, config_file: str | None) -> dict[str, str]:
    """Add the address of the credential endpoint.

    Args:
        variables: from base; changed and returned.
        port: port of the endpoint on 127.0.0.1.
        token: authorization token that the endpoint requires.
        config_file: the copy of the config file without credential sources, None if no copy is needed.
    """
    variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"http://127.0.0.1:{port}/credentials"
    variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = token
    variables["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    if config_file:
        variables["AWS_CONFIG_FILE"] = config_file
    return variables


def _undo_locale_coercion(variables: dict[str, str]) -> None:
    """Remove LC_CTYPE if this interpreter set it for itself (PEP 538) and the user's shell did not."""
    if variables.get("LC_CTYPE") not in ("C.UTF-8", "C.utf8", "UTF-8"):
        return
    try:
        with open("/proc/self/environ", "rb") as stream:  # the environment at the start of the process
            started_with = stream.read()
    except OSError:
        return
    if b"\0LC_CTYPE=" not in b"\0" + started_with:
        del variables["LC_CTYPE"]
