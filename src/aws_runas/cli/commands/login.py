"""``login``: sign in now, so that later commands run unattended."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.parser import port
from aws_runas.cli.questions import add_profile, as_json, profile_of, wants_json
from aws_runas.config.lookup import is_region_name
from aws_runas.config.profile import KeySource, NoSource, ResolverSource
from aws_runas.config.sso import SsoSession
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, ConfigError, CredentialsError, UsageError
from aws_runas.signin.context import SignInOptions

if TYPE_CHECKING:
    from aws_runas.aws.access import Access

SUMMARY = "Sign in to IAM Identity Center or an identity provider, or fetch the session token of access keys"
USAGE = "login [<profile>]"
ACCEPTS = ("credential", "output")
EXAMPLES = (
    ("aws-runas login my-profile", "Sign in in the browser, if that is needed"),
    ("aws-runas login --sso-session corp --device-code", "Sign in with a code, on any device"),
)
ENOUGH = 900.0  # seconds; SAML or OIDC credentials valid for longer need no new sign-in
NOTHING_TO_SIGN_IN = ("EcsContainer", "Ec2InstanceMetadata", "web-identity", "environment-web-identity")


@dataclass(frozen=True, slots=True)
class LoginOptions:
    """Options of `login`.

    Args:
        sso_session: value of ``--sso-session``.
        start_url, sso_region: of a session that is not in the config file yet.
        json: write JSON, for programs.
    """

    flags: GlobalFlags
    profile: str | None
    sign_in: SignInOptions
    sso_session: str | None = None
    start_url: str | None = None
    sso_region: str | None = None
    json: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and the positional."""
    parser.add_argument("--sso-session", metavar="NAME", help="Sign in to this sso-session of the config file")
    parser.add_argument("--start-url", metavar="URL", help="Start URL of an sso-session that is not in the config file")
    parser.add_argument("--sso-region", metavar="REGION", help="Region of that IAM Identity Center")
    parser.add_argument("--device-code", action="store_true", help="Show a code to enter in a browser on any device")
    parser.add_argument("--no-browser", action="store_true", help="Print the address and open no browser")
    parser.add_argument(
        "--browser", metavar="COMMAND", help="Command that opens a browser; %s in it becomes the address"
    )
    parser.add_argument(
        "--redirect-port",
        metavar="PORT",
        type=port,
        help="Port that the browser returns to (default: any free port)",
    )
    parser.add_argument("--timeout", metavar="DURATION", help="How long to wait for the browser (default 10m)")
    parser.add_argument(
        "--fresh-browser", action="store_true", help="Use an empty browser profile for the sign-in window (SAML)"
    )
    parser.add_argument("--force", action="store_true", help="Sign in even if you are signed in")
    add_profile(parser)


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> LoginOptions:
    """Check flags that need no config file.

    Raises:
        UsageError: flags cannot be combined.
    """
    profile = profile_of(namespace, flags) or flags.profile
    if namespace.sso_session is not None and profile is not None:
        raise UsageError(f"--sso-session and profile {profile} cannot be combined", code="usage")
    if (namespace.start_url is None) != (namespace.sso_region is None):
        raise UsageError("--start-url and --sso-region must be used together", code="usage")
    if namespace.start_url is not None and namespace.sso_session is None:
        raise UsageError("--start-url needs a name for the session: --sso-session NAME", code="usage")
    _check_flags(namespace)
    sign_in = SignInOptions(
        device_code=namespace.device_code,
        no_browser=namespace.no_browser,
        browser=namespace.browser,
        redirect_port=namespace.redirect_port or 0,
        timeout=_seconds(namespace.timeout),
        fresh_browser=namespace.fresh_browser,
        force=namespace.force,
    )
    return LoginOptions(
        flags,
        profile,
        sign_in,
        namespace.sso_session,
        namespace.start_url,
        namespace.sso_region,
        wants_json(flags, env),
    )


