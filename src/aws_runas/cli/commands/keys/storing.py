"""``keys add``, and its common part with ``import``: keys go to the keyring, lines to the config file."""

from __future__ import annotations

from dataclasses import dataclass

from aws_runas.cli.commands.keys.options import KeysOptions
from aws_runas.cli.environment import Environment
from aws_runas.cli.keyring import forget_shortcuts, open_store_for
from aws_runas.cli.output import Result
from aws_runas.config.files import ConfigFiles
from aws_runas.credentials.key_lines import check_section_name, plain_keys, set_keyring_lines, temporary_keys, with_keys
from aws_runas.errors import ConfigError, CredentialsError
from aws_runas.store.items import KeyPair, StoredKeys, read_keys, write_keys


@dataclass(frozen=True, slots=True)
class Stored:
    """The places of stored keys.

    Args:
        label: of the keyring.
        name: of the item.
    """

    label: str
    name: str


def check_profile_takes_keys(files: ConfigFiles, profile: str) -> None:
    """Refuse a profile whose own keys nobody would use, or that no config file can hold, before anything is asked for.

    Raises:
        ConfigError: it assumes a role with the credentials of another profile, or its name cannot be that of a section.
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
    """Return access keys that look like such.

    Args:
        key_id, secret: as typed or read.
        origin: of them, for messages.

    Raises:
        CredentialsError: one is missing or cannot be a key, or they are temporary.
    """
    from aws_runas.aws.credentials import checked

    try:
        checked(key_id, secret, None, expiration=None, now=0.0)
    except ValueError as error:
        raise CredentialsError(f"{origin}: {error}", code="credentials-missing", hint="copy both keys whole") from None
    if str(key_id).startswith("ASIA"):
        raise temporary_keys(origin)
    return KeyPair(str(key_id), str(secret))


def store_pair(pair: KeyPair, profile: str, env: Environment, *, mfa_serial: str | None = None, sure: bool) -> Stored:
    """Keep keys in the keyring, then name them in the config file.

    Args:
        pair: the keys.
        profile: gets the lines; its ``keyring`` line names the item, if it has one.
        env: config files and keyring.
        mfa_serial: written too, if given.
        sure: replace other keys of that name without asking.

    Raises:
        AwsRunasError: they are not stored; the message says what is.
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
    forget_shortcuts(env)
    return Stored(store.label, name)


def add(options: KeysOptions, env: Environment) -> Result:
    """Ask for keys, check them, store them.

    Raises:
        AwsRunasError: there is no terminal, AWS refused the keys, or they could not be stored.
    """
    from aws_runas.cli.terminal.prompt import ask_line, ask_secret

    profile = options.name
    files = env.config_files()
    check_profile_takes_keys(files, profile)
    key_id = ask_line("Access key id: ")
    secret = ask_secret("Secret access key: ").strip() if key_id else ""  # nothing, or Ctrl-D: the check says so
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
    """Ask STS whose keys these are.

    Raises:
        AwsRunasError: AWS refused them, or cannot be asked.
    """
    from aws_runas.aws.caller import caller_identity
    from aws_runas.cli.access import open_access_for

    files = with_keys(env.config_files(), options.name, pair)
    return caller_identity(open_access_for(options.flags, options.name, env, files=files), user=True).arn
