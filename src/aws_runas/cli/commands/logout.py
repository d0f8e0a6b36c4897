"""``logout``: end the sign-in, and remove cached credentials."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from aws_runas import files
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.questions import add_profile, profile_of
from aws_runas.config.sso import SsoSession
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, UsageError

SUMMARY = "End the sign-in of a profile, and remove its cached credentials"
USAGE = "logout [<profile>]"
EXAMPLES = (
    ("aws-runas logout my-profile", "End the sign-in behind a profile"),
    ("aws-runas logout --all", "End every sign-in and empty the cache"),
)
STILL_VALID = "aws-runas: credentials that were given out already stay valid until they expire\n"


@dataclass(frozen=True, slots=True)
class LogoutOptions:
    """Options of `logout`.

    Args:
        sso_session: value of ``--sso-session``.
        all: end every session, and empty the cache.
    """

    flags: GlobalFlags
    profile: str | None
    sso_session: str | None = None
    all: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and the positional."""
    parser.add_argument("--sso-session", metavar="NAME", help="Sign out of this sso-session of the config file")
    parser.add_argument("--all", action="store_true", help="Sign out everywhere and remove all cached credentials")
    add_profile(parser)


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> LogoutOptions:  # noqa: ARG001
    """Check that one target is named.

    Raises:
        UsageError: several targets are named.
    """
    profile = profile_of(namespace, flags) or flags.profile
    given = [name for name in (profile, namespace.sso_session, "--all" if namespace.all else None) if name]
    if len(given) > 1:
        raise UsageError(f"{given[0]} and {given[1]} cannot be combined", code="usage")
    return LogoutOptions(flags, profile, namespace.sso_session, namespace.all)


def run(options: LogoutOptions, env: Environment) -> Result:
    """Sign out."""
    from aws_runas.cli.sso_session import find_session

    if options.all:
        return _everywhere(options, env)
    session = find_session(options.flags, options.profile, options.sso_session, env, verb="sign out")
    if session is None:
        return _other_kind(options, env)
    text, is_ended = _end(session, options, env)
    is_removed = _forget(env, "sso-", "role-")
    return _result(text, is_complete=is_ended and is_removed)


def _result(text: str, *, is_complete: bool) -> Result:
    """Return the result. Its status is 1 if something that grants access is still on disk."""
    return Result(status=0 if is_complete else 1, stderr=text + STILL_VALID)


def _end(session: SsoSession, options: LogoutOptions, env: Environment, path: Path | None = None) -> tuple[str, bool]:
    """End one session at the service and remove its token; return the message, and False if the token remains.

    Args:
        path: token file that belongs to no session in the config file.
    """
    from aws_runas.aws import sso
    from aws_runas.cli.sso_session import at_work
    from aws_runas.signin.login_lock import LoginLock
    from aws_runas.signin.sso_token import TokenFiles

    work = at_work(session, options.flags, env)
    token_files = TokenFiles(env.home)
    lock = LoginLock(work.context.cache, "sso", session.label, work.context.say, now=env.now)
    with lock.hold():
        token = token_files.read(session) if path is None else token_files.read_path(path)
        warning = ""
        if token is not None and token.is_valid(env.now()):
            try:
                sso.logout(work.client("sso"), token.access_token)
            except AwsRunasError as error:
                reason = f"the sign-in to {session.label} was not ended at the service: {error.message}"
                warning = f"aws-runas: warning: {reason}\n"
        try:
            (path or token_files.path(session)).unlink(missing_ok=True)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            return f"{warning}aws-runas: warning: the token of {session.label} was not removed: {reason}\n", False
    return warning + f"aws-runas: {'signed out of' if token else 'not signed in to'} {session.label}\n", True


def _other_kind(options: LogoutOptions, env: Environment) -> Result:
    from aws_runas.cli.access import open_access_for
    from aws_runas.config.profile import FederatedSource, ResolverSource

    access = open_access_for(options.flags, options.profile, env)
    names = list(access.cache_entries)
    if access.sign_out is not None:
        access.sign_out()
    source = access.profile.source
    if isinstance(source, FederatedSource):
        names.append(f"{source.kind}-")
    if isinstance(source, ResolverSource):
        names += [f"{source.kind}-", *(["session-"] if source.kind == "process" else [])]
    # these do not include the entry of the session token if the profile has no role
    with_session = open_access_for(_with_session(options.flags), options.profile, env)
    is_removed = _forget(env, *names, *with_session.cache_entries, "role-")
    text = f"aws-runas: removed the cached credentials of {access.profile.name}\n" if is_removed else ""
    return _result(text, is_complete=is_removed)


def _with_session(flags: GlobalFlags) -> GlobalFlags:
    from dataclasses import replace

    return replace(flags, use_session_token=True)


def _everywhere(options: LogoutOptions, env: Environment) -> Result:
    from aws_runas.config.sso import sso_session
    from aws_runas.signin.sso_token import TokenFiles

    config = env.config_files()
    token_files = TokenFiles(env.home)
    text, ended, is_complete = "", set(), True
    for name in config.sso_sessions:
        with contextlib.suppress(AwsRunasError):  # a session that lacks a setting cannot have been signed in to
            session = sso_session(config.sso_sessions, name, env.environ)
            if token_files.path(session).exists():
                said, is_ended = _end(session, options, env)
                text, is_complete = text + said, is_complete and is_ended
                ended.add(token_files.path(session))
    for path, token in token_files.all():
        if path not in ended:
            session = SsoSession("", token.text("startUrl"), token.text("region"))
            said, is_ended = _end(session, options, env, path)
            text, is_complete = text + said, is_complete and is_ended
    _forget_cli(env.home / ".aws" / "cli" / "cache")
    is_removed = _forget(
        env,
        "sso-",
        "role-",
        "session-",
        "login-",
        "web-identity-",
        "environment-web-identity-",
        "saml-",
        "oidc-",
        "assertion-",
    )
    text += "aws-runas: removed all cached credentials\n" if is_removed else ""
    return _result(text, is_complete=is_complete and is_removed)


def _forget_cli(directory: Path) -> None:
    """Remove all Identity Center credentials that the AWS CLI cached: its entries do not name their session."""
    paths: Iterable[Path] = ()
    with contextlib.suppress(OSError):
        paths = list(directory.glob("*.json"))
    for path in paths:
        with contextlib.suppress(OSError, ValueError, AttributeError, RecursionError):
            if json.loads(files.read_plain(path)).get("ProviderType") == "sso":
                path.unlink(missing_ok=True)


def _forget(env: Environment, *names: str) -> bool:
    from aws_runas.cli.sign_in import forget

    return forget(env, *names)