def _check_flags(namespace: argparse.Namespace) -> None:
    """Refuse values that no sign-in can use.

    Raises:
        UsageError: a value is invalid.
    """
    if namespace.sso_session == "":
        raise UsageError("--sso-session '' names no session", code="login-target-missing", hint="give it a name")
    if namespace.sso_region is not None and not is_region_name(namespace.sso_region):
        raise UsageError(
            f"--sso-region {namespace.sso_region!r} is not the name of a region, such as eu-west-1", code="usage"
        )
    if namespace.browser == "":
        raise UsageError("--browser '' names no program", code="usage", hint="name a program, or leave it out")
    if namespace.device_code and namespace.redirect_port:
        raise UsageError(
            "--redirect-port has no effect with --device-code", code="flag-unsuitable", hint="leave one of them out"
        )


def run(options: LoginOptions, env: Environment) -> Result:
    """Sign in, or report that no sign-in is needed."""
    from aws_runas.cli.sso_session import find_session

    if options.start_url is not None:
        return _new_session(options, env)
    session = find_session(options.flags, options.profile, options.sso_session, env)
    return _session(session, options, env) if session is not None else _other_kind(options, env)


def _session(session: SsoSession, options: LoginOptions, env: Environment) -> Result:
    from aws_runas.cli.sso_session import at_work
    from aws_runas.signin.sso_token import TokenFiles, write_time

    work = at_work(session, options.flags, env, options.sign_in, profile=options.profile or "")
    before = TokenFiles(env.home).read(session)
    token = work.tokens().token()
    renews = token.is_refreshable(env.now())
    if options.json:
        values = {
            "Session": session.name or None,
            "StartUrl": session.start_url,
            "Region": session.region,
            "Expiration": write_time(token.expires),
            "Refreshable": renews,
        }
        return Result(stdout=as_json(values))
    already = "already " if before is not None and before.access_token == token.access_token else ""
    return Result(stderr=_message(f"{already}signed in to {session.label}", token.expires, env, renews=renews))


def _message(what: str, expires: float, env: Environment, *, renews: bool) -> str:
    there, now = time.localtime(expires), time.localtime(env.now())
    day = "" if there[:3] == now[:3] else time.strftime("%Y-%m-%d ", there)
    tail = ", renews itself until the session ends" if renews else ""
    return f"aws-runas: {what} until {day}{time.strftime('%H:%M', there)}{tail}\n"


def _new_session(options: LoginOptions, env: Environment) -> Result:
    """Sign in to a session that the flags describe, and offer to write it to the config file."""
    name = options.sso_session or ""
    known = env.config_files().sso_sessions.get(name)
    if known is not None:
        if (known.get("sso_start_url"), known.get("sso_region")) != (options.start_url, options.sso_region):
            raise ConfigError(
                f"sso-session {name} is in the config file with another start URL or region",
                code="source-contradictory",
                hint="leave --start-url and --sso-region out, or choose another name",
            )
        return run(replace(options, start_url=None, sso_region=None), env)
    session = SsoSession(name, options.start_url or "", options.sso_region or "")
    result = _session(session, options, env)
    return replace(result, stderr=result.stderr + _offer(session, env))


def _offer(session: SsoSession, env: Environment) -> str:
    """Offer to write the section to the config file; without a terminal, print it."""
    from aws_runas.cli.terminal.prompt import confirm
    from aws_runas.config.files import config_path
    from aws_runas.credentials.shared_file import with_section
    from aws_runas.credentials.sso_profiles import edit

    path = config_path(env.environ, env.home)
    heading = f"sso-session {session.name}"
    values: dict[str, str | None] = {
        "sso_start_url": session.start_url,
        "sso_region": session.region,
        "sso_registration_scopes": ",".join(session.scopes),
    }
    section = f"[{heading}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
    try:
        is_wanted = confirm(f"write [{heading}] to {path}?")
    except CredentialsError:  # no terminal
        is_wanted = False
    if not is_wanted:
        return f"aws-runas: to keep the session, add to {path}:\n{section}"
    edit(path, lambda text: with_section(text, heading, values))
    return f"aws-runas: added [{heading}] to {path}\n"


