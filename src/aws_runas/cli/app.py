"""The full path: parse, run the command, write the answer. It handles every call that the cached path cannot."""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TextIO

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result, emit, render_error
from aws_runas.cli.parsing import parser
from aws_runas.cli.parsing.flags import FLAGS, GlobalFlags
from aws_runas.cli.parsing.positionals import is_profile_set, split_profile
from aws_runas.errors import AwsRunasError, ConfigError, Interrupted, UsageError
from aws_runas.fast.names import COMMANDS, FUNCTION_DECLINED, bad_switch, is_on
from aws_runas.redact import printable

# how to fix what the system refuses to any program, wherever it happens
SHORTAGES = {
    errno.EMFILE: "raise the limit of open files: ulimit -n",
    errno.ENFILE: "close other programs: all of them together have too many open files",
    errno.ENOMEM: "close other programs, or raise the limit of memory: ulimit -v",
    errno.EAGAIN: "close other programs, or raise the limit of processes: ulimit -u",
}


def main(words: Sequence[str], env: Environment | None = None, *, function: str = "") -> int:
    """Run one command line.

    Args:
        words: without the program's name.
        env: the outside world; the real one when None.
        function: for the real outside world, see `Environment`.

    Returns:
        The exit status.
    """
    env = env or Environment(function=function)
    try:
        result = _answer(words, env)
    except AwsRunasError as error:
        result = Result(error.exit_status, stderr=render_error(_with_program_hint(error, words, env)))
    except KeyboardInterrupt:
        result = Result(Interrupted.exit_status, stderr="\n")
    except Exception as error:
        result = Result(1, stderr=_internal_error(error, words))
    return emit(result, env)


def end_quickly(status: int) -> None:
    """End the process without the teardown of the interpreter, if the command called `leave_quickly`.

    Args:
        status: the exit status.
    """
    if "aws_runas.ssm.shutdown" not in sys.modules:
        return
    from aws_runas.ssm.shutdown import end_process

    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        return  # one is closed or broken; the interpreter deals with it at its end
    end_process(status)


def _internal_error(error: Exception, words: Sequence[str]) -> str:
    """Describe an internal error. Its text is left out because it could contain a secret."""
    if isinstance(error, OSError) and error.errno in SHORTAGES and not _is_verbose(words):
        reason = os.strerror(error.errno).lower()
        return f"aws-runas: the system refuses: {reason}\naws-runas: {SHORTAGES[error.errno]}\n"
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    place = f" in {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    text = f"aws-runas: internal error: {type(error).__name__}{place}\n"
    if _is_verbose(words):
        return text + "".join(traceback.format_exception(error))
    return f"{text}aws-runas: to see more, run it again with -v; please report it with that output\n"


def _is_verbose(words: Sequence[str]) -> bool:
    try:
        return parser.parse(words).flags.verbose > 0
    except Exception:  # the parser itself may have failed
        return False


def _with_program_hint(error: AwsRunasError, words: Sequence[str], env: Environment) -> AwsRunasError:
    """Add a hint on how to run the program of that name, if AWS_PROFILE is set and the user may have meant it."""
    hint = _program_hint(words[0], env) if isinstance(error, UsageError) and words else ""
    if hint:
        error.hint = f"{error.hint}; {hint}" if error.hint else hint
    return error


def _program_hint(word: str, env: Environment) -> str:
    """Return how to run the program that has the name of a command, if AWS_PROFILE is set and it exists."""
    if word not in COMMANDS or not is_profile_set(env.environ):
        return ""
    import shutil

    found = shutil.which(word, path=env.environ.get("PATH"))
    return f"to run the program {word}: aws-runas -- {word} ..." if found else ""


def _answer(words: Sequence[str], env: Environment) -> Result:
    if env.function:
        from aws_runas.cli import shell_function

        words = shell_function.translate(words)
    parsed = parser.parse(words)
    if env.function:
        if not parsed.flags.quiet:
            env.tell(shell_function.age_note(env.function))
        if not shell_function.asks_for_exports(parsed):
            return Result(FUNCTION_DECLINED)
    if parsed.help:
        note = _program_hint(parsed.word, env) if parsed.help == "version" else ""
        return Result(stdout=_help(parsed, env), stderr=f"aws-runas: note: {note}\n" if note else "")
    variable = bad_switch(env.environ)
    if variable:
        raise ConfigError(
            f"{variable}={env.environ[variable]} is neither on nor off",
            code="switch-invalid",
            hint="use 1, true, yes or on; or 0, false, no or off",
        )
    note = _ineffective_note(parsed)
    parsed = replace(parsed, flags=_with_switches(parsed.flags, env))
    if parsed.flags.verbose:
        _start_log(parsed.flags.verbose, env.stderr)
    if note and not parsed.flags.quiet:
        env.tell(note)
    asked = parser.questions(parsed, _question_arguments(parsed, env))
    results = [_run(question, env) for question in asked] if asked else [_run(parsed, env)]
    status = max(result.status for result in results)
    silent = parsed.flags.quiet and status == 0
    return Result(
        status,
        "".join(result.stdout for result in results),
        "" if silent else "".join(result.stderr for result in results),
    )


