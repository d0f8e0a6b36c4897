"""The default command: run a program with credentials, or print them."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import PROFILE_VARIABLES, split_profile
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError, ProgramError, UsageError
from aws_runas.fast.names import FUNCTION_DECLINED

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.aws.credentials import Credentials

SUMMARY = "Run a program with the credentials of a profile or role, or print the credentials"
USAGE = "exec [<profile>] [<program> [<args>...]]"
ACCEPTS = ("credential", "program", "question", "server")
EXAMPLES = (
    ("aws-runas exec my-profile aws s3 ls", "Run a program with credentials"),
    ('eval "$(aws-runas exec my-profile)"', "Set the credentials in this shell"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `exec`.

    Args:
        flags: the global flags.
        profile: name or role ARN; None if none was given.
        program: the program and its arguments, empty to print credentials.
        by_position: the first argument was read as the profile, but may have been meant as a command.
    """

    flags: GlobalFlags
    profile: str | None
    program: tuple[str, ...]
    by_position: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positionals; there are no flags beyond the global ones."""
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[<profile>] [<program> [<args>...]]",
        help="Profile name or role ARN; then the program to run and its arguments",
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Separate the profile from the program and its arguments."""
    # With -O or the shell function, credentials are printed, so a single word is the profile and not a program. A
    # credential_process is called this way, with AWS_PROFILE still set.
    asked = flags.output is not None or bool(env.function)
    printed = asked and len(namespace.words) == 1 and namespace.words[0] in env.profile_names()
    most = 0 if printed and flags.profile is None else None
    if flags.pick:
        profile, program = None, list(namespace.words)
        _refuse_profile(program, env)
    else:
        profile, program = split_profile(namespace.words, env.profile_names, env.environ, most, named=flags.profile)
    if program and program[0] == "--":
        program = program[1:]
    if flags.unset and program:
        raise UsageError(
            f"--unset runs no program, but {program[0]!r} was given",
            code="flag-unsuitable",
            hint='use: eval "$(aws-runas --unset)"',
        )
    by_position = flags.profile is None and not namespace.command_word
    return Options(flags, profile, tuple(program), by_position)


def _refuse_profile(program: list[str], env: Environment) -> None:
    """Refuse, with --pick, a program that does not exist and has the name of a profile.

    Raises:
        UsageError: the word was probably meant as the profile.
    """
    import shutil

    name = program[0] if program else ""
    if name in env.profile_names() and shutil.which(name, path=env.environ.get("PATH")) is None:
        raise UsageError(
            f"--pick chooses the profile, but profile {name} is named",
            code="flag-unsuitable",
            hint="leave one of them out",
        )


def run(options: Options, env: Environment) -> Result:
    """Run the program, or print credentials.

    Raises:
        ProgramError: the program cannot be started.
        ConfigError, CredentialsError: there are no credentials.
    """
    if env.function and options.program:
        return Result(FUNCTION_DECLINED)
    _check_profile(options, env)
    if options.program:
        _check_program(options, env)  # before any MFA prompt
    elif options.flags.unset:
        from aws_runas.credentials.printing import render_unset

        return Result(stdout=render_unset(_format(options, env)), stderr=_unchanged_note(options, env))
    from aws_runas.cli import profile_picker

    if profile_picker.is_wanted(options.flags, options.profile, env):
        options = replace(options, profile=profile_picker.pick_profile(options.flags, env))
    from aws_runas.cli.access import open_access_for
    from aws_runas.cli.sign_in import Attendance

    prompt = _Prompt()
    output = "" if options.program else _format(options, env)
    # JSON that goes to a pipe is for a credential_process, whose caller cannot wait for the user
    unattended = output == "json" and not env.stdout.isatty()
    access = open_access_for(
        options.flags,
        options.profile,
        env,
        prompt=prompt.ask,
        attendance=Attendance(unattended=unattended, is_terminal_taken=lambda: prompt.program_has_terminal),
    )
    credentials = access.provider.credentials()
    config_file = _leave_for_next_time(access, credentials, env)
    written = _write_credentials(access, credentials, env) if options.flags.write_credentials else ""
    if options.program:
        env.tell(written)
        _run(options, env, access, credentials, prompt=prompt, config_file=config_file)
    silent = options.flags.expiration or (options.flags.write_credentials and options.flags.output is None)
    if silent and not env.function:
        return Result(stderr=written)
    from aws_runas.credentials.printing import render

    if env.stdout.isatty() and not options.flags.quiet:
        written += "aws-runas: note: the output contains secrets\n" + _unchanged_note(options, env)
    region = access.profile.region.value if access.profile.region else None
    return Result(stdout=render(credentials, output, region=region, profile=access.profile.name), stderr=written)


def _check_program(options: Options, env: Environment) -> None:
    """Check that the program can be started.

    Raises:
        ProgramError: it cannot be started. If a profile has its name, the error says how to name the profile.
    """
    from aws_runas.run import program

    name = options.program[0]
    variable = next((each for each in PROFILE_VARIABLES if env.environ.get(each, "").strip()), None)
    not_found = "/" not in name and program.find(name, env.environ) is None
    if variable and options.profile is None and not_found and name in env.profile_names():
        import shlex

        raise ProgramError(
            f"program {name!r} was not found; {variable}={env.environ[variable]} already names the profile",
            code="program-not-found",
            exit_status=127,
            hint=f"to use profile {name}: aws-runas --profile {shlex.join(options.program)}, or unset {variable}",
        )
    program.check(options.program, env.environ)


