"""``aws-runas ssh``: a ProxyCommand for ssh, scp, sftp and rsync."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment, stream_descriptor
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import refuse_program, split_profile
from aws_runas.cli.session.flags import SessionFlags, add_session_flags, check_picker, read_session_flags
from aws_runas.dataclass import dataclass
from aws_runas.errors import SessionError, TargetError, UsageError
from aws_runas.notices import write_notice
from aws_runas.redact import printable
from aws_runas.targets.spelling import split_port

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.aws.session import StartedSession
    from aws_runas.cli.session.open import OpenTarget

SUMMARY = "Connect stdin and stdout to sshd on an instance, as an ssh ProxyCommand"
USAGE = "ssh [<profile>] [<user>@]<target>[:<port>]"
EXAMPLES = (
    ("ssh -o ProxyCommand='aws-runas ssh my-profile %r@%h:%p' ec2-user@web-server", "Use ssh by Name tag"),
    ("aws-runas ssh --ec2ic my-profile %r@%h:%p", "Push the public keys too, as a ProxyCommand"),
)
SSH_PORT = 22
PORT_ERROR = "Unable to connect to specified port"  # beginning of the agent's error (spec 7)
DOCUMENT = "AWS-StartSSHSession"


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `ssh`.

    Args:
        user: "" if none was given.
        target: as typed, without user and port.
        instance_connect: push a public key first.
        identities: key files to push; empty for those that ssh would offer.
    """

    flags: GlobalFlags
    session: SessionFlags
    profile: str | None
    user: str
    target: str
    port: int
    instance_connect: bool = False
    identities: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own flags and positionals."""
    add_session_flags(parser)
    parser.add_argument(
        "--ec2ic", action="store_true", help="Push the public keys that ssh would offer with EC2 Instance Connect"
    )
    parser.add_argument(
        "--identity",
        metavar="FILE",
        action="append",
        default=[],
        help="Key to push with --ec2ic instead of those that ssh would offer (repeatable)",
    )
    parser.add_argument("first", nargs="?", metavar="[<profile>]", help="Profile name or role ARN")
    parser.add_argument(
        "more",
        nargs="*",
        metavar="[<user>@]<target>[:<port>]",
        help="Instance id, Name tag, tag:value, address or DNS name; port 1 to 65535 (default 22)",
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Separate profile, user, target and port."""
    words = [*([] if namespace.first is None else [namespace.first]), *namespace.more]
    refuse_program("ssh", words, env.profile_names, env.environ, named=flags.profile)
    profile, rest = split_profile(words, env.profile_names, env.environ, 1, named=flags.profile)
    if not any(rest):
        check_picker("use: aws-runas ssh [profile] [user@]target[:port]", env)
    user, _, where = (rest[0] if rest else "").rpartition("@")
    target, port = split_port(where, SSH_PORT) if where else ("", SSH_PORT)
    if namespace.identity and not namespace.ec2ic:
        raise UsageError("--identity needs --ec2ic", code="usage")
    return Options(
        flags,
        read_session_flags(namespace),
        profile,
        user,
        target,
        port,
        namespace.ec2ic,
        tuple(namespace.identity),
    )


def run(options: Options, env: Environment) -> Result:
    """Open the session and carry bytes until either side has ended."""
    from aws_runas.cli.session.open import open_target
    from aws_runas.ssm.shutdown import raise_at_signals

    raise_at_signals()
    opened = open_target(options.flags, options.session, options.profile, options.target, env=env)
    if options.instance_connect:
        _push_keys(options, env, opened.access, opened.target)
    if options.session.plugin:
        from aws_runas.cli.session.plugin import run_plugin

        parameters = {"portNumber": [str(options.port)]}
        return Result(run_plugin(opened, document=DOCUMENT, parameters=parameters, flags=options.session, env=env))
    return Result(_run_native(options, env, opened))


def _run_native(options: Options, env: Environment, opened: OpenTarget) -> int:
    from aws_runas.ssm.session_start import SessionStart

    access, target, api = opened.access, opened.target, opened.api
    parameters = {"portNumber": [str(options.port)]}
    api.prepare()  # before the thread starts: otherwise it would import modules while the main thread imports others
    opened.take_terminal()

    def start() -> StartedSession:
        return api.start_session(target, DOCUMENT, parameters, options.session.reason)

    with SessionStart(start, api.terminate_session, env.warn) as starting:
        starting.begin()
        # Loaded while StartSession is under way.
        from aws_runas.cli.session.flags import stream_options
        from aws_runas.cli.session.instance import check_agent_version
        from aws_runas.ssm.proxy_command import run_ssh
        from aws_runas.ssm.session_start import started_opener
        from aws_runas.ssm.transport import event_loop

        open_channel = started_opener(starting, api, options=stream_options(options.session, access, env))
        stdin, stdout = stream_descriptor(env, "stdin"), stream_descriptor(env, "stdout")
        try:
            return event_loop.run(run_ssh(open_channel, stdin=stdin, stdout=stdout, say=_notices(options, env)))
        except SessionError as error:
            check_agent_version(error, access, target)
            _check_port(error, options.port, target)
            raise


def _notices(options: Options, env: Environment) -> Callable[[str], None]:
    """Return a function that writes a line to stderr, which is inherited from ssh: often a terminal in raw mode."""
    descriptor = stream_descriptor(env, "stderr")

    def say(line: str) -> None:
        if options.session.quiet:
            return
        start, end = ("\r\n", "\r\n") if _is_raw(descriptor) else ("", "\n")
        write_notice(descriptor, f"{start}aws-runas: {printable(line)}{end}")

    return say


def _is_raw(descriptor: int) -> bool:
    if sys.platform == "win32":
        return False
    from aws_runas.ssm.terminal.posix import needs_carriage_returns

    return needs_carriage_returns(descriptor)


def _check_port(error: SessionError, port: int, target: str) -> None:
    """Translate the error of the agent for a port on which nothing listens.

    Raises:
        SessionError: nothing listens on the port, which the message names.
    """
    if PORT_ERROR in error.message:
        reason = error.message.rpartition(PORT_ERROR)[2].lstrip(": ")
        server = "is sshd running there?" if port == SSH_PORT else "does a server listen there?"
        raise SessionError(
            f"nothing accepts connections on port {port} of {target}", code="port-closed", hint=f"{server} ({reason})"
        ) from None


def _push_keys(options: Options, env: Environment, access: Access, target: str) -> None:
    from aws_runas.aws.ec2 import push_public_key
    from aws_runas.cli.session.ssh_keys import public_keys, ssh_settings

    if not target.startswith("i-"):
        raise TargetError(
            f"EC2 Instance Connect knows only EC2 instances, not {target}",
            code="instance-connect-target",
            hint="leave --ec2ic out, and install the key in another way",
        )
    settings = ssh_settings(options.target, options.user, options.port, env.environ)
    if not settings.user:
        raise UsageError("--ec2ic needs a user", code="ssh-user-missing", hint="write it as user@target")
    for key in public_keys(settings, options.identities, env.environ):
        push_public_key(access, target, settings.user, key)
