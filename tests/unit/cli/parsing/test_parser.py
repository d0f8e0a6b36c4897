"""Which command a command line is, and with which flags."""

from __future__ import annotations

import subprocess
import sys

import pytest

from aws_runas.cli.parsing import parser
from aws_runas.cli.parsing.flags import FLAGS, Flag, GlobalFlags
from aws_runas.errors import UsageError
from aws_runas.fast.names import COMMANDS


@pytest.mark.parametrize(
    ("words", "command", "positionals"),
    [
        ([], "exec", ()),
        (["prof"], "exec", ("prof",)),
        (["prof", "ls", "-l"], "exec", ("prof", "ls", "-l")),
        (["exec", "shell", "ls", "-l"], "exec", ("shell", "ls", "-l")),
        (["--", "shell"], "exec", ("shell",)),
        (["-E", "--", "shell", "-l"], "exec", ("shell", "-l")),
        (["--", "--", "x"], "exec", ("--", "x")),
        (["shell", "prof", "i-1"], "shell", ("prof", "i-1")),
        (["shell", "-v", "prof", "i-1"], "shell", ("prof", "i-1")),
        (["shell", "--", "-v", "i-1"], "shell", ("-v", "i-1")),
        (["shell", "shell", "ssh"], "shell", ("shell", "ssh")),
        (["ssm", "shell", "prof", "i-1"], "shell", ("prof", "i-1")),
        (["ssm", "forward", "-p", "1", "prof", "i-1:1"], "forward", ("prof", "i-1:1")),
        (["ssm", "-v", "ssh", "prof", "i-1"], "ssh", ("prof", "i-1")),
        (["ssm", "fwd", "prof", "i-1:1"], "forward", ("prof", "i-1:1")),
        (["fwd", "prof", "i-1:1"], "forward", ("prof", "i-1:1")),
        (["srv", "ec2", "prof"], "serve", ("ec2", "prof")),
        (["serve", "ec2", "-p", "8080", "prof"], "serve", ("ec2", "prof")),
        (["ls", "roles", "-v", "prof"], "list", ("roles", "prof")),
        (["list", "mfa"], "list", ("mfa",)),
        (["diag", "prof"], "diagnose", ("prof",)),
        (["passwd"], "password", ()),
        (["pwd"], "password", ()),
        (["pw"], "password", ()),
        (["whoami", "prof"], "whoami", ("prof",)),
        (["completion", "bash"], "completion", ("bash",)),
        (["sandbox", "ls", "-l"], "sandbox", ("ls", "-l")),
        (["Shell"], "exec", ("Shell",)),
    ],
)
def test_a_command_line_names_its_command(words: list[str], command: str, positionals: tuple[str, ...]) -> None:
    parsed = parser.parse(words)
    assert (parsed.command, parsed.positionals) == (command, positionals)


def test_global_flags_count_before_and_after_the_command_word() -> None:
    parsed = parser.parse(["-v", "-E", "-d", "1h", "shell", "-v", "-d2h", "-s", "prof", "i-1"])
    flags = parsed.flags
    assert (flags.verbose, flags.env, flags.use_session_token, flags.session_token_duration) == (2, True, True, 7200)


@pytest.mark.parametrize(
    ("command", "flags", "rest"),
    [
        (["shell"], ["--reason", "why"], ["prof", "i-1"]),
        (["ssm", "shell"], ["--document=D"], ["prof", "i-1"]),
        (["forward"], ["-L", "1:h:2"], ["prof", "i-1"]),  # -L has a value here,
        (["cp"], ["-L"], ["a", "b:c"]),  # and none here
        (["fleet"], ["--profiles", "a,b"], ["true"]),
        (["completion"], ["--profiles"], []),
    ],
)
def test_flags_of_one_command_count_before_the_command_word_too(
    command: list[str], flags: list[str], rest: list[str]
) -> None:
    before, after = parser.parse([*flags, *command, *rest]), parser.parse([*command, *flags, *rest])
    assert vars(before.namespace) == vars(after.namespace)


VALUES = {
    "session-duration": "1h", "role-duration": "1h", "port": "80", "format": "json", "region": "eu-west-1",
}  # fmt: skip


def _typed(flag: Flag) -> list[str]:
    return [f"--{flag.long}", VALUES.get(flag.kind, "value")] if flag.takes_value else [f"--{flag.long}"]