def _check_profile(options: Options, env: Environment) -> None:
    """Check that the first argument is a profile, if it may have been meant as a command or a program.

    Raises:
        ConfigError: there is no such profile; the error suggests similar names.
    """
    name = options.profile
    if name is None or not options.by_position or name == "default" or name in env.profile_names():
        return
    from aws_runas.config.arn import looks_like_arn

    if looks_like_arn(name) or env.config_files().wrong_heading(name):
        return  # the later error for an unknown profile names the line
    import difflib
    import shutil

    from aws_runas.config.files import config_path
    from aws_runas.fast.names import COMMANDS

    config = config_path(env.environ, env.home)
    if env.environ.get("AWS_CONFIG_FILE") and not config.exists():
        raise ConfigError(
            f"there is no profile {name!r}, and no config file {config} (AWS_CONFIG_FILE)",
            code="profile-not-found",
            hint="name an existing file in AWS_CONFIG_FILE, or unset it",
        )
    path = str(config).replace(f"{env.home}/", "~/", 1)
    near = difflib.get_close_matches(name, COMMANDS, n=1, cutoff=0.7)
    profiles = difflib.get_close_matches(name, env.profile_names(), n=2, cutoff=0.7)
    if near or profiles:
        choices = [f"the command {word}" for word in near] + [f"the profile {word}" for word in profiles]
        hint = f"did you mean {' or '.join(choices)}?"
    elif shutil.which(name, path=env.environ.get("PATH")):
        hint = f"to run the program {name} with the default profile: aws-runas default {name}"
    else:
        hint = "see: aws-runas list profiles"
    raise ConfigError(f"{name!r} is neither a command nor a profile in {path}", code="profile-not-found", hint=hint)


class _Prompt:
    """Prompts on the terminal until the program uses it."""

    def __init__(self) -> None:
        self.program_has_terminal = False

    def ask(self, question: str) -> str:
        if self.program_has_terminal:
            from aws_runas.cli.endpoint import refuse_to_ask

            return refuse_to_ask(question)
        from aws_runas.cli.terminal.prompt import ask_on_terminal

        return ask_on_terminal(question)


def _unchanged_note(options: Options, env: Environment) -> str:
    """Return the note that printed lines set no variables, if they go to a terminal and no format was chosen."""
    chosen = options.flags.output or env.environ.get("RUNAS_OUTPUT_FORMAT")
    if chosen or env.function or options.flags.quiet or not env.stdout.isatty():
        return ""
    from aws_runas.cli.shell_function import terminal_note

    return terminal_note(env.environ)


def _format(options: Options, env: Environment) -> str:
    from aws_runas.credentials.printing import check_format

    if env.function:
        from aws_runas.cli.shell_function import output_format

        return output_format(env.function)
    return check_format(options.flags.output or env.environ.get("RUNAS_OUTPUT_FORMAT") or "env")


def _write_credentials(access: Access, credentials: Credentials, env: Environment) -> str:
    """Write the credentials for --write-credentials; return the message about it."""
    from aws_runas.config.files import credentials_path
    from aws_runas.credentials.shared_file import write_profile

    path = credentials_path(env.environ, env.home)
    region = access.profile.region.value if access.profile.region else None
    name = write_profile(path, access.profile.name, credentials, region)
    return f"credentials written to {path} as profile {name}\n"


def _leave_for_next_time(access: Access, credentials: Credentials, env: Environment) -> str | None:
    """Write the shortcut and count the use; return the config file if programs with an endpoint need a copy of it."""
    from aws_runas.config.files import config_path
    from aws_runas.run import config_copy

    access.shortcut(credentials)
    if access.profile.name in env.profile_names():
        from aws_runas.cli.profile_picker import uses

        uses(env).add(access.profile.name, env.now())
    path = str(config_path(env.environ, env.home))
    return path if config_copy.is_needed(path) else None


def _run(
    options: Options,
    env: Environment,
    access: Access,
    credentials: Credentials,
    *,
    prompt: _Prompt,
    config_file: str | None,
) -> NoReturn:
    from aws_runas.run import endpoint_mode as beside
    from aws_runas.run import environment, program

    region = access.profile.region.value if access.profile.region else None
    variables = environment.base(env.environ, access.profile.name, region)
    if options.flags.env:
        from aws_runas.credentials.printing import iso

        expiration = iso(credentials.expiration) if credentials.expiration else ""
        keys = (credentials.access_key_id, credentials.secret_access_key, credentials.session_token)
        environment.with_keys(variables, *keys, expiration)
        program.become(options.program, variables)

    def serve(descriptor: int, token: str) -> None:
        from aws_runas.cli import endpoint

        prompt.program_has_terminal = True
        endpoint.serve(access.provider, access.profile.role_arn, descriptor, token)

    beside.leave(beside.run(options.program, variables, config_file, serve))
