"""``keys remove``: keys out of the keyring, and their lines out of the config file."""

from __future__ import annotations

from aws_runas.cli.commands.keys.options import KeysOptions
from aws_runas.cli.commands.keys.sessions import drop_entries, entries_of_key
from aws_runas.cli.environment import Environment
from aws_runas.cli.keyring import forget_shortcuts, open_store_for
from aws_runas.cli.output import Result
from aws_runas.credentials.key_lines import profiles_of, remove_keyring_lines
from aws_runas.errors import CredentialsError
from aws_runas.store.items import keys_name


def remove(options: KeysOptions, env: Environment) -> Result:
    """Remove the item unless other profiles use it, then the lines.

    Raises:
        AwsRunasError: the profile has no keys in a keyring, the user declined, or the keyring failed.
    """
    profile = options.name
    files = env.config_files()
    section = files.profiles.get(profile)
    name = section.text("keyring") if section else None
    if section is None or name is None:
        raise no_keyring_line(profile)
    key_id = section.text("keyring_key_id") or "of unknown id"
    others = [other for other in profiles_of(files, name) if other != profile]
    store = open_store_for(env)
    if not options.yes and not others:
        from aws_runas.cli.terminal.prompt import confirm

        if not confirm(f"Remove the keys {key_id} ({name}) from {store.label}? AWS shows a secret only once."):
            raise CredentialsError("nothing was changed", code="keys-kept")
    entries = entries_of_key(key_id, env)
    removed = False if others else store.remove(keys_name(name))
    remove_keyring_lines(files, profile)
    drop_entries(entries, env)
    forget_shortcuts(env)
    if others:
        text = f"profile {profile} does not use the keys {key_id} any more; they stay for {', '.join(others)}"
    elif removed:
        text = f"the keys {key_id} are removed from {store.label}; the key is still active at AWS"
    else:
        text = f"{store.label} had no keys named {name}; the lines of profile {profile} are removed"
    return Result(stderr=f"aws-runas: {text}\n")


def no_keyring_line(profile: str) -> CredentialsError:
    """Return the error for a profile without ``keyring``."""
    return CredentialsError(
        f"profile {profile} has no keys in a keyring",
        code="keyring-item-missing",
        hint=f"aws-runas keys list shows where keys are; aws-runas keys add {profile} stores some",
    )
