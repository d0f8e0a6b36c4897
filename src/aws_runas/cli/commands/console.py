"""``console``: open the AWS console in a browser, signed in as the profile."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import is_profile_set, split_profile
from aws_runas.cli.questions import PROFILE_HELP
from aws_runas.config.durations import check_range, parse_duration
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from aws_runas.aws.access import Access
    from aws_runas.aws.credentials import Credentials
    from aws_runas.console.settings import Way
    from aws_runas.signin.browser import Browser

SUMMARY = "Open the AWS console in a browser, signed in as the profile"
USAGE = "console [<profile>] [<destination>]"
EXAMPLES = (
    ("aws-runas console my-profile", "Home of the console in the profile's region"),
    ("aws-runas console my-profile s3", "Page of a service"),
    ("aws-runas console -d 8h my-profile ec2/home#Instances:", "A path, for eight hours"),
    ("aws-runas console --print my-profile logs", "Print the address instead"),
)
DURATION_RANGE = (15 * 60, 12 * 3600)  # seconds
USER_DURATION = 12 * 3600  # seconds of a federated user; AWS's default
ROOT_DURATION = 3600  # seconds; AWS's limit for the root user


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `console`.

    Args:
        destination: as typed; None for the home page of the console.
        duration: seconds of the console session, None for as long as the credentials live.
        print: write the address to standard output.
        container: name of a Firefox container, "" for the name of the profile; None for no container.
        browser: command that opens the address.
        federation: sign in through the federation endpoint, not the portal of Identity Center.
    """

    flags: GlobalFlags
    profile: str | None
    destination: str | None = None
    duration: int | None = None
    print: bool = False
    clipboard: bool = False
    logout_first: bool = False
    container: str | None = None
    browser: str | None = None
    federation: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own flags and positionals. Here, ``-d`` sets the duration of the console session."""
    add = parser.add_argument
    text = "Console session lifetime, 15m to 12h; on a role it works like -a (default: as long as the credentials live)"
    add("-d", "--duration", dest="session_token_duration", type=_duration, metavar="DURATION", help=text)
    add("--print", action="store_true", help="Print the address, which is a secret for 15 minutes, and open nothing")
    add("--clipboard", action="store_true", help="Copy the address to the clipboard, and open nothing")
    add("--logout-first", action="store_true", help="Sign the browser out of the console first")
    text = "Open it in a container of Firefox (default: named like the profile); it needs an add-on"
    add("--container", nargs="?", const="", metavar="NAME", help=text)
    add("--browser", metavar="COMMAND", help="Command that opens the browser; %s in it becomes the address")
    text = "Sign in with the role's credentials, not through the Identity Center portal"
    add("--federation", action="store_true", help=text)
    add("words", nargs="*", metavar="[<profile>]", help=PROFILE_HELP)
    text = "Service word (s3, ec2, cfn, ...), path, https address in the console, or ARN"
    add("destination_words", nargs="*", metavar="[<destination>]", help=text)


def _duration(text: str) -> int:
    try:
        seconds = parse_duration(text)
        check_range(seconds, DURATION_RANGE, "a console session lifetime")
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return seconds


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Separate the profile from the destination, and check the flags.

    Raises:
        UsageError: there are too many arguments, or mutually exclusive flags.
    """
    words = [word for word in [*namespace.words, *namespace.destination_words] if word != "--"]
    profile, destination = _split(words, flags, env)
    if namespace.print and namespace.clipboard:
        raise UsageError("--print and --clipboard cannot be combined", code="flag-unsuitable", hint="use one of them")
    if namespace.browser == "":
        raise UsageError("--browser '' names no program", code="usage", hint="name a program, or leave it out")
    if destination == "":
        raise UsageError("the destination is empty", code="destination-invalid", hint="leave it out for the home page")
    if namespace.browser and (namespace.print or namespace.clipboard):
        flag = "--print" if namespace.print else "--clipboard"
        raise UsageError(f"--browser has no effect with {flag}", code="flag-unsuitable", hint="leave one of them out")
    return Options(
        replace(flags, session_token_duration=None),
        profile,
        destination,
        flags.session_token_duration,
        namespace.print,
        namespace.clipboard,
        namespace.logout_first,
        namespace.container,
        namespace.browser,
        namespace.federation,
    )


def _split(words: list[str], flags: GlobalFlags, env: Environment) -> tuple[str | None, str | None]:
    """Return profile and destination. One word is the profile unless it is plainly a destination."""
    from aws_runas.config.arn import is_role_arn
    from aws_runas.console.destination import is_plainly_destination

    if len(words) == 1 and flags.profile is None and not is_role_arn(words[0]):
        word = words[0]
        plain = is_plainly_destination(word)
        if is_profile_set(env.environ):
            if not plain and word in env.profile_names():
                raise UsageError(
                    f"{word} is a profile, not a destination; AWS_PROFILE already names the profile",
                    code="destination-invalid",
                    hint=f"to use it: aws-runas console --profile {word}, or unset AWS_PROFILE",
                )
            return None, word
        if plain and word not in env.profile_names():
            return None, word
    profile, rest = split_profile(words, env.profile_names, env.environ, 1, named=flags.profile)
    return profile, rest[0] if rest else None


