"""The fast start: ``aws-runas [-E] [-s] [profile] program ...`` with cached credentials, and nothing else.

It knows the usual call and leaves everything unusual to the full way: other flags, command words, role
ARNs, printing, credentials that are not cached or near their end. What it imports is held down by a contract test; each
module counts, since the tool stands in front of other programs (docs/reference/performance.md).
"""

from aws_runas.cli.names import COMMANDS, SSM
from aws_runas.credentials import fast
from aws_runas.errors import ProgramError
from aws_runas.run import environment

TYPE_CHECKING = False  # see run/environment.py
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

FLAGS = {"-E": "E", "--env": "E", "-s": "s", "--session": "s", "-Es": "Es", "-sE": "Es"}
SWITCH = "AWSRUNAS_NO_FAST"  # set: always the full way, so that tests can compare the two
TRUE_WORDS = ("1", "true", "yes", "on")
# What the full way adds to the credentials that it leaves for next time:
CONFIG = "config"  # the config file, where its [default] has credential sources; else ""
ROLE = "role"  # the ARN, for the endpoint; else ""


def start(words: list[str], environ: "Mapping[str, str]") -> None:
    """Run the program and end with its exit status, if this is the usual call; return to go the full way.

    Args:
        words: the command line without the program's name.
        environ: the variables.
    """
    asked = None if environ.get(SWITCH) else _read(words, environ)
    if asked is None:
        return
    name, program, in_environment, session = asked
    found = fast.read(name, environ, session=session)
    if found is None or CONFIG not in found or ROLE not in found:
        return
    variables = environment.base(environ, found["profile"], found["region"])
    try:
        if not in_environment:
            _beside(program, variables, found, words)
        from aws_runas.run import program as starting

        environment.with_keys(variables, found["key"], found["secret"], found["token"] or None, found["expiration"])
        starting.become(program, variables)
    except ProgramError:
        return  # the full way has the words for it


def _read(words: list[str], environ: "Mapping[str, str]") -> tuple[str, list[str], bool, bool] | None:
    """Profile as typed, program, -E, -s; None where this is not the usual call."""
    letters = ""
    index = 0
    while index < len(words) and words[index][:1] == "-":
        if words[index] not in FLAGS:
            return None
        letters += FLAGS[words[index]]
        index += 1
    if index == len(words) or words[index] in COMMANDS or words[index] == SSM:
        return None
    name = ""
    program = words[index:]
    if environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE"):
        if program[0].startswith("arn:") or program[1:2] == ["--"]:
            return None
    else:
        name = program.pop(0)
        if program and program[0] == "--":
            del program[0]
    if not program:
        return None
    in_environment = "E" in letters or _is_on(environ, "RUNAS_ENV_CREDENTIALS")
    return name, program, in_environment, "s" in letters or _is_on(environ, "RUNAS_SESSION_CREDENTIALS")


def _is_on(environ: "Mapping[str, str]", name: str) -> bool:
    return name in environ and environ[name].strip().lower() in TRUE_WORDS


def _beside(program: list[str], variables: dict[str, str], found: dict[str, str], words: list[str]) -> "NoReturn":
    from aws_runas.run import beside

    def serve(descriptor: int, token: str) -> None:
        from aws_runas.cli import endpoint

        endpoint.serve_command_line(words, found[ROLE] or None, descriptor, token)

    beside.leave(beside.run(program, variables, found[CONFIG] or None, serve))
