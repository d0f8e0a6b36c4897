"""``keys add`` and ``keys import``: store keys in the keyring, and name them in the config file.

The order of an import makes an interruption harmless: the keys are stored, read back and compared, named in the config
file, and only then removed from their file. At each moment the secret is in at least one place.
"""

from __future__ import annotations

from aws_runas.cli.commands.keys.options import KeysOptions
from aws_runas.cli.environment import Environment
from aws_runas.cli.keyring import open_store_for
from aws_runas.cli.output import Result
from aws_runas.cli.sign_in import forget
from aws_runas.config.files import ConfigFiles
from aws_runas.credentials.key_lines import (
    PlainKeys,
    check_section_name,
    plain_keys,
    process_line,
    remove_key_lines,
    set_keyring_lines,
    temporary_keys,
    with_keys,
)
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError
from aws_runas.store.items import KeyPair, StoredKeys, read_keys, write_keys


@dataclass(frozen=True, slots=True)
class Stored:
    """The places of stored keys.

    Args:
        label: label of the keyring.
        name: name of the item.
    """

    label: str
    name: str


def check_profile_takes_keys(files: ConfigFiles, profile: str) -> None:
    """Refuse, before any prompt, a profile that would not use its keys, or that a config file cannot contain.

    Raises:
        ConfigError: the profile assumes a role with the credentials of another profile, or its name is not valid for a
            section.
    """
    check_section_name(profile)
    section = files.profiles.get(profile)
    if section is None or not section.text("role_arn"):
        return
    source = section.text("source_profile")
    if source and source != profile:
        raise ConfigError(
            f"profile {profile} assumes a role with the keys of profile {source}, not with keys of its own",
            code="source-contradictory",
            hint=f"name profile {source} instead",
        )


def check_pair(key_id: object, secret: object, origin: str) -> KeyPair:
    """Return a pair of access keys if both parts look valid.

    Args:
        key_id, secret: as typed or read.
        origin: origin of the keys, for messages.

    Raises:
        CredentialsError: one part is missing or malformed, or the keys are temporary.
    """
    from aws_runas.aws.credentials import checked

    try:
        checked(key_id, secret, None, expiration=None, now=0.0)
    except ValueError as error:
        raise CredentialsError(
            f"{origin}: {error}", code="credentials-missing", hint="copy both keys completely"
        ) from None
    if str(key_id).startswith("ASIA"):
        raise temporary_keys(origin)
    return KeyPair(str(key_id), str(secret))


def store_pair(pair: KeyPair, profile: str, env: Environment, *, mfa_serial: str | None = None, sure: bool) -> Stored:
    """Store keys in the keyring, then name them in the config file.

    Args:
        pair: the keys.
        profile: profile that gets the lines; its ``keyring`` line names the item, if it has one.
        env: config files and keyring.
        mfa_serial: also written, if given.
        sure: replace other keys of that name without asking.

    Raises:
        AwsRunasError: the keys or the lines could not be stored; the message says what was stored.
    """
    files = env.config_files()
    section = files.profiles.get(profile)
    name = (section.text("keyring") if section else None) or profile
    store = open_store_for(env)
    before = read_keys(store, name)
    if before is not None and before.current.access_key_id != pair.access_key_id and not sure:
        from aws_runas.cli.terminal.prompt import confirm

        question = f"{store.label} has the keys {before.current.access_key_id} as {name}. Replace them?"
        if not confirm(question.replace("the ", "The ", 1) if question.startswith("the ") else question):
            raise CredentialsError("nothing was changed", code="keys-kept", hint=f"aws-runas keys rotate {profile}")
    if before is None or before.pair(pair.access_key_id) != pair:
        write_keys(store, name, StoredKeys(pair))
    lines = {"keyring": name, "keyring_key_id": pair.access_key_id}
    if mfa_serial:
        lines["mfa_serial"] = mfa_serial
    try:
        set_keyring_lines(files, profile, lines)
    except ConfigError as error:
        error.hint = f"the keys are in {store.label} as {name}; {error.hint}, and run it again"
        raise
    forget(env)
    return Stored(store.label, name)


def add(options: KeysOptions, env: Environment) -> Result:
    """Ask for keys, check them and store them.

    Raises:
        AwsRunasError: there is no terminal, AWS refused the keys, or they could not be stored.
    """
    from aws_runas.cli.terminal.prompt import ask_line, ask_secret

    profile = options.name
    files = env.config_files()
    check_profile_takes_keys(files, profile)
    key_id = ask_line("Access key id: ")
    secret = ask_secret("Secret access key: ").strip() if key_id else ""  # empty input or Ctrl-D: the check reports it
    pair = check_pair(key_id, secret, "what was typed")
    arn = check_at_aws(pair, options, env)
    stored = store_pair(pair, profile, env, mfa_serial=options.flags.mfa_serial, sure=options.yes)
    lines = [f"aws-runas: the keys {pair.access_key_id} of {arn} are in {stored.label} as {stored.name}\n"]
    plain = plain_keys(files, profile)
    if plain is not None and plain.path == files.credentials.path:
        lines.append(
            f"aws-runas: warning: profile {profile} still uses the keys {plain.pair.access_key_id} of {plain.origin}; "
            "remove these lines\n"
        )
    return Result(stderr="".join(lines))


def check_at_aws(pair: KeyPair, options: KeysOptions, env: Environment) -> str:
    """Return the ARN of the user with these keys, as reported by STS.

    Args:
        pair: keys to use instead of those of the profile.
        options: options of the command.
        env: the outside world.

    Raises:
        AwsRunasError: AWS refused the keys, or cannot be reached.
    """
    from aws_runas.aws.sts import caller_identity
    from aws_runas.cli.access import open_access_for

    files = with_keys(env.config_files(), options.name, pair)
    return caller_identity(open_access_for(options.flags, options.name, env, files=files), user=True).arn


def import_keys(options: KeysOptions, env: Environment) -> Result:
    """Store keys from another place, and remove them there if that place is a file.

    Raises:
        AwsRunasError: there are no keys, or they could not be stored; then the originals are unchanged.
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
    """Return the keys and their place."""
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
    """Offer the line for other SDKs. On a terminal, write it if the user agrees; otherwise show it."""
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
