"""The credential helper, full path: ``get``, ``list``, ``store``, ``erase`` and ``version`` of the Docker protocol.

Errors that belong to the protocol go to standard output, where clients compare them; everything else is one sentence on
standard error, which clients pass on. There are no prompts: many pulls run at once, and the client has the terminal.
The section ``[runas-ecr]`` of the config file names the profile of each account.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from aws_runas import __version__
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result, emit
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.config.arn import ACCOUNT_DIGITS
from aws_runas.config.files import ConfigFiles
from aws_runas.config.profile import Setting
from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError, Interrupted
from aws_runas.fast.names import is_on
from aws_runas.redact import printable
from aws_runas.tokens.registry import Registry, parse_registry

SECTION = "runas-ecr"
PUBLIC = "public.ecr.aws"


def registry_profiles(files: ConfigFiles) -> Mapping[str, Setting[str]]:
    """Return the profile of each account, and of the public gallery under `PUBLIC`.

    Raises:
        ConfigError: a key is not an account number, or a profile does not exist.
    """
    section = files.config.sections.get(SECTION, {})
    found = {}
    for key, value in section.items():
        line = files.config.lines.get((SECTION, key), "?")
        origin = f"[{SECTION}] in {files.config.path}, line {line}"
        is_account = len(key) == ACCOUNT_DIGITS and key.isascii() and key.isdigit()
        if not is_account and key != PUBLIC:
            raise ConfigError(
                f"{key!r} ({origin}) is not an account",
                code="ecr-section-invalid",
                hint=f"write 123456789012 = PROFILE, or {PUBLIC} = PROFILE",
            )
        name = value.strip() if isinstance(value, str) else ""
        if not name or (name not in files.profiles and name != "default" and not name.startswith("arn:")):
            raise ConfigError(
                f"profile {name!r} of account {key} ({origin}) does not exist",
                code="ecr-section-invalid",
                hint="name a profile of the config file",
            )
        found[key] = Setting(name, origin)
    return found


NAME = "docker-credential-aws-runas"
USAGE = f"Usage: {NAME} <store|get|erase|list|version>"
NOT_FOUND = "credentials not found in native keychain"  # clients recognize this text, and continue without credentials
NO_ADDRESS = "no credentials server URL"
MAX_INPUT = 64 * 1024  # bytes
IGNORE_STORE = "RUNAS_ECR_IGNORE_STORE"


def main(words: Sequence[str], server: str, env: Environment | None = None) -> int:
    """Answer one request.

    Args:
        words: the action.
        server: for ``get``, the content of standard input.
        env: the outside world; the real one when None.

    Returns:
        The exit status.
    """
    env = env or Environment()
    try:
        result = _answer(list(words), server, env)
    except AwsRunasError as error:
        result = Result(1, stderr=_sentence(error))
    except KeyboardInterrupt:
        result = Result(Interrupted.exit_status)
    except Exception as error:  # its text is left out because it could contain a secret
        result = Result(1, stderr=f"aws-runas: internal error: {type(error).__name__}\n")
    return emit(result, env)


def _sentence(error: AwsRunasError) -> str:
    text = "; ".join(filter(None, [error.message, *error.details, error.hint]))
    return f"aws-runas: {printable(text)}\n"


def _answer(words: list[str], server: str, env: Environment) -> Result:
    if len(words) != 1:
        return Result(1, stdout=f"{USAGE}\n")
    action = words[0]
    if action == "get":
        return _get(server, env)
    if action == "list":
        return _list(env)
    if action in ("store", "erase"):
        return _refuse(action, env)
    if action in ("version", "--version"):
        return Result(stdout=f"{NAME} {__version__}\n")
    return Result(1, stdout=f"Unknown credential action `{printable(action)}`\n")


def _get(server: str, env: Environment) -> Result:
    if not server:
        return Result(1, stdout=f"{NO_ADDRESS}\n")
    registry = parse_registry(server)
    if registry is None:
        return Result(1, stdout=f"{NOT_FOUND}\n")
    from aws_runas.cli.access import open_access_for
    from aws_runas.cli.registry_tokens import fetch_token, write_registry_shortcut
    from aws_runas.cli.sign_in import Attendance
    from aws_runas.fast import shortcut

    before = shortcut.header(env.environ)
    profile = profile_for(registry, env)

    def refuse(_question: str) -> str:
        raise CredentialsError(
            "an MFA code is needed, and a credential helper cannot ask for it",
            code="mfa-no-terminal",
            hint=f"run aws-runas {profile or access.profile.name} true in a terminal, then try again",
        )

    access = open_access_for(GlobalFlags(), profile, env, prompt=refuse, attendance=Attendance(unattended=True))
    credentials = access.provider.credentials()
    token = fetch_token(access, registry, env)
    write_registry_shortcut(registry.host, access.profile, credentials, token, environ=env.environ, before=before)
    answer = {"ServerURL": server, "Username": token.user, "Secret": token.password}
    return Result(stdout=json.dumps(answer, separators=(",", ":")) + "\n")


def profile_for(registry: Registry, env: Environment) -> str | None:
    """Return the profile that logs in to a registry; None for the one that the environment names, or default.

    Raises:
        ConfigError: no profile is set for the registry.
    """
    from aws_runas.config.profile import NoSource
    from aws_runas.config.resolve import Overrides, profile_variable, resolve

    if profile_variable(env.environ) is not None:
        return None
    files = env.config_files()
    profiles = registry_profiles(files)
    key = registry.account or PUBLIC
    if key in profiles:
        return profiles[key].value
    if not isinstance(resolve(files, None, Overrides(), env.environ).source, NoSource):
        return None
    raise ConfigError(
        f"no profile is set for the registry {registry.host}",
        code="registry-profile-missing",
        hint=f"add {key} = PROFILE to [{SECTION}] in {files.config.path}, or set AWS_PROFILE",
    )


def _list(env: Environment) -> Result:
    """List the private registries of the section: the account of each key, in the region of its profile."""
    from aws_runas.aws.client_settings import dns_suffix

    found = {}
    for account, profile in registry_profiles(env.config_files()).items():
        region = _region(profile, env)
        if account == PUBLIC:
            found[f"https://{PUBLIC}"] = "AWS"
        elif region:
            found[f"https://{account}.dkr.ecr.{region}.{dns_suffix(region)}"] = "AWS"
    return Result(stdout=json.dumps(found, separators=(",", ":")) + "\n")


def _region(profile: Setting[str], env: Environment) -> str:
    from aws_runas.config.resolve import Overrides, resolve

    resolved = resolve(env.config_files(), profile.value, Overrides(), env.environ)
    return resolved.region.value if resolved.region else ""


def _refuse(action: str, env: Environment) -> Result:
    """Refuse to store or erase; with the variable set, accept the request and do nothing."""
    if not is_on(env.environ, IGNORE_STORE):
        hint = f"to ignore such requests, set {IGNORE_STORE}=1"
        what = "keeps no passwords that clients store" if action == "store" else "keeps no passwords to erase"
        return Result(1, stderr=f"aws-runas: {NAME} {what}; {hint}\n")
    env.stdin.read(MAX_INPUT)
    return Result()
