"""``aws-runas serve ec2|ecs``, ``--ec2`` and ``--ecs``: credentials over HTTP for programs that cannot be wrapped."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import shlex
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import split_profile
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, ConfigError, UsageError
from aws_runas.fast.names import is_aws_true
from aws_runas.signin.context import RunContext

if TYPE_CHECKING:
    from aws_runas.serve.catalogue import ConfigCatalogue
    from aws_runas.serve.desk import Desk
    from aws_runas.serve.profiles import Profiles
    from aws_runas.serve.server import Server
    from aws_runas.signin.context import SignInContext

SUMMARY = "Serve credentials over HTTP, as EC2 instance metadata or as container credentials"
USAGE = "serve ec2|ecs [<profile>]"
EXAMPLES = (
    ("aws-runas serve ecs my-profile", "Container credentials on port 12319"),
    ("aws-runas serve ec2 -p 8080 my-profile", "Instance metadata on 127.0.0.1, port 8080"),
)
WORDS = ("ec2", "ecs")

TOKEN_VARIABLE = "AWS_CONTAINER_AUTHORIZATION_TOKEN"  # noqa: S105 - the name of a variable
URI_VARIABLE = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
DISABLED_VARIABLE = "AWS_EC2_METADATA_DISABLED"
SHORT_TOKEN = 16  # characters
FIRST_WAIT = 2.0  # seconds that the announcement waits for the first credentials; clients may connect meanwhile
ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `serve`.

    Args:
        kind: "ec2" or "ecs".
        profile: name or ARN; None if none was given.
        port: None for the default of the kind.
        bind: address other than loopback, "ecs" only.
        socket: path of an additional unix socket to listen on, "ecs" only.
        allow_v1: answer IMDS requests without a session token.
    """

    kind: str
    profile: str | None
    flags: GlobalFlags
    port: int | None = None
    bind: str | None = None
    socket: str | None = None
    allow_v1: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument(
        "-p",
        "--port",
        type=_port,
        metavar="PORT",
        help="Port, 0 for any (default: ecs 12319; ec2 port 80 of 169.254.169.254, as root)",
    )
    parser.add_argument("--no-v1", action="store_true", help="Refuse requests without a session token, IMDSv1 (ec2)")
    parser.add_argument(
        "--bind", metavar="ADDRESS", help="Address of this machine to listen on (ecs; default 127.0.0.1)"
    )
    parser.add_argument("--socket", metavar="PATH", help="Listen on this unix socket too (ecs)")
    parser.add_argument("kind", nargs="?", metavar="<ec2|ecs>", help="Service to start")
    parser.add_argument("words", nargs="*", metavar="[<profile>]", help="Profile name or role ARN")


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Check the kind of server, its addresses and its flags.

    Raises:
        UsageError: flags that cannot be combined, or too many arguments.
    """
    if namespace.kind not in WORDS:
        is_profile = not namespace.words or namespace.kind in env.profile_names()
        name = shlex.quote((namespace.kind if is_profile else namespace.words[0]) or "PROFILE")
        raise UsageError(
            f"{namespace.kind!r} is not a kind of server" if namespace.kind else "no kind of server given",
            code="usage",
            hint=f"use: aws-runas serve ecs {name}, or aws-runas serve ec2 {name}",
        )
    for name in ("bind", "socket"):
        if namespace.kind == "ec2" and getattr(namespace, name, None):
            raise UsageError(
                f"--{name} works only with serve ecs", code="usage", hint="instance metadata has no token to ask for"
            )
    if namespace.kind == "ecs" and getattr(namespace, "no_v1", False):
        raise UsageError("--no-v1 works only with serve ec2", code="usage")

    try:
        port = _port(namespace.port)
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"-p: {error}", code="port-invalid") from None

    words = [word for word in namespace.words if word != "--"]
    profile = split_profile(words, env.profile_names, {}, 0, named=flags.profile)[0]
    return Options(
        namespace.kind,
        profile,
        flags,
        port,
        getattr(namespace, "bind", None),
        getattr(namespace, "socket", None),
        not getattr(namespace, "no_v1", False),
    )


def run(options: Options, env: Environment) -> Result:
    """Serve until a signal arrives.

    Raises:
        AwsRunasError: the address cannot be used, or the profile does not resolve.
    """
    from aws_runas.serve import guards, startup
    from aws_runas.serve.app import App
    from aws_runas.serve.app import Options as AppOptions
    from aws_runas.serve.profiles import Profiles
    from aws_runas.serve.server import Server

    token = _token(env) if options.kind == "ecs" else None
    with contextlib.ExitStack() as stack:
        # Bind ports, then drop privileges, before anything else: the rest runs as the user, and nothing is served yet.
        started = startup.start(
            startup.Where(options.kind, options.port, options.bind, options.socket), env.environ, env.home
        )
        env, listeners = replace(env, environ=started.environ, home=started.home), started.listeners
        for listener in listeners:
            stack.callback(listener.close)
        remove_file = started.unix.remove_file if started.unix else lambda: None
        stack.callback(remove_file)
        users = guards.Users()
        stack.callback(users.close)
        profiles = Profiles(_catalogue(options, env), options.profile, now=env.now, notice=_notice(env))
        app = App(
            profiles,
            AppOptions(options.kind, token, options.allow_v1, users.is_neighbour),
            log=_log(env) if options.flags.verbose else None,
            now=env.now,
        )
        server = Server(listeners, app.handle, before_close=remove_file)
        ended = stack.enter_context(_until_signal(server))
        _fetch_first(profiles)
        _announce(options, env, listeners, token, profiles=profiles)
        server.serve_forever()
        return Result(128 + ended[0] if ended else 0)


def _port(text: str | int | None) -> int | None:
    """Read a port, 0 for any. With --ec2 and --ecs, the parser has read it already."""
    if text is None or isinstance(text, int):
        return text
    if text.isascii() and text.isdigit() and int(text) <= 65535:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")


def _token(env: Environment) -> str:
    token = env.environ.get(TOKEN_VARIABLE, "")
    if not token:
        return secrets.token_urlsafe(32)
    if not (token.isascii() and token.isprintable()) or token != token.strip():
        raise ConfigError(
            f"{TOKEN_VARIABLE} is not a usable token: it must be printable ASCII without blanks around it",
            code="serve-token-unusable",
            hint="unset it to get a random one",
        )
    if len(token) < SHORT_TOKEN:
        _log(env)(
            f"warning: {TOKEN_VARIABLE} has {len(token)} characters, which can be guessed; unset it for a random one"
        )
    return token


def _catalogue(options: Options, env: Environment) -> ConfigCatalogue:
    from aws_runas.cli.access import overrides_of
    from aws_runas.serve.catalogue import ConfigCatalogue

    verbosity = options.flags.verbose
    log = _log(env)

    def warn(line: str) -> None:
        log(f"warning: {line}")

    def debug(line: str) -> None:
        if verbosity:
            log(f"debug: {line}")

    return ConfigCatalogue(
        options.profile,
        overrides_of(options.flags),
        RunContext(
            environ=env.environ,
            home=env.home,
            now=env.now,
            warn=warn,
            debug=debug,
            trace=debug if verbosity > 1 else None,
        ),
        sign_in=lambda desk: _sign_in(desk, env, debug),
    )


def _sign_in(desk: Desk, env: Environment, debug: Callable[[str], None]) -> SignInContext:
    """Return the context of a sign-in that the user starts on the page. It never prompts on the terminal."""
    from aws_runas.cli.sign_in import Attendance, sign_in_context

    log = _log(env)
    return replace(
        sign_in_context(env, debug, Attendance(unattended=True)),
        say=lambda line: desk.say(line) if desk.is_attended() else log(line),
        is_attended=desk.is_attended,
        terminal=lambda: None,
    )


def _log(env: Environment) -> Callable[[str], None]:
    def log(line: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # a closed terminal must not end the server
            env.tell(f"aws-runas: {line}\n")

    return log


def _fetch_first(profiles: Profiles) -> None:
    """Fetch credentials before the first client asks: SDKs allow a metadata service one second, and one try."""
    fetched = threading.Event()
    profiles.active.renewal.get(lambda _: fetched.set())
    fetched.wait(FIRST_WAIT)


def _announce(
    options: Options, env: Environment, listeners: list[socket.socket], token: str | None, *, profiles: Profiles
) -> None:
    """Print the address, and the variables that clients need."""
    host, port = listeners[0].getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - asked for by --bind
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    host = f"[{host}]" if ":" in host else host
    base = f"http://{host}" if port == 80 else f"http://{host}:{port}"
    log = _log(env)
    lines = []
    if options.kind == "ecs":
        lines = [(URI_VARIABLE, f"{base}/credentials"), (TOKEN_VARIABLE, token or "")]
    elif options.port is not None:
        lines = [(ENDPOINT_VARIABLE, f"{base}/")]
    if options.kind == "ec2" and is_aws_true(env.environ.get(DISABLED_VARIABLE)):
        lines.append((DISABLED_VARIABLE, "false"))  # set here, so probably also where the client runs
    try:
        env.stdout.write("".join(f"export {name}={shlex.quote(value)}\n" for name, value in lines).encode())
        env.stdout.flush()
    except (OSError, ValueError) as error:  # a reader that closes the pipe must not end the server
        if not isinstance(error, BrokenPipeError):
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            log(f"warning: the variables for clients cannot be written to standard output: {reason}")
    log(f"credentials of {profiles.active.facts.name} are served; the page is {base}/")
    if options.bind:
        log(f"only {base}/credentials is open to other machines and containers, and only with the token")


def _notice(env: Environment) -> Callable[[str, AwsRunasError], None]:
    def notice(name: str, error: AwsRunasError) -> None:
        log(f"no new credentials for {name}: {error.message}{f'; {error.hint}' if error.hint else ''}")

    log = _log(env)
    return notice


@contextlib.contextmanager
def _until_signal(server: Server) -> Iterator[list[int]]:
    """Stop the server on a signal. The list then starts with the number of that signal."""
    ended: list[int] = []

    def end(number: int, _: object) -> None:
        ended.append(number)
        server.stop()

    numbers = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
