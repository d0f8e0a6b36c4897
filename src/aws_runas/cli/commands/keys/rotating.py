"""``keys rotate``: the command around `credentials.rotation`."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aws_runas import files
from aws_runas.cli.commands.keys.options import KeysOptions
from aws_runas.cli.commands.keys.removing import drop_entries, entries_of_key
from aws_runas.cli.environment import Environment
from aws_runas.cli.keyring import keyring_directory_of, open_store_for
from aws_runas.cli.output import Result
from aws_runas.cli.sign_in import forget
from aws_runas.config.files import load_files
from aws_runas.config.profile import KeyringSource, KeySource
from aws_runas.credentials.key_lines import plain_keys, with_keys
from aws_runas.credentials.key_places import FilePlace, KeyPlace, KeyringPlace
from aws_runas.credentials.rotation import Journal, KeyServices, Rotated, Rotation, Settings
from aws_runas.errors import ConfigError, CredentialsError
from aws_runas.identity.roles import iam_user_of
from aws_runas.store.items import KeyPair

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.aws.iam import AccessKey, Iam, LastUse


def rotate(options: KeysOptions, env: Environment) -> Result:
    """Replace the keys of a profile, or of the source profile behind it.

    Raises:
        AwsRunasError: a step failed; the details describe the state it left.
    """
    profile, place = _place(options, env)
    journal = _journal_path(place, env)
    try:
        files.make_private_directory(journal.parent)
        with files.lock(journal.with_suffix(".lock"), timeout=0):
            rotated = _rotation(profile, place, Journal(journal), options, env=env)
    except TimeoutError:
        raise CredentialsError(
            f"another process rotates the keys of {profile}", code="rotation-running", hint="wait until it has ended"
        ) from None
    except OSError as error:
        raise CredentialsError(
            f"cannot use {journal.parent}: {(error.strerror or str(error)).lower()}",
            code="keyring-failed",
            hint=files.write_hint(error, "make it writable for you"),
        ) from None
    return Result(stderr=_report(rotated, profile, options.name, place, env=env))


def _rotation(
    profile: str, place: KeyPlace, journal: Journal, options: KeysOptions, *, env: Environment
) -> Rotated | None:
    access = _access(options.name, options, env)  # not the source profile: the MFA device may be in the role's profile
    user = iam_user_of(access)
    with_mfa = access.profile.mfa_serial is not None
    service = _Service(access, user, own_keys=not with_mfa)

    def service_with(new: KeyPair) -> _Service:
        # a session token with MFA outlives the key that it was made with; without one, the new key has to sign
        return service if with_mfa else _Service(_trial(profile, new, options, env), user, own_keys=True)

    def check(new: KeyPair) -> None:
        from aws_runas.aws.sts import caller_identity

        caller_identity(_trial(profile, new, options, env), user=True)

    in_use = place.in_use().access_key_id  # according to the files as they were read

    def drop_sessions(key_id: str) -> None:
        drop_entries(entries_of_key(key_id, env, in_use=in_use), env)
        forget(env)

    delete = options.delete or options.finish
    rotation = Rotation(
        place,
        KeyServices(service, service_with, check),
        Settings(f"aws-runas keys rotate {options.name}", options.replace_inactive, delete=delete),
        journal=journal,
        drop_sessions=drop_sessions,
        say=lambda line: _say(line, env),
    )
    return rotation.finish() if options.finish else rotation.run()


def _place(options: KeysOptions, env: Environment) -> tuple[str, KeyPlace]:
    """Return the profile that has the keys, and their place.

    Raises:
        CredentialsError: the profile has no long-term keys.
    """
    access = _access(options.name, options, env)
    source = access.profile.source
    config = env.config_files()
    profile = access.profile.source_profile or options.name
    if isinstance(source, KeyringSource):
        store = open_store_for(env)
        return source.profile, KeyringPlace(
            store, source.name, source.profile, lambda: load_files(env.environ, env.home)
        )
    if isinstance(source, KeySource) and source.origin != "the environment":
        plain = plain_keys(config, profile)
        if plain is not None:
            return profile, FilePlace(plain, profile)
    raise CredentialsError(
        f"profile {options.name} has no long-term keys that could be replaced",
        code="credentials-missing",
        hint="aws-runas keys list shows the profiles that have some",
    )


def _access(profile: str, options: KeysOptions, env: Environment) -> Access:
    from aws_runas.cli.access import open_access_for

    return open_access_for(replace(options.flags, use_session_token=True), profile, env)


def _trial(profile: str, pair: KeyPair, options: KeysOptions, env: Environment) -> Access:
    from aws_runas.cli.access import open_access_for

    return open_access_for(options.flags, profile, env, files=with_keys(env.config_files(), profile, pair))


def _journal_path(place: KeyPlace, env: Environment) -> Path:
    digest = hashlib.sha256(place.label.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return keyring_directory_of(env) / f"rotation-{digest}.json"


def _say(line: str, env: Environment) -> None:
    env.tell(f"aws-runas: {line}\n")


def _report(rotated: Rotated | None, profile: str, named: str, place: KeyPlace, *, env: Environment) -> str:
    if rotated is None:
        return f"aws-runas: profile {profile} has one access key; there is nothing to finish\n"
    lines = [f"profile {profile} uses the new key {rotated.new_id} ({place.label})"]
    if rotated.deleted:
        lines.append(f"the old key {rotated.old_id} is deleted at AWS")
    else:
        lines.append(f"the old key {rotated.old_id} is inactive; aws-runas keys rotate {named} --finish deletes it")
    lines += [f"warning: {other}" for other in _copies(rotated.old_id, env)]
    return "".join(f"aws-runas: {line}\n" for line in lines)


def _copies(key_id: str, env: Environment) -> list[str]:
    """Return the other places in the files that have the old key."""
    try:
        found = load_files(env.environ, env.home)
    except ConfigError:
        return []
    return [
        f"the old key is also in {section.origin('aws_access_key_id')}"
        for section in found.profiles.values()
        if section.text("aws_access_key_id") == key_id
    ]


class _Service:
    """IAM for the keys of one user.

    Args:
        access: signs the requests.
        user: user with the keys.
        own_keys: sign with the long-term keys instead of the session token.
    """

    def __init__(self, access: Access, user: str, *, own_keys: bool) -> None:
        self._access = access
        self._user = user
        self._own_keys = own_keys
        self._made: Iam | None = None

    def list(self) -> list[AccessKey]:
        return self._iam().access_keys(self._user)

    def last_use(self, key_id: str) -> LastUse:
        return self._iam().last_use(key_id)

    def create(self) -> KeyPair:
        keys = self._iam().create_access_key(self._user)
        return KeyPair(keys.access_key_id, keys.secret_access_key)

    def deactivate(self, key_id: str) -> None:
        self._iam().deactivate_access_key(self._user, key_id)

    def delete(self, key_id: str) -> None:
        self._iam().delete_access_key(self._user, key_id)

    def _iam(self) -> Iam:
        from aws_runas.aws.iam import Iam

        if self._made is None:
            self._made = Iam(self._access, user=self._own_keys)
        return self._made