def _start_log(level: int, stream: TextIO) -> None:
    """Log this package only, not its libraries: the debug log of botocore contains secrets.

    Args:
        level: number of -v flags; with two, each call to AWS is logged too.
        stream: receives the lines.
    """
    import logging

    class Escaping(logging.Formatter):
        """Formatter for lines that may contain names and messages from outside."""

        def format(self, record: logging.LogRecord) -> str:
            return printable(super().format(record), keep="\n\t")

    trace = logging.DEBUG // 2
    logging.addLevelName(trace, "TRACE")
    logger = logging.getLogger("aws_runas")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Escaping("aws-runas: %(levelname)s %(message)s"))
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if level == 1 else trace)
    logger.propagate = False


def _help(parsed: parser.Parsed, env: Environment) -> str:
    if parsed.help == "man":
        from aws_runas.cli.parsing.manual import manual

        return manual(parsed.command if parsed.word else "")
    from aws_runas.cli.parsing.help import page, terminal_width

    return page(parsed.help, parsed.command if parsed.word else "", terminal_width(env.stdout))


def understand(words: Sequence[str], env: Environment) -> object:
    """Parse a command line into the options of its command, without running it.

    Args:
        words: without the program's name.
        env: the outside world.

    Raises:
        UsageError: the command line is invalid.
    """
    parsed = parser.parse(words)
    return parser.load(parsed.command).read(parsed.namespace, _with_switches(parsed.flags, env), env)


def _run(parsed: parser.Parsed, env: Environment) -> Result:
    command = parser.load(parsed.command)
    options = command.read(parsed.namespace, parsed.flags, env)
    if not gc.isenabled():  # __main__ has disabled it
        gc.freeze()  # what was imported so far is never collected
        gc.enable()
    return command.run(options, env)


def _with_switches(flags: GlobalFlags, env: Environment) -> GlobalFlags:
    """Turn on the switches that variables set. A flag can only turn a switch on, so no flag is overridden."""
    return replace(
        flags,
        verbose=flags.verbose or int(is_on(env.environ, "RUNAS_VERBOSE")),
        env=flags.env or is_on(env.environ, "RUNAS_ENV_CREDENTIALS"),
        use_session_token=flags.use_session_token or is_on(env.environ, "RUNAS_SESSION_CREDENTIALS"),
    )


def _ineffective_note(parsed: parser.Parsed) -> str:
    """Return a note on a flag that shell and forward accept for compatibility only, and that has no effect there."""
    if parsed.flags.env and parsed.command in ("shell", "forward"):
        return f"aws-runas: note: -E has no effect with {parsed.command}\n"
    return ""


def _question_arguments(parsed: parser.Parsed, env: Environment) -> tuple[str, ...]:
    """Return the profile among the positionals, for the command that answers a question flag such as -l.

    Raises:
        UsageError: there is another positional besides the profile.
    """
    field = next((field for field in parser.QUESTIONS if getattr(parsed.flags, field)), "")
    if not field:
        return ()
    if parsed.command == "exec" and parsed.flags.pick:
        name = next(flag.name for flag in FLAGS if flag.field == field)
        raise UsageError(f"{name} and --pick cannot be combined", code="flag-unsuitable", hint="name the profile")
    arguments = list(parsed.positionals)
    profile: str | None = None
    if parsed.command == "exec" and parsed.flags.profile is None:
        profile, arguments = next(iter(arguments), None), arguments[1:]
    elif parsed.command != "exec" and arguments:
        profile, arguments = split_profile(arguments, env.profile_names, env.environ, 1, named=parsed.flags.profile)
        if profile is None and arguments and arguments[0] in env.profile_names():
            profile, arguments = arguments[0], []
    if arguments:
        flag = next(flag for flag in FLAGS if flag.field == field)
        verb = "starts a server" if field in ("ec2", "ecs") else "answers a question"
        equivalent = parser.EQUIVALENTS.get(field)
        raise UsageError(
            f"{flag.name} {verb} and takes only a profile, but {arguments[0]!r} was given",
            code="argument-unexpected",
            hint=f"use: aws-runas {equivalent}" if equivalent else None,
        )
    return () if profile is None or parsed.flags.profile is not None else (profile,)
