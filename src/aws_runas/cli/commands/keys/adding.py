"""``keys add``: access keys from the terminal, checked at AWS, to the keyring."""

from __future__ import annotations

from aws_runas.cli.commands.keys.options import KeysOptions
from aws_runas.cli.commands.keys.storing import check_pair, check_profile_takes_keys, store_pair
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.credentials.key_lines import plain_keys, with_keys
from aws_runas.store.items import KeyPair


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
