"""The sso-session that a command line names, and the objects for its calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_runas.cli.access import logs, overrides_of
from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import PROFILE_VARIABLES
from aws_runas.cli.sign_in import Attendance, sign_in_context
from aws_runas.config.profile import ResolverSource
from aws_runas.config.resolve import resolve
from aws_runas.config.sso import SsoSession, only_session, sso_role, sso_session
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError, UsageError
from aws_runas.signin.context import SignInContext, SignInOptions
from aws_runas.signin.sso_session import SsoTokens

if TYPE_CHECKING:
    from aws_runas.aws.client import Clients
    from aws_runas.aws.credentials import Credentials
    from aws_runas.config.profile import Profile


@dataclass(frozen=True, slots=True)
class SessionAtWork:
    """A session with the objects that its calls need.

    Args:
        client: creates a client of ``sso`` or ``sso-oidc``, which loads botocore.
        command: command line with which the user signs in.
    """

    session: SsoSession
    context: SignInContext
    client: Callable[[str], object]
    command: str

    def tokens(self) -> SsoTokens:
        """Return the source of the token."""
        return SsoTokens(self.session, lambda: self.client("sso-oidc"), self.context, self.command)


def find_session(
    flags: GlobalFlags, profile: str | None, name: str | None, env: Environment, *, verb: str = "sign in"
) -> SsoSession | None:
    """Return the session that the command line names or implies; None if the profile is of another kind.

    Args:
        profile: as typed; None if none was given.
        name: value of ``--sso-session``.
        verb: action of the command, for a message.

    Raises:
        ConfigError: the session does not exist or is incomplete.
        UsageError: the command line does not identify a session.
    """
    files = env.config_files()
    if name == "":
        raise UsageError("--sso-session '' names no session", code="login-target-missing", hint="give it a name")
    if name is not None:
        return sso_session(files.sso_sessions, name, env.environ)
    if profile is None and not any(env.environ.get(each, "").strip() for each in PROFILE_VARIABLES):
        only = only_session(files, env.environ)
        if only is not None:
            return only
        if "default" not in files.profiles or not _signs_in(env):
            raise UsageError(
                f"it is not clear where to {verb}",
                code="login-target-missing",
                hint="name a profile, or --sso-session NAME" + _known(list(files.sso_sessions)),
            )
    resolved = resolve(files, profile, overrides_of(flags), env.environ)
    return session_of(resolved, env)


def session_of(profile: Profile, env: Environment) -> SsoSession | None:
    """Return the session behind a profile; None if its credentials come from elsewhere.

    Raises:
        ConfigError: a setting is missing.
    """
    source = profile.source
    if not isinstance(source, ResolverSource) or source.kind != "sso":
        return None
    return sso_role(profile.sections[source.profile or ""], profile.sso_sessions, env.environ).session


def at_work(
    session: SsoSession,
    flags: GlobalFlags,
    env: Environment,
    options: SignInOptions | None = None,
    *,
    profile: str = "",
) -> SessionAtWork:
    """Return a session with the objects that its calls need.

    Args:
        options: the flags of `login`, if the user asked for the sign-in itself.
        profile: as typed, for the command that signs in.
    """
    debug, trace = logs(flags.verbose)
    made: list[Clients] = []

    def client(service: str) -> object:
        from aws_runas.aws.client import Clients

        if not made:
            # endpoints, proxies and certificates are those of the default profile: a session has no such settings
            made.append(Clients(resolve(env.config_files(), "default", overrides_of(flags), env.environ), trace))
        return made[0].client(service, session.region, _unsigned)

    context = sign_in_context(env, debug, Attendance(options))
    target = f"--sso-session {session.name}" if session.name else profile
    return SessionAtWork(session, context, client, f"aws-runas login {target}".rstrip())


def _unsigned() -> Credentials:
    raise ConfigError("this call is not signed", code="parameter-invalid")


def _signs_in(env: Environment) -> bool:
    section = env.config_files().profiles["default"]
    keys = ("sso_session", "sso_start_url", "aws_access_key_id", "login_session", "source_profile", "saml_auth_url")
    return any(section.text(key) for key in (*keys, "web_identity_auth_url"))


def _known(names: list[str]) -> str:
    return f" ({', '.join(names)})" if names else ""
