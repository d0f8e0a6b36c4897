"""``keys import``: keys from a file, the environment or aws-vault to the keyring.

The order makes an interruption harmless: stored, read back and compared, named in the config file, and only then
removed from their file. At each moment the secret is in at least one place.
"""

from __future__ import annotations

from aws_runas.cli.commands.keys.options import KeysOptions
from aws_runas.cli.commands.keys.storing import check_pair, check_profile_takes_keys, store_pair
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.credentials.key_lines import (
    PlainKeys,
    plain_keys,
    process_line,
    remove_key_lines,
    set_keyring_lines,
    temporary_keys,
)
from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError
from aws_runas.store.items import KeyPair


def import_keys(options: KeysOptions, env: Environment) -> Result:
    """Store keys that are somewhere else, and remove them there if that is a file.

    Raises:
        AwsRunasError: there are none, or they could not be stored; then they are where they were.
    """
    profile = options.name
    files = env.config_files()
    check_profile_takes_keys(files, profile)
    plain = plain_keys(files, profile)
    pair, origin = _find(options, env, plain)
    stored = store_pair(pair, profile, env, mfa_serial=options.flags.mfa_serial, sure=options.yes)
    lines = [f"aws-runas: the keys {pair.access_key_id} are in {stored.label} as {stored.name}\n"]
    if plain is not None and options.source == "file" and not options.keep:
        _remove(plain)
        lines.append(f"aws-runas: removed them from {plain.origin}\n")
    else:
        lines.append(f"aws-runas: they are still in {origin} as well\n")
        if plain is not None and plain.path == files.credentials.path:
            lines.append(f"aws-runas: warning: profile {profile} still uses the keys of {plain.origin}\n")
    lines.append(_offer(profile, env))
    return Result(stderr="".join(lines))


def _find(options: KeysOptions, env: Environment, plain: PlainKeys | None) -> tuple[KeyPair, str]:
    """Return the keys, and where they are."""
    if options.source == "env":
        return _of_environment(env), "the environment (unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY)"
    if options.source == "aws-vault":
        from aws_runas.store.aws_vault import read_aws_vault

        pair, origin = read_aws_vault(options.name, env.environ)
        return check_pair(pair.access_key_id, pair.secret_access_key, origin), origin
    if plain is None:
        raise CredentialsError(
            f"profile {options.name} has no access keys in {env.config_files().credentials.path} or "
            f"{env.config_files().config.path}",
            code="credentials-missing",
            hint=f"aws-runas keys add {options.name} asks for keys; --from names another place",
        )
    return check_pair(plain.pair.access_key_id, plain.pair.secret_access_key, plain.origin), plain.origin


def _of_environment(env: Environment) -> KeyPair:
    from aws_runas.config.chain import environment_keys

    keys = environment_keys(env.environ)
    if keys is None:
        raise CredentialsError(
            "AWS_ACCESS_KEY_ID is not set", code="credentials-missing", hint="set it and AWS_SECRET_ACCESS_KEY"
        )
    if keys.session_token:
        raise temporary_keys("the keys in the environment")
    return check_pair(keys.access_key_id, keys.secret_access_key, "the environment")


def _remove(plain: PlainKeys) -> None:
    try:
        remove_key_lines(plain)
    except ConfigError as error:
        error.hint = f"the keys are in the keyring; remove the two lines of {plain.origin} yourself"
        raise


def _offer(profile: str, env: Environment) -> str:
    """Offer the line for other SDKs: on a terminal it is written if the user agrees, otherwise it is shown."""
    from aws_runas.cli.terminal.prompt import confirm
    from aws_runas.config.files import profile_heading

    files = env.config_files()
    section = files.profiles.get(profile)
    if section is not None and section.text("credential_process"):
        return ""
    line = f"credential_process = {process_line(profile)}"
    heading = profile_heading(files.config, profile)
    if env.stdin.isatty() and env.stderr.isatty():
        question = f"Let other SDKs have the session token, by this line in [{heading}]?\n  {line}\nWrite it?"
        try:
            agreed = confirm(question)
        except AwsRunasError:
            agreed = False
        if agreed:
            set_keyring_lines(files, profile, {"credential_process": process_line(profile)})
            return f"aws-runas: wrote credential_process to [{heading}] in {files.config.path}\n"
    return f"aws-runas: for other SDKs, add to [{heading}] in {files.config.path}:\n  {line}\n"