def run(options: Options, env: Environment) -> Result:
    """Create the address, and open, print or copy it.

    Raises:
        AwsRunasError: the profile cannot sign in, there is no browser, or an endpoint refused the request.
    """
    from aws_runas.cli.access import open_access_for
    from aws_runas.console.destination import find_destination
    from aws_runas.console.links import find_partition
    from aws_runas.console.settings import find_way

    access = open_access_for(_flags(options), options.profile, env)
    profile = access.profile
    partition = find_partition(profile.partition)
    region = profile.region.value if profile.region else None
    destination = find_destination(options.destination, partition, region)
    way = find_way(profile, federation=options.federation)
    browser = None if options.print or options.clipboard else _browser(options, access, env)
    if destination.warning:
        _say(options, env, f"warning: {destination.warning}")
    if way == "portal":
        return _deliver(options, env, access, browser, address=_portal(options, access, destination.address, env))
    address, until = _federated(options, access, way, destination.address, env=env)
    return _deliver(options, env, access, browser, address=address, until=until)


def _flags(options: Options) -> GlobalFlags:
    """Make ``-d`` request role credentials of that duration, as ``-a`` does."""
    if options.duration is None or options.flags.role_duration is not None:
        return options.flags
    return replace(options.flags, role_duration=options.duration)


def _portal(options: Options, access: Access, destination: str, env: Environment) -> str:
    from aws_runas.console.links import portal_address
    from aws_runas.console.settings import portal_settings

    if options.logout_first:
        raise UsageError(
            "--logout-first does not work with the Identity Center portal",
            code="flag-unsuitable",
            hint="add --federation, or sign out in the browser",
        )
    if options.duration is not None:
        _say(options, env, "note: -d has no effect with the Identity Center portal; its permission set decides")
    settings, origin = portal_settings(access.profile)
    return portal_address(settings, origin, destination if options.destination else None)


def _federated(options: Options, access: Access, way: Way, destination: str, *, env: Environment) -> tuple[str, str]:
    """Return the sign-in address, and a phrase that says when the session ends."""
    from aws_runas.aws.federation import get_signin_token
    from aws_runas.console.links import federation_address, find_partition, login_address, signin_override, with_logout
    from aws_runas.console.settings import session_duration

    profile = access.profile
    partition = find_partition(profile.partition)
    override = signin_override(env.environ)
    endpoint = federation_address(partition, profile.region.value if profile.region else None, override)
    credentials, way = _credentials(options, access, way, env)
    duration = session_duration(way, options.duration, credentials, env.now())
    try:
        token = get_signin_token(profile, endpoint, credentials, duration)
    except CredentialsError as error:
        if error.code != "console-refused" or duration is None or options.duration is not None:
            raise
        duration = None  # not requested by the user, so AWS may choose
        token = get_signin_token(profile, endpoint, credentials, None)
    address = login_address(endpoint, destination, token)
    if options.logout_first:
        address = with_logout(address, partition, override)
    end = env.now() + duration if duration else credentials.expiration.timestamp() if credentials.expiration else None
    return address, f" until {time.strftime('%H:%M', time.localtime(end))}" if end else ""


def _credentials(options: Options, access: Access, way: Way, env: Environment) -> tuple[Credentials, Way]:
    """Return credentials that can sign in, and how they sign in.

    Raises:
        CredentialsError: the profile has no such credentials.
    """
    from aws_runas.aws.sts import caller_identity
    from aws_runas.console.settings import can_sign_in

    if way == "user":
        return _federated_user(options, access, env), way
    found = _of_profile(options, access)
    if way != "unknown":
        return found, way
    if not found.session_token or not access.user_provider.credentials().session_token:
        return _federated_user(options, access, env), "user"
    arn = caller_identity(access).arn
    if not can_sign_in(arn):
        raise CredentialsError(
            f"the temporary keys of {arn} cannot sign in to the console",
            code="console-not-possible",
            hint="session tokens cannot sign in; use a profile with a role, or with the user's own keys",
        )
    return found, way


def _of_profile(options: Options, access: Access) -> Credentials:
    try:
        return access.provider.credentials()
    except UsageError as error:
        if options.duration is None or options.flags.role_duration is not None:
            raise
        # the duration of the role credentials is out of range, and it came from -d
        error.message = error.message.replace("flag -a", "flag -d")
        raise


