"""``password``: store an identity provider's password, or change the console password of an IAM user."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import is_profile_set
from aws_runas.cli.questions import add_profile, profile_of
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError, UsageError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.config.profile import FederatedSource

SUMMARY = "Store the password of a SAML or OIDC profile, or change the console password of an IAM user"
USAGE = "password [<profile>]"
FLAGS_ANYWHERE = True
EXAMPLES = (
    ("aws-runas password corp", "Keep the password of the identity provider of profile corp in the keyring"),
    ("aws-runas password --forget corp", "Remove it from there"),
    ("aws-runas password dev", "Change the console password of the IAM user of profile dev"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `password`.

    Args:
        word: the command word as typed.
        forget: remove the stored password.
        client_secret: store the secret of the OIDC client instead of a user's password.
    """

    flags: GlobalFlags
    profile: str | None
    word: str = ""
    forget: bool = False
    client_secret: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positional. A password is never an argument: other users could read it in the process list."""
    parser.add_argument("--forget", action="store_true", help="Remove the stored password from the keyring")
    parser.add_argument(
        "--client-secret", action="store_true", help="Store the client secret of an OIDC profile instead"
    )
    add_profile(parser)


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:  # noqa: ARG001
    """Read the profile and the flags."""
    return Options(
        flags, profile_of(namespace, flags), namespace.command_word, namespace.forget, namespace.client_secret
    )


def run(options: Options, env: Environment) -> Result:
    """Say which password is meant, and ask for it on the terminal.

    Raises:
        CredentialsError: there is no terminal, the typed passwords differ, or IAM or the keyring refused.
        UsageError: a flag does not fit the profile.
    """
    from aws_runas.cli.access import open_access_for
    from aws_runas.config.profile import FederatedSource

    access = open_access_for(options.flags, options.profile, env)
    if options.word in ("pwd", "passwd") and is_profile_set(env.environ) and not options.flags.quiet:
        _say(f"note: to run the program {options.word}: aws-runas -- {options.word}", env)
    if isinstance(access.profile.source, FederatedSource):
        return _federated(access.profile.source, options, env)
    if options.forget or options.client_secret:
        flag = "--forget" if options.forget else "--client-secret"
        raise UsageError(
            f"{flag} goes with a SAML or OIDC profile; profile {access.profile.name} is none", code="flag-unsuitable"
        )
    return _change(access, env)


def _federated(source: FederatedSource, options: Options, env: Environment) -> Result:
    """Store or remove the password of an identity provider."""
    from aws_runas.cli.keyring import open_store_for
    from aws_runas.cli.sign_in import forget
    from aws_runas.cli.terminal.prompt import ask_line, ask_secret
    from aws_runas.store.items import password_name, write_secret

    if not source.url or (options.client_secret and not source.client_id):
        what = "client secret" if options.client_secret else "address of an identity provider"
        raise UsageError(f"profile {source.profile} has no {what}", code="flag-unsuitable")
    store = open_store_for(env)
    what = f"the {'client secret' if options.client_secret else 'password'} for {source.label}"
    verb = f"removes {what} from" if options.forget else f"stores {what} in"
    _say(f"this {verb} {store.label} (profile {source.profile}); it changes nothing at the identity provider", env)
    user = f"client:{source.client_id}" if options.client_secret else source.login_name or ask_line("User name: ")
    if not user:
        raise CredentialsError("no user name was typed", code="password-mismatch", hint="set saml_username or use -U")
    item = password_name(source.url, user)
    if options.forget:
        removed = store.remove(item)
        forget(env)
        text = f"removed {what} from {store.label}" if removed else f"{store.label} has none for {user}"
        return Result(stderr=f"aws-runas: {text}\n")
    secret = ask_secret(f"{'Client secret' if options.client_secret else 'Password'} of {user}: ")
    if not secret or ask_secret("The same again: ") != secret:
        raise CredentialsError(
            "the two entries differ or are empty; nothing was stored", code="password-mismatch", hint="run it again"
        )
    write_secret(store, item, secret)
    forget(env)
    return Result(stderr=f"aws-runas: {what} is in {store.label}, for {user}\n")


def _change(access: Access, env: Environment) -> Result:
    """Change the console password: the old one once, the new one twice."""
    from aws_runas.aws.iam import Iam
    from aws_runas.aws.sts import caller_identity
    from aws_runas.cli.sign_in import forget
    from aws_runas.cli.terminal.prompt import ask_secret
    from aws_runas.identity.roles import caller_of

    _say(f"this changes the console password at AWS of the IAM user of profile {access.profile.name}", env)
    caller = caller_of(caller_identity(access, user=True).arn)
    if caller.holder.kind != "user":
        raise CredentialsError(
            f"{caller.arn} is a role, and roles have no password",
            code="caller-not-a-user",
            hint="use a profile with the access keys of an IAM user",
        )
    old = ask_secret(f"Current password of {caller.holder.name}: ")
    new = ask_secret("New password: ")
    if not new or ask_secret("New password again: ") != new:
        raise CredentialsError(
            "the new passwords differ; nothing was changed", code="password-mismatch", hint="run it again"
        )
    Iam(access).change_password(old, new)
    forget(env)
    return Result(stderr=f"aws-runas: the password of {caller.holder.name} is changed\n")


def _say(line: str, env: Environment) -> None:

    env.tell(f"aws-runas: {line}\n")
