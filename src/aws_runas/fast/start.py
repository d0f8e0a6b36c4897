"""The fast start: ``aws-runas [-E] [-s] [-O FORMAT] [--profile NAME] [profile] [program ...]`` with cached credentials.

It handles the usual call and leaves everything else to the full path: other flags, command words, role ARNs,
credentials that are not cached or about to expire. A contract test limits its imports; each module counts, because
the tool starts other programs (docs/reference/performance.md).
"""

import os

from aws_runas.errors import ProgramError
from aws_runas.fast import shortcut
from aws_runas.fast.names import COMMANDS, FUNCTION_DECLINED, FUNCTION_VERSION, SSM, bad_switch, is_on
from aws_runas.run import environment

TYPE_CHECKING = False  # see run/environment.py
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    Serve = Callable[[list[str], str | None, int, str], None]

SWITCHES = {"-E": "E", "--env": "E", "-s": "s", "--session": "s", "-Es": "Es", "-sE": "Es"}
SWITCH = "AWSRUNAS_NO_FAST"  # if set, always use the full path, so that tests can compare the two


class _Call:
    """A parsed command line: the typed profile, the program, and the values of flags and variables."""

    name = ""
    program: "list[str]"
    in_environment = False
    use_session_token = False
    output = ""  # the argument of -O


def start(words: list[str], environ: "Mapping[str, str]", serve: "Serve", function: str = "") -> None:
    """Run the program and exit with its exit status, if this is the usual call; return to use the full path.

    Args:
        words: the command line without the program's name.
        environ: the variables.
        serve: takes command line, role ARN, listening socket and token; loads the server of the endpoint and answers
            the program's requests. It is called after the program has started.
        function: ``VERSION:SHELL:NAME`` of the shell function that requests exports, or "".
    """
    if words[:1] == ["token"] and not environ.get(SWITCH):
        from aws_runas.fast import token

        token.start(words, environ)
        return
    call = None if environ.get(SWITCH) else _read(words, environ, function)
    if call is None:
        return
    if function and call.program:
        os._exit(FUNCTION_DECLINED)
    found = shortcut.read(call.name, environ, use_session_token=call.use_session_token)
    if found is None or shortcut.CONFIG_FILE not in found or shortcut.ROLE_ARN not in found:
        return
    if not call.program:
        _print(found, "env" if function else call.output or environ.get("RUNAS_OUTPUT_FORMAT") or "env")
        return
    variables = environment.base(environ, found["profile"], found["region"])
    try:
        if not call.name and not _is_program(call.program[0], environ):
            return  # it may be a profile, and the full path prints the error
        if not call.in_environment:
            _beside(call.program, variables, found, words, serve)
        from aws_runas.run import program as starting

        environment.with_keys(variables, found["key"], found["secret"], found["token"] or None, found["expiration"])
        starting.become(call.program, variables)
    except ProgramError:
        return  # the full path prints the error


def _read(words: list[str], environ: "Mapping[str, str]", function: str) -> _Call | None:
    """Parse the usual call; return None for any other."""
    if function and not function.startswith((FUNCTION_VERSION + ":bash:", FUNCTION_VERSION + ":zsh:")):
        return None
    call = _Call()
    letters = named = ""
    index = 0
    while index < len(words) and words[index][:1] == "-":
        if words[index] in SWITCHES:
            letters += SWITCHES[words[index]]
        elif words[index] == "-O" and words[index + 1 : index + 2] in (["json"], ["env"]) and not function:
            index += 1
            call.output = words[index]
        elif words[index] == "--profile" and words[index + 1 : index + 2] and words[index + 1][:1] != "-":
            index += 1
            named = words[index]
        else:
            return None
        index += 1
    call.program = words[index:]
    first = call.program[0] if call.program else ""
    if first in COMMANDS or first == SSM or bad_switch(environ):
        return None
    if first == "" and call.program:
        return None
    if named:
        if named.startswith("arn:") or first == "--":
            return None
        call.name = named
    elif environ.get("AWS_PROFILE", "").strip() or environ.get("AWS_DEFAULT_PROFILE", "").strip():
        if first.startswith("arn:") or call.program[1:2] == ["--"]:
            return None
        if (call.output or function) and len(call.program) == 1:  # a profile, if the full path has stored its name
            call.name = call.program.pop()
    elif call.program:
        call.name = call.program.pop(0)
        if call.program[:1] == ["--"]:
            del call.program[0]
    call.in_environment = "E" in letters or is_on(environ, "RUNAS_ENV_CREDENTIALS")
    call.use_session_token = "s" in letters or is_on(environ, "RUNAS_SESSION_CREDENTIALS")
    return call


def _is_program(name: str, environ: "Mapping[str, str]") -> bool:
    from aws_runas.run import program

    return program.find(name, environ) is not None


def _print(found: dict[str, str], output: str) -> None:
    from aws_runas.fast import print as fast_print

    content = None if os.isatty(1) else fast_print.text(found, output)  # on a terminal, with a note
    if content is not None:
        try:
            fast_print.write(content)
        except OSError:
            return  # the full path prints the error


def _beside(
    program: list[str], variables: dict[str, str], found: dict[str, str], words: list[str], serve: "Serve"
) -> "NoReturn":
    from aws_runas.run import endpoint_mode

    def serve_program(descriptor: int, token: str) -> None:
        serve(words, found[shortcut.ROLE_ARN] or None, descriptor, token)

    endpoint_mode.leave(endpoint_mode.run(program, variables, found[shortcut.CONFIG_FILE] or None, serve_program))