def _other_kind(options: LoginOptions, env: Environment) -> Result:
    """Sign in for any other kind of profile: fetch its first credentials, which requires the sign-in."""
    from aws_runas.cli.access import open_access_for
    from aws_runas.cli.sign_in import Attendance

    flags = replace(options.flags, use_session_token=True)
    access = open_access_for(flags, options.profile, env, attendance=Attendance(options.sign_in))
    source = access.profile.source
    _check_source(source, access.profile.name)
    if access.sign_in is not None:
        return _federated(access, access.sign_in, options, env)
    keys = isinstance(source, KeySource) or (isinstance(source, ResolverSource) and source.kind == "process")
    provider = access.provider if keys else access.user_provider
    found = provider.credentials(refresh=options.sign_in.force)
    if options.sign_in.force:
        _forget(env, "role-")
    if not keys:
        return _signed_in(options, env, access.profile.name, found.expiration.timestamp() if found.expiration else None)
    if options.json:
        return Result(stdout=_json(access.profile.name, found.expiration.timestamp() if found.expiration else None))
    what = f"the session token of {access.profile.name} is good"
    if found.expiration is None:
        return Result(stderr=f"aws-runas: {what}\n")
    return Result(stderr=_message(what, found.expiration.timestamp(), env, renews=False))


def _federated(access: Access, sign_in: Callable[[], float], options: LoginOptions, env: Environment) -> Result:
    """Sign in with SAML or OIDC and fetch role credentials, since the provider's response is valid only for minutes."""
    from aws_runas.cli.sign_in import cache_of

    name = access.profile.name
    entry = next(iter(entry for entry in access.cache_entries if entry.startswith(("saml-", "oidc-"))), "")
    cached = cache_of(env).read(entry)
    if cached is not None and cached.expiration is not None and not options.sign_in.force:
        until = cached.expiration.timestamp()
        if until - env.now() > ENOUGH:
            return _signed_in(options, env, name, until, already=True)
    until = sign_in()
    _forget(env, "saml-", "oidc-", "role-")  # these entries belong to the previous sign-in
    try:
        found = access.user_provider.credentials(refresh=True)
    except CredentialsError as error:
        if error.code != "saml-role-ambiguous":  # the next command names the role
            raise
        return _signed_in(options, env, name, until)
    return _signed_in(options, env, name, found.expiration.timestamp() if found.expiration else None)


def _signed_in(
    options: LoginOptions, env: Environment, name: str, until: float | None, *, already: bool = False
) -> Result:
    if options.json:
        return Result(stdout=_json(name, until))
    if until is None:
        return Result(stderr=f"aws-runas: signed in as {name}\n")
    what = f"{'already ' if already else ''}signed in as {name}"
    return Result(stderr=_message(what, until, env, renews=False))


def _json(name: str, until: float | None) -> str:
    from aws_runas.signin.sso_token import write_time

    values = {"Profile": name, "Expiration": None if until is None else write_time(until), "Refreshable": False}
    return as_json(values)


def _forget(env: Environment, *names: str) -> None:
    from aws_runas.cli.sign_in import forget

    forget(env, *names)


def _check_source(source: object, name: str) -> None:
    """Refuse a profile that has nothing to sign in to.

    Raises:
        AwsRunasError: the source provides credentials without a sign-in, or there is no source.
    """
    if isinstance(source, NoSource):
        raise CredentialsError(source.message, code="credentials-missing", hint=source.hint)
    by_itself = isinstance(source, ResolverSource) and source.kind in NOTHING_TO_SIGN_IN
    if by_itself or (isinstance(source, KeySource) and source.session_token):
        origin = source.origin if isinstance(source, (KeySource, ResolverSource)) else ""
        error: AwsRunasError = ConfigError(
            f"profile {name} has nothing to sign in to: its credentials come from {origin}",
            code="login-not-possible",
            hint="login is for Identity Center, identity providers and access keys of a user",
        )
        raise error


def _seconds(text: str | None) -> float:
    if text is None:
        return SignInOptions().timeout
    from aws_runas.config.durations import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}", code="usage") from None
    if not 1 <= seconds <= 3600:
        raise UsageError(f"--timeout {text} is not in 1s..1h", code="usage")
    return float(seconds)