def _federated_user(options: Options, access: Access, env: Environment) -> Credentials:
    from aws_runas.aws import sts
    from aws_runas.aws.sts import caller_identity
    from aws_runas.console.settings import federation_name, federation_policy

    policy = federation_policy(access.profile)
    arn = caller_identity(access, user=True).arn
    longest = ROOT_DURATION if arn.endswith(":root") else USER_DURATION
    duration = min(options.duration or USER_DURATION, longest)
    _say(options, env, "note: you sign in as a federated user; IAM and STS do not work there, and there is no MFA")
    client = access.user_client("sts")
    return sts.get_federation_token(client, federation_name(arn), policy, duration, now=env.now())


def _browser(options: Options, access: Access, env: Environment) -> Browser:
    """Find the browser before any call to AWS.

    Raises:
        CredentialsError: there is no browser.
        ConfigError: the chosen browser is not a program.
    """
    import shutil
    import sys

    from aws_runas.console.settings import browser_commands, find_setting
    from aws_runas.signin.browser import NoBrowser, find_browser

    chosen = options.browser
    setting = find_setting(access.profile, "console_browser")
    if chosen is None and setting is not None:
        commands = browser_commands(setting.value, access.profile.name, sys.platform)
        path = env.environ.get("PATH")
        chosen = next((line for line in commands if shutil.which(line.split()[0], path=path)), commands[0])
    elif chosen is None and options.container is not None and not env.environ.get("RUNAS_BROWSER"):
        if sys.platform == "darwin":
            chosen = "open -a Firefox"
        elif shutil.which("firefox", path=env.environ.get("PATH")):
            chosen = "firefox"
    browser = find_browser(env.environ, chosen)
    if isinstance(browser, NoBrowser):
        raise CredentialsError(
            f"there is no browser: {browser.reason}",
            code="browser-missing",
            hint="use --print or --clipboard, or name a browser with --browser",
        )
    return browser


def _deliver(
    options: Options,
    env: Environment,
    access: Access,
    browser: Browser | None,
    *,
    address: str,
    until: str | None = None,
) -> Result:
    """Print, copy or open an address.

    Args:
        until: phrase for the end of the session; None if the address is not secret and may appear in argv.
    """
    if browser is not None:
        _open(options, env, access, browser, address=address, secret=until is not None)
        return Result(stderr=f"aws-runas: opened the console of {access.profile.name}{until or ''}\n")
    address = _in_container(options, access, address)
    if options.print:
        shown = until is not None and env.stdout.isatty() and not options.flags.quiet
        note = "aws-runas: note: anyone with this address is signed in; it is valid for 15 minutes\n" if shown else ""
        return Result(stdout=f"{address}\n", stderr=note)
    from aws_runas.cli.terminal.clipboard import copy_text

    return Result(stderr=f"aws-runas: the address is on the clipboard ({copy_text(address, env.environ)})\n")


def _in_container(options: Options, access: Access, address: str) -> str:
    """Return the address that opens another one in a container, if a container was requested."""
    if options.container is None:
        return address
    from aws_runas.console.links import container_address
    from aws_runas.console.settings import find_setting

    color, add_on = (find_setting(access.profile, key) for key in ("color", "console_container"))
    name = options.container or access.profile.name
    return container_address(address, name, color.value if color else None, add_on.value if add_on else "granted")


def _open(options: Options, env: Environment, access: Access, browser: Browser, *, address: str, secret: bool) -> None:
    """Start the browser. A secret address never appears in its argv.

    Raises:
        CredentialsError: the browser cannot be started, or does not request the address.
    """
    from aws_runas.console.page import write_page
    from aws_runas.signin.browser import is_apart
    from aws_runas.signin.handover import Handover

    if not secret:
        _start(browser, _in_container(options, access, address), env)
        return
    try:
        if options.container is None and not is_apart(browser, env.environ):
            page = write_page(address, env.environ)
            _start(browser, page.as_uri(), env, page)
            return
        with Handover(address) as handover:  # Firefox asks before a local page may open an add-on
            _start(browser, _in_container(options, access, handover.address), env)
            if handover.wait():
                return
    except OSError as error:
        raise CredentialsError(
            f"the address cannot be passed to the browser: {(error.strerror or str(error)).lower()}",
            code="browser-missing",
            hint="use --print or --clipboard",
        ) from None
    add_on = " (is the add-on for containers installed?)" if options.container is not None else ""
    raise CredentialsError(
        f"the browser did not open the page within 30 s{add_on}",
        code="browser-silent",
        hint="use --print or --clipboard, or name a browser with --browser",
    )


def _start(browser: Browser, address: str, env: Environment, page: Path | None = None) -> None:
    from aws_runas.signin.browser import open_address

    if open_address(browser, address, env.environ):
        return
    if page is not None:
        page.unlink(missing_ok=True)
    raise CredentialsError(
        f"the browser ({browser.origin}) cannot be started",
        code="browser-missing",
        hint="use --print or --clipboard, or name a browser with --browser",
    )


def _say(options: Options, env: Environment, line: str) -> None:

    if options.flags.quiet:
        return
    env.tell(f"aws-runas: {line}\n")
