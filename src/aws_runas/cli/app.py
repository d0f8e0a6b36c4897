"""The full way: parse, run the command, write the answer. The fast start hands over to here what it does not know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result, emit, render_error
from aws_runas.cli.parsing import parser
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import is_profile_set
from aws_runas.errors import AwsRunasError, Interrupted
from aws_runas.fast.names import is_on


def main(words: Sequence[str], env: Environment | None = None) -> int:
    """Run one command line.

    Args:
        words: without the program's name.
        env: the outside world; the real one when None.

    Returns:
        The exit status.
    """
    env = env or Environment()
    try:
        result = _answer(words, env)
    except AwsRunasError as error:
        result = Result(error.exit_status, stderr=render_error(error))
    except KeyboardInterrupt:
        result = Result(Interrupted.exit_status, stderr="\n")
    return emit(result, env)


def _answer(words: Sequence[str], env: Environment) -> Result:
    parsed = parser.parse(words)
    if parsed.help:
        return Result(stdout=_help(parsed))
    parsed = replace(parsed, flags=_with_switches(parsed.flags, env))
    if parsed.flags.verbose:
        from aws_runas.cli import verbose

        verbose.start(parsed.flags.verbose, env.stderr)
    asked = parser.questions(parsed, _words_of_questions(parsed, env))
    if not asked:
        return _run(parsed, env)
    results = [_run(each, env) for each in asked]
    return Result(
        max(each.status for each in results),
        "".join(each.stdout for each in results),
        "".join(each.stderr for each in results),
    )


def _help(parsed: parser.Parsed) -> str:
    if parsed.help == "man":
        from aws_runas.cli.parsing.manual import manual

        return manual()
    from aws_runas.cli.parsing.help import page

    return page(parsed.help, parsed.command)


def understand(words: Sequence[str], env: Environment) -> object:
    """Read a command line into its command's options, and do nothing.

    Raises:
        UsageError: it cannot be understood.
    """
    parsed = parser.parse(words)
    return parser.load(parsed.command).read(parsed.namespace, _with_switches(parsed.flags, env), env)


def _run(parsed: parser.Parsed, env: Environment) -> Result:
    command = parser.load(parsed.command)
    return command.run(command.read(parsed.namespace, parsed.flags, env), env)


def _with_switches(flags: GlobalFlags, env: Environment) -> GlobalFlags:
    """Add the switches that variables stand for; a flag can only turn them on, so nothing is lost."""
    return replace(
        flags,
        verbose=flags.verbose or int(is_on(env.environ, "RUNAS_VERBOSE")),
        env=flags.env or is_on(env.environ, "RUNAS_ENV_CREDENTIALS"),
        session=flags.session or is_on(env.environ, "RUNAS_SESSION_CREDENTIALS"),
    )


def _words_of_questions(parsed: parser.Parsed, env: Environment) -> tuple[str, ...]:
    """The profile among the positionals, for a flag such as -l: the other words belong to the command it came with."""
    if parsed.command == "exec":
        return parsed.positionals
    inner = getattr(parser.load(parsed.command), "WORDS", ())
    words = tuple(word for word in parsed.positionals if word not in inner)
    return words[:1] if len(words) > 1 or not is_profile_set(env.environ) else ()
