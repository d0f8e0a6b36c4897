"""``aws-runas run``: run a command on an instance, with separate streams, signals and exit status."""

from __future__ import annotations

import argparse
import os
import re
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from aws_runas.cli.environment import STREAMS, Environment, stream_descriptor
from aws_runas.cli.output import Result, render_error
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import is_profile_set
from aws_runas.cli.session.flags import (
    SessionFlags,
    add_channel_flags,
    add_pick_flag,
    check_picker,
    parse_parameters,
    read_session_flags,
)
from aws_runas.config.arn import looks_like_arn
from aws_runas.config.durations import parse_duration
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, UsageError
from aws_runas.ssm.command.request import CommandRequest, join_words
from aws_runas.targets.spelling import is_instance_id

if TYPE_CHECKING:
    from aws_runas.aws.session import StartedSession
    from aws_runas.cli.session.open import OpenTarget
    from aws_runas.ssm.command.carrier import Carrier, RefusedDocuments, SessionStarter
    from aws_runas.ssm.command.session import RunOptions

SUMMARY = "Run a command on an instance, with its own streams, signals and exit status"
USAGE = "run [<profile>] [<user>@]<target> [--] [<command> [<args>...]]"
EXAMPLES = (
    ("aws-runas run my-profile web uptime", "Run a command"),
    ("tar c . | aws-runas run my-profile web 'tar x -C /srv'", "Send standard input"),
    ("aws-runas run -t my-profile web top", "Run on a terminal"),
)
VIA: Final = ("auto", "shell", "document")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a command on instances.

    Args:
        profile: name or role ARN; None if none was given.
        target: as typed, without the user.
        request: the command; its input is decided when it runs.
        words: number of words in the command.
        tty: allocate a pty on the instance.
        no_input: standard input is /dev/null.
        via: auto, shell or document.
        document: a custom session document, with its parameters.
        stdout, stderr: files for the streams, None for our own streams.
        wait: seconds to wait for an instance that is not connected.
        error_status: exit status for failures of aws-runas, None for the usual ones.
        events: write events as JSON lines to stderr.
    """

    flags: GlobalFlags
    session: SessionFlags
    profile: str | None
    target: str
    request: CommandRequest
    words: int
    tty: bool = False
    no_input: bool = False
    via: str = "auto"
    document: str | None = None
    parameters: dict[str, list[str]] | None = None
    stdout: str | None = None
    stderr: str | None = None
    wait: float = 0.0
    error_status: int | None = None
    events: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own flags and positionals."""
    add = parser.add_argument
    add("-l", "--user", metavar="USER", help="Run the command as this user, through sudo (as user@target)")
    add("-t", "--tty", action="store_true", help="Allocate a terminal on the instance")
    add("-T", "--no-tty", action="store_true", help="No terminal on the instance (default)")
    add("-n", "--no-input", action="store_true", help="No standard input (default if it is a terminal)")
    add("--timeout", metavar="TIME", help="End the command after this time, with status 124")
    add("--kill-after", metavar="TIME", default="10s", help="Time between TERM and KILL (default 10s)")
    add("--cwd", metavar="DIR", help="Directory of the command (default: the user's home)")
    add("--env", metavar="NAME[=VALUE]", dest="variables", action="append", default=[], help="Variable; repeatable")
    add("--join", action="store_true", help="Join the words of the command with blanks, as ssh does")
    add("--shell", metavar="PATH", default="sh", help="Shell that interprets the command (default sh)")
    add(
        "--via",
        choices=VIA,
        default="auto",
        metavar="auto|shell|document",
        help="How to reach the instance (default auto)",
    )
    add("--document", metavar="NAME", help="Custom session document, which defines the command")
    add("--parameter", metavar="NAME=VALUE", action="append", default=[], help="Parameter of --document; repeatable")
    add("--stdout", metavar="FILE", help="Write standard output to a file")
    add("--stderr", metavar="FILE", help="Write standard error of the command to a file")
    add("--wait", metavar="TIME", help="Wait up to this time for an instance that is not connected")
    add("--pace", metavar="BYTES", help="Maximum bytes of output per second (default 800000 without input)")
    add("--error-status", metavar="N", help="Exit status for failures of run itself, instead of 2 to 6 (ssh uses 255)")
    add("--events", action="store_true", help="Write events as JSON lines to stderr")
    add("--reason", metavar="TEXT", help="Reason stored in the service's session history, up to 256 characters")
    add_pick_flag(parser)
    add_channel_flags(parser)
    add("--stream-host", metavar="HOST", help="Connect the stream to this host[:port], such as an interface endpoint")
    add("first", nargs="?", metavar="[<profile>]", help="Profile name or role ARN")
    # REMAINDER: argparse removes "--" from other lists, and here it may replace the target.
    add(
        "more",
        nargs=argparse.REMAINDER,
        metavar="<target> [<command>]",
        help="The instance and the command; secrets go to stdin",
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Separate profile, target and command, and check the flags."""
    words = [] if namespace.first is None else [namespace.first, *namespace.more]
    profile, words = _take_profile(words, flags, env)
    words = _take_flags(words, namespace)
    without_target = not words or words[0] == "--"
    if without_target and not namespace.pick:
        check_picker("use: aws-runas run [profile] target command", env)
    target, command = ("", words) if without_target else (words[0], words[1:])
    if command[:1] == ["--"]:
        command = command[1:]
    user, target = _split_user(target, namespace.user)
    session = read_session_flags(argparse.Namespace(**{**vars(namespace), "plugin": False}))
    if namespace.parameter and not namespace.document:
        raise UsageError("--parameter needs --document", code="document-missing")
    request = CommandRequest(
        (join_words(command, join=namespace.join) or ":") if command else "",
        user=user,
        cwd=namespace.cwd,
        env=dict(_variable(text, env) for text in namespace.variables),
        shell=namespace.shell,
        timeout=None if namespace.timeout is None else _time("--timeout", namespace.timeout),
        kill_after=_time("--kill-after", namespace.kill_after),
        pace=_number("--pace", namespace.pace, 1000, 1 << 30) or 0,
    )
    if "\0" in request.text:
        raise UsageError(
            "the command has a zero byte", code="command-invalid", hint="send binary data on standard input"
        )
    return Options(
        flags,
        session,
        profile,
        target,
        request,
        len(command),
        tty=namespace.tty and not namespace.no_tty,
        no_input=namespace.no_input,
        via=namespace.via,
        document=namespace.document,
        parameters=parse_parameters(namespace.parameter),
        stdout=namespace.stdout,
        stderr=namespace.stderr,
        wait=0.0 if namespace.wait is None else _time("--wait", namespace.wait),
        error_status=_number("--error-status", namespace.error_status, 1, 255),
        events=namespace.events,
    )


def run(options: Options, env: Environment) -> Result:
    """Run the command until it ends."""
    try:
        return Result(_run(options, env))
    except AwsRunasError as error:
        if options.error_status is None or not 2 <= error.exit_status <= 6:
            raise
        return Result(options.error_status, stderr=render_error(error))


def _run(options: Options, env: Environment) -> int:
    from aws_runas.cli.session.instance import refuse_containers, supported_instance
    from aws_runas.cli.session.open import open_target
    from aws_runas.ssm.shutdown import raise_at_signals

    request = replace(options.request, wants_input=_wants_input(options, env))
    refuse_containers("run", options.target)
    raise_at_signals()
    opened = open_target(options.flags, options.session, options.profile, options.target, env=env)
    refuse_containers("run", opened.target)
    opened.api.prepare()  # before the fork and the threads: it may prompt for an MFA code
    opened.take_terminal()
    if options.document is not None or options.tty:
        if options.document is None:
            supported_instance("run", opened, env)
        return _run_terminal(options, request, env, opened)
    return _run_command(options, request, env, opened)


def _run_command(options: Options, request: CommandRequest, env: Environment, opened: OpenTarget) -> int:
    from aws_runas.cli.session.instance import supported_instance
    from aws_runas.cli.session.open import refused_documents
    from aws_runas.ssm.command.carrier import (
        DOCUMENT_PACE,
        Carrier,
        carrier_for_agent,
        choose_carrier,
        document_command,
    )
    from aws_runas.ssm.command.guardian import Guardian
    from aws_runas.ssm.session_start import SessionStart

    access, api = opened.access, opened.api
    refusals = refused_documents(access, env)
    carrier = choose_carrier(request, options.via, refusals)
    paced = replace(request, pace=request.pace or DOCUMENT_PACE)
    nonce = os.urandom(8).hex()
    parameters = {"command": [document_command(paced, nonce)], "separateOutputStream": ["true"]}
    with Guardian(api.terminate_session) as guardian:
        facts = supported_instance("run", opened, env)
        carrier = carrier_for_agent(carrier, options.via, facts.agent_version)
        starter = _starter(options, opened, env, refusals, carrier=carrier, parameters=parameters)
        outputs = [_open_output(name) for name in (options.stdout, options.stderr)]
        with SessionStart(guardian.watched(starter.start), api.terminate_session, env.warn) as starting:
            starting.begin()
            from aws_runas.cli.session.flags import stream_options
            from aws_runas.ssm.command.session import CommandSession, run_command
            from aws_runas.ssm.shutdown import leave_quickly
            from aws_runas.ssm.transport import event_loop

            stream = stream_options(options.session, access, env)
            started = starting.result()
            side = _run_options(options, env, outputs, nonce)
            try:
                return event_loop.run(
                    run_command(
                        CommandSession(started, starter.carrier, api, guardian, stream, starting.hand_over),
                        paced if starter.carrier is Carrier.DOCUMENT else request,
                        side,
                        guardian.watched(starter.open_session),
                    )
                )
            finally:
                leave_quickly()


def _run_options(options: Options, env: Environment, outputs: list[int | None], nonce: str) -> RunOptions:
    from aws_runas.cli.access import logs
    from aws_runas.ssm.command.session import RunOptions

    stdout, stderr = stream_descriptor(env, "stdout"), stream_descriptor(env, "stderr")
    return RunOptions(
        stdin=stream_descriptor(env, "stdin"),
        stdout=stdout if outputs[0] is None else outputs[0],
        stderr=stderr if outputs[1] is None else outputs[1],
        messages=stderr,
        quiet=options.session.quiet,
        events=options.events,
        debug=logs(options.flags.verbose)[0],
        nonce=nonce,
    )


def _run_terminal(options: Options, request: CommandRequest, env: Environment, opened: OpenTarget) -> int:
    """Run the command without a helper, as the session itself: with a pty on the instance, or a custom document."""
    from aws_runas.cli.session.open import refused_documents
    from aws_runas.ssm.command.carrier import Carrier
    from aws_runas.ssm.session_start import SessionStart

    access, api, target = opened.access, opened.api, opened.target
    if options.document is None:
        start = _starter(
            options, opened, env, refused_documents(access, env), carrier=Carrier.SHELL, parameters={}
        ).start
    else:

        def start() -> StartedSession:
            return api.start_session(target, options.document, options.parameters, options.session.reason)

    with SessionStart(start, api.terminate_session, env.warn) as starting:
        starting.begin()
        from aws_runas.cli.session.flags import stream_options
        from aws_runas.ssm.command.terminal import run_on_terminal
        from aws_runas.ssm.shell.console import ConsoleOptions
        from aws_runas.ssm.shell.session import ShellOptions, run_shell
        from aws_runas.ssm.shutdown import leave_quickly
        from aws_runas.ssm.transport import event_loop

        stream = stream_options(options.session, access, env)
        descriptors = [stream_descriptor(env, name) for name in STREAMS]
        console = ConsoleOptions(options.session.quiet, b"~", *descriptors)
        try:
            if options.document is not None:
                shell = ShellOptions(console, runs_shell=False)
                return event_loop.run(run_shell(starting, api, target=target, options=shell, stream=stream))
            return event_loop.run(run_on_terminal(starting, api, request=request, console=console, stream=stream))
        finally:
            leave_quickly()


def _starter(
    options: Options,
    opened: OpenTarget,
    env: Environment,
    refusals: RefusedDocuments,
    *,
    carrier: Carrier,
    parameters: dict[str, list[str]],
) -> SessionStarter:
    import random

    from aws_runas.ssm.command.carrier import SessionStarter

    return SessionStarter(
        opened.api,
        opened.target,
        carrier,
        parameters,
        refusals,
        lambda line: None if options.session.quiet else _say(env, line),
        random.random,
        fallback=options.via == "auto",
        reason=options.session.reason,
        wait=options.wait,
    )


def _wants_input(options: Options, env: Environment) -> bool:
    """Return True if standard input belongs to the command.

    Raises:
        UsageError: there is neither a command nor a script.
    """
    if options.document is not None:
        return not options.no_input
    descriptor = stream_descriptor(env, "stdin")
    terminal, null = os.isatty(descriptor), _is_null(descriptor)
    if options.words == 0 and (options.no_input or terminal or null):
        raise UsageError(
            "no command given, and standard input is not a script",
            code="command-missing",
            hint="for a shell use: aws-runas shell [profile] target",
        )
    if options.no_input:
        return False
    return options.tty or not (terminal or null)


def _is_null(descriptor: int) -> bool:
    status = os.fstat(descriptor)
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.stat(os.devnull).st_rdev


def _open_output(name: str | None) -> int | None:
    if name is None:
        return None
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(
            f"cannot write {name!r}: {(error.strerror or str(error)).lower()}",
            code="output-file-unwritable",
            hint="name a file that you can write",
        ) from error


def _say(env: Environment, line: str) -> None:
    env.tell(f"aws-runas: {line}\n")


def _take_profile(words: list[str], flags: GlobalFlags, env: Environment) -> tuple[str | None, list[str]]:
    """Separate the profile from the words after it (product 1, "Which argument is the profile")."""
    if flags.profile is not None or not words:
        return flags.profile, words
    first = words[0]
    if looks_like_arn(first):
        return first, words[1:]
    if is_profile_set(env.environ):
        return None, words
    plain_target = is_instance_id(first) or "@" in first or ":" in first
    if plain_target and first not in env.profile_names():
        return None, words
    if not first:
        raise UsageError("the profile's name is empty", code="profile-empty", hint="leave the word out for default")
    return first, words[1:]


def _take_flags(words: list[str], namespace: argparse.Namespace) -> list[str]:
    """Read flags between profile and target: rsync writes ``-l USER`` there."""
    if not words or not words[0].startswith("-") or words[0] == "--":
        return words
    import sys

    from aws_runas.cli.parsing.parser import build_parser, known_flags
    from aws_runas.cli.parsing.scanner import scan

    parser = build_parser("run", sys.modules[__name__])
    scanned = scan(words, known_flags(parser))
    first, more = namespace.first, namespace.more
    parser.parse_args(scanned.flags, namespace)
    namespace.first, namespace.more = first, more
    return ["--", *scanned.rest] if scanned.ended else scanned.rest


def _split_user(target: str, user: str | None) -> tuple[str | None, str]:
    name, at, rest = target.partition("@")
    if at and _USER.fullmatch(name):
        user, target = name, rest
    if user is not None and not _USER.fullmatch(user):
        raise UsageError(f"{user!r} is not a user name", code="user-invalid", hint="write it as -l USER or user@target")
    return user, target


def _variable(text: str, env: Environment) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not _NAME.fullmatch(name):
        raise UsageError(f"--env takes NAME=VALUE or NAME, not {text!r}", code="variable-invalid")
    if equals:
        return name, value
    if name not in env.environ:
        raise UsageError(
            f"--env {name}: the variable is not set here", code="variable-invalid", hint="write --env NAME=VALUE"
        )
    return name, env.environ[name]


def _time(flag: str, text: str) -> float:
    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise UsageError(f"{flag}: {error}", code="duration-invalid") from None


def _number(flag: str, text: str | None, lowest: int, highest: int) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and lowest <= int(text[:12]) <= highest):
        raise UsageError(f"{flag} takes a number from {lowest} to {highest}, not {text!r}", code="number-invalid")
    return int(text)
