"""Config and credentials files of a sandbox, and the environment that points to them."""

from __future__ import annotations

import os
import secrets
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from aws_runas import files
from aws_runas.sandbox.fixtures import EXTERNAL_ID, MFA_SERIAL, USER, USER_PROFILE, Fixtures, role_arn
from aws_runas.sandbox.services.principals import ACCOUNT
from aws_runas.sandbox.services.sso_directory import SESSION, SIGNED_IN_SESSION

CONFIG = """\
# Written by `aws-runas sandbox`; gone when it ends.
[default]
region = {region}

# The user's own keys.
[profile {user}]
region = {region}

# A plain role.
[profile my-profile]
role_arn = {my_role}
source_profile = {user}
region = {region}

# A role that requires an MFA code; the program sandbox-mfa-code prints one.
[profile my-profile-mfa]
role_arn = {mfa}
source_profile = {user}
mfa_serial = {serial}
region = {region}

# The same role; a program provides the code.
[profile my-profile-mfa-auto]
role_arn = {mfa}
source_profile = {user}
mfa_serial = {serial}
mfa_process = sandbox-mfa-code
region = {region}

# A role that requires an external id.
[profile my-profile-external]
role_arn = {external}
source_profile = {user}
external_id = {external_id}
region = {region}

# A role that only the role of my-profile may assume.
[profile my-profile-chained]
role_arn = {chained}
source_profile = my-profile
region = {region}

# The role of my-profile through single sign-on, already signed in.
[profile my-profile-sso]
sso_session = {signed_in}
sso_account_id = {account}
sso_role_name = my-role
region = {region}

[sso-session {signed_in}]
sso_region = {region}
sso_start_url = {start_url}
sso_registration_scopes = sso:account:access

# The same role; `aws-runas login sandbox-sso` signs in.
[profile sandbox-sso]
sso_session = {session}
sso_account_id = {account}
sso_role_name = my-role
region = {region}

[sso-session {session}]
sso_region = {region}
sso_start_url = {start_url}
sso_registration_scopes = sso:account:access

# The user's login of aws login, already signed in; and a role through it.
[profile sandbox-login]
login_session = {login_session}
region = {region}

[profile my-profile-login]
role_arn = {my_role}
source_profile = sandbox-login
region = {region}

# A role that may list but not open sessions.
[profile my-profile-reader]
role_arn = {reader}
source_profile = {user}
region = {region}
"""

MFA_PROGRAM = """\
#!/bin/sh
# Prints a code of the sandbox's MFA device: the current one, or the next one if the current one was used.
exec '{python}' -IS - <<'END'
import socket
with socket.create_connection(("127.0.0.1", {port}), 10) as connection:
    connection.sendall(b"POST /_sandbox/mfa-code HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\nConnection: close\\r\\n"
                       b"Authorization: Bearer {token}\\r\\nContent-Length: 0\\r\\n\\r\\n")
    answer = b"".join(iter(lambda: connection.recv(4096), b""))
print(answer.rpartition(b"\\r\\n\\r\\n")[2].strip(b'"').decode())
END
"""


LOGIN_SESSION = f"arn:aws:iam::{ACCOUNT}:user/{USER}"
HOME = "home"  # separate from the user's home, because SDKs keep credentials in caches below it


def write_web_identity_token(directory: Path) -> str:
    """Write a token for AssumeRoleWithWebIdentity to ``web-identity-token`` in the sandbox's home, and return it.

    Args:
        directory: the directory of the sandbox.
    """
    token = secrets.token_urlsafe(48)
    files.make_private_directory(directory / HOME)
    files.write_atomic(directory / HOME / "web-identity-token", token.encode())
    return token


def write(directory: Path, fixtures: Fixtures, region: str, port: int, *, token: str, start_url: str) -> None:
    """Write the files of a sandbox: a home with its AWS files, and ``bin/sandbox-mfa-code``.

    Args:
        directory: the directory of the sandbox.
        fixtures: the user's keys.
        region: the region of all profiles.
        port: the port of the control address on 127.0.0.1.
        token: the token of the control address.
        start_url: the start URL of single sign-on.

    Raises:
        OSError: a file could not be written.
    """
    home = directory / HOME
    files.make_private_directory(home / ".aws")
    config = CONFIG.format(
        region=region,
        signed_in=SIGNED_IN_SESSION,
        session=SESSION,
        start_url=start_url,
        user=USER_PROFILE,
        account=ACCOUNT,
        login_session=LOGIN_SESSION,
        serial=MFA_SERIAL,
        external_id=EXTERNAL_ID,
        mfa=role_arn("my-role-mfa"),
        my_role=role_arn("my-role"),
        external=role_arn("my-role-external"),
        chained=role_arn("my-role-chained"),
        reader=role_arn("my-role-reader"),
    )
    credentials = (
        f"[{USER_PROFILE}]\naws_access_key_id = {fixtures.access_key_id}\n"
        f"aws_secret_access_key = {fixtures.secret_access_key}\n"
    )
    files.write_atomic(home / ".aws" / "config", config.encode())
    files.write_atomic(home / ".aws" / "credentials", credentials.encode())
    program = MFA_PROGRAM.format(python=sys.executable, port=port, token=token)
    files.make_private_directory(directory / "bin")
    files.write_atomic(directory / "bin" / "sandbox-mfa-code", program.encode(), mode=0o700)


def write_shell_files(directory: Path, base: Mapping[str, str]) -> None:
    """Write startup files that run those of the user and add the sandbox to the prompt.

    Args:
        directory: the directory of the sandbox.
        base: the user's environment; its HOME holds the user's files.
    """
    real = base.get("HOME", "")
    if not real:
        return
    quoted = shlex.quote(real)
    for name in (".bashrc", ".zshrc"):
        text = (  # while the user's file runs, HOME is the user's home
            f"sandbox_home=$HOME; HOME={quoted}\n[ -f {quoted}/{name} ] && . {quoted}/{name}\n"
            'HOME=$sandbox_home; unset sandbox_home\nPS1="(sandbox) $PS1"\n'
        )
        files.write_atomic(directory / HOME / name, text.encode())


FOREIGN = (
    "SESSION_TOKEN_DURATION",
    "CREDENTIALS_DURATION",
    "MFA_CODE",
    "MFA_SERIAL",
    "EXTERNAL_ID",
    "AWSRUNAS_PROFILE",
)


def environment(base: Mapping[str, str], directory: Path, endpoint: str, token: str) -> dict[str, str]:
    """Return the variables for programs inside the sandbox, without the caller's AWS settings.

    Args:
        base: the caller's environment.
        directory: the directory of the sandbox.
        endpoint: address of every AWS service, ``http://127.0.0.1:PORT``.
        token: the token of the sandbox's control address.
    """
    aws = directory / HOME / ".aws"
    kept = {
        name: value
        for name, value in base.items()
        if not name.startswith(("AWS_", "RUNAS_"))
        and name not in FOREIGN
        and name.lower() not in ("http_proxy", "all_proxy")
    }
    no_proxy = ",".join(filter(None, [kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1", "localhost"]))
    return kept | {
        "AWS_CONFIG_FILE": str(aws / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(aws / "credentials"),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_PAGER": "",
        "HOME": str(directory / HOME),
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "PATH": os.pathsep.join(
            [str(directory / "bin"), str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]
        ),
        "RUNAS_CACHE_DIR": str(aws / "aws-runas" / "cache"),
        "RUNAS_SIGNIN_URL": endpoint,
        "RUNAS_SANDBOX": str(directory),
        "RUNAS_SANDBOX_TOKEN": token,
    }
