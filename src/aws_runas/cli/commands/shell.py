"""``aws-runas shell``: open a shell, or the session of a custom document, on an instance."""

from __future__ import annotations

import argparse
from dataclasses import field
from typing import TYPE_CHECKING

from aws_runas.cli.environment import STREAMS, Environment, stream_descriptor
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import CREDENTIAL, SEED_FLAGS, GlobalFlags
from aws_runas.cli.parsing.positionals import refuse_program, split_profile
from aws_runas.cli.session.flags import (
    SessionFlags,
    add_session_flags,
    check_picker,
    parse_parameters,
    read_session_flags,
)
from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError
from aws_runas.ssm.terminal.escape import DEFAULT, parse_escape
from aws_runas.targets.spelling import is_ecs

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.aws.session import StartedSession
    from aws_runas.cli.session.open import OpenTarget
    from aws_runas.ssm.api import SsmApi
    from aws_runas.ssm.shell.session import ShellSession

SUMMARY = "Open a shell on an instance through an SSM session"
USAGE = "shell [<profile>] [<target>]"
ACCEPTS = (CREDENTIAL, *SEED_FLAGS)
EXAMPLES = (
    ("aws-runas shell my-profile i-0123456789abcdef0", "Open a shell by instance id"),
    ("aws-runas shell my-profile web-server", "Open a shell by Name tag"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `shell`.

    Args:
        profile: name or role ARN; None if none was given.
        target: as typed.
        document: name of the document; None for the standard shell of the account.
        parameters: parameters of the document.
        escape: the byte that begins an escape; empty for none.
    """

    flags: GlobalFlags
    session: SessionFlags
    profile: str | None
    target: str
    document: str | None = None
    parameters: dict[str, list[str]] = field(default_factory=dict)
    escape: bytes = DEFAULT.encode()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own flags and positionals."""
    add_session_flags(parser)
    parser.add_argument("--document", metavar="NAME", help="Session document (default: the account's standard shell)")
    parser.add_argument(
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="Parameter of the document (repeatable)",
    )
    parser.add_argument(
        "--escape", metavar="CHAR", help="Character that begins an escape at the start of a line, or none (default ~)"
    )
    parser.add_argument("first", nargs="?", metavar="[<profile>]", help="Profile name or role ARN")
    parser.add_argument(
        "more", nargs="*", metavar="[<target>]", help="Instance id, Name tag, tag:value, address or DNS name"
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Separate the profile from the target."""
    words = [] if namespace.first is None else [namespace.first, *namespace.more]
    refuse_program("shell", words, env.profile_names, env.environ, named=flags.profile)
    profile, rest = split_profile(words, env.profile_names, env.environ, 1, named=flags.profile)
    if not any(rest):
        check_picker("use: aws-runas shell [profile] target", env)
    parameters = parse_parameters(namespace.parameter)
    if parameters and not namespace.document:
        raise UsageError("--parameter needs --document", code="document-missing")
    return Options(
        flags,
        read_session_flags(namespace),
        profile,
        rest[0] if rest else "",
        namespace.document,
        parameters,
        parse_escape(namespace.escape if namespace.escape is not None else DEFAULT),
    )


def run(options: Options, env: Environment) -> Result:
    """Open the session and stay until it ends."""
    from aws_runas.cli.session.open import open_target
    from aws_runas.ssm.shutdown import raise_at_signals

    raise_at_signals()
    prompt = _Prompt()
    opened = open_target(options.flags, options.session, options.profile, options.target, env=env, prompt=prompt.ask)
    if options.session.plugin:
        from aws_runas.cli.session.plugin import run_plugin

        document, parameters = options.document, options.parameters
        return Result(run_plugin(opened, document=document, parameters=parameters, flags=options.session, env=env))
    return Result(_run_native(options, env, opened, prompt))


class _Prompt:
    """Prompts for an MFA code on the terminal, which a running session lends for the prompt."""

    def __init__(self) -> None:
        self.session: ShellSession | None = None

    def opened(self, session: ShellSession) -> None:
        """Register the session that uses the terminal from now on."""
        self.session = session

    def ask(self, question: str) -> str:
        """Ask for a code; called in any thread that needs credentials."""
        from aws_runas.cli.terminal.prompt import ask_on_terminal

        if self.session is None or not self.session.console.is_terminal:
            return ask_on_terminal(question)
        with self.session.console.lent():
            return ask_on_terminal(question)


def _run_native(options: Options, env: Environment, opened: OpenTarget, prompt: _Prompt) -> int:
    from aws_runas.ssm.session_start import SessionStart

    access, target, api = opened.access, opened.target, opened.api
    api.prepare()  # here, where Ctrl-C at the MFA prompt works as usual
    opened.take_terminal()
    with SessionStart(lambda: _start(options, access, api, target), api.terminate_session, env.warn) as starting:
        starting.begin()
        # Loaded while StartSession is under way.
        from aws_runas.cli.session.flags import stream_options
        from aws_runas.ssm.shell.console import ConsoleOptions
        from aws_runas.ssm.shell.session import ShellOptions, run_shell
        from aws_runas.ssm.shutdown import leave_quickly
        from aws_runas.ssm.transport import event_loop

        stream = stream_options(options.session, access, env)
        console = ConsoleOptions(
            options.session.quiet, options.escape, *(stream_descriptor(env, name) for name in STREAMS)
        )
        try:
            return event_loop.run(
                run_shell(
                    starting,
                    api,
                    target=target if options.target in ("", target) else f"{options.target} ({target})",
                    options=ShellOptions(console, runs_shell=options.document is None),
                    stream=stream,
                    opened=prompt.opened,
                )
            )
        finally:
            leave_quickly()


def _start(options: Options, access: Access, api: SsmApi, target: str) -> StartedSession:
    """Open the session. Unless a document was named, ECS starts the shell of a container."""
    if is_ecs(target) and options.document is None:
        from aws_runas.targets.ecs import execute_command

        return execute_command(target, access)
    return api.start_session(target, options.document, options.parameters, options.session.reason)