@pytest.mark.parametrize("command", sorted(set(COMMANDS.values())))
@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.field], ids=lambda flag: flag.long)
def test_a_global_flag_works_before_and_after_the_command_word_or_nowhere(command: str, flag: Flag) -> None:
    accepts = (*getattr(parser.load(command), "ACCEPTS", ("credential",)), "other")
    words = _typed(flag)
    own = parser.known_flags(parser.build_parser(command, parser.load(command)))
    if flag.group in accepts or flag.long in accepts:
        if (command, flag.long) == ("exec", "port"):
            words.append("--ec2")  # the port is a server's
        found = parser.parse([command, *words]).flags
        assert found == parser.parse([*words, command]).flags
        assert found != GlobalFlags()
    elif f"--{flag.long}" not in own:
        for line in ([command, *words], [*words, command]):
            with pytest.raises(
                UsageError, match=f"^{flag.name} does not work with {command}; it works with "
            ) as raised:
                parser.parse(line)
            assert raised.value.code == "flag-unsuitable"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["whoami", "-p", "80"],
            "-p does not work with whoami; it works with forward, serve, sandbox, --ec2 and --ecs",
        ),
        (["-p", "80", "prof"], "-p does not work with exec; it works with forward, serve, sandbox, --ec2 and --ecs"),
        (["-e", "--ecs", "prof"], "-e and --ecs cannot be combined"),
        (["-E", "-w", "prof"], "-E and -w cannot be combined"),
        (["--unset", "-l"], "--unset and -l cannot be combined"),
        (["shell", "-e", "-l", "prof"], "-e and -l cannot be combined"),
        (["--half-close", "1", "whoami", "prof"], "--half-close does not work with whoami; it works with forward"),
        (["whoami", "--plugin", "prof"], "--plugin does not work with whoami; it works with shell, forward and ssh"),
        (["--reason", "x", "prof"], "--reason does not work with exec; it works with shell, forward, ssh, run and cp"),
        (["-y", "prof", "true"], "--yes does not work with exec; it works with keys, sessions and fleet"),
        (["ssh", "-l", "prof"], "-l does not work with ssh; it works with exec, shell and forward"),
        (
            ["-E", "run", "prof", "i-deadbeef", "true"],
            "-E does not work with run; it works with exec, shell and forward",
        ),
        (["--ec2", "--ecs"], "--ec2 and --ecs cannot be combined"),
    ],
)
def test_the_message_names_the_flag_as_typed_and_where_it_works(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parser.parse(words)
    assert raised.value.message == message


def test_flags_beyond_the_original_are_kept_by_their_long_name() -> None:
    words = [
        "--session-tag",
        "a=b",
        "--session-tag=c=d",
        "--mfa-process",
        "ykman code",
        "--unset",
        "--source-identity=me",
    ]
    flags = parser.parse([*words, "prof"]).flags
    assert flags.unset
    assert flags.session_tags == ("a=b", "c=d")
    assert (flags.source_identity, flags.mfa_process) == ("me", "ykman code")
    assert flags.transitive_tags == ()


def test_the_last_of_two_arguments_counts_and_switches_add_up() -> None:
    flags = parser.parse(["-d", "1h", "--duration", "90m", "-M", "a", "--mfa-serial=b", "-EE", "-vvv"]).flags
    assert (flags.session_token_duration, flags.mfa_serial, flags.env, flags.verbose) == (5400, "b", True, 3)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90m", 5400), ("1h30m", 5400), ("12h", 43200), ("1.5h", 5400), ("900s", 900)]
)
def test_durations_are_go_s(text: str, seconds: int) -> None:
    assert parser.parse(["-a", text, "-d", text]).flags.role_duration == seconds


@pytest.mark.parametrize("text", ["90", "", "h", "1h30", "1 h", "-1h", "15m1x", "1e3s", "nan", "infh"])
def test_what_is_no_duration_is_an_error(text: str) -> None:
    with pytest.raises(UsageError):
        parser.parse(["-a", text])


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-l", "prof"], [("list", "roles", ["prof"])]),
        (["-m"], [("list", "mfa", [])]),
        (["-lm", "prof"], [("list", "roles", ["prof"]), ("list", "mfa", ["prof"])]),
        (["--ec2", "-p", "8080", "prof"], [("serve", "ec2", ["prof"])]),
        (["prof", "-l"], []),
    ],
)
def test_a_flag_that_asks_a_question_is_the_command_that_answers_it(
    words: list[str], expected: list[tuple[str, str, list[str]]]
) -> None:
    parsed = parser.parse(words)
    asked = parser.questions(parsed, parsed.positionals)
    found = []
    for each in asked:
        first = getattr(each.namespace, "what", None) or getattr(each.namespace, "kind", None)
        found.append((each.command, first, list(getattr(each.namespace, "words", []))))
    assert found == expected


def test_only_the_chosen_command_is_loaded() -> None:
    script = (
        "import sys; from aws_runas.cli.parsing import parser; parser.parse(['whoami', 'prof']); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    names = {f"aws_runas.cli.commands.{name}" for name in COMMANDS.values()}
    assert names & set(loaded) == {"aws_runas.cli.commands.whoami"}
