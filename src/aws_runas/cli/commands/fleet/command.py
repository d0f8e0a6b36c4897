"""``aws-runas fleet``: run one command on many instances through SSM Run Command."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable

from aws_runas.cli.commands.fleet.options import ASK_ABOVE, FleetOptions
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.errors import UsageError
from aws_runas.fleet.selectors import FORMS

SUMMARY = "Run a command on many instances"
USAGE = "fleet [run|status|output|cancel|list] [<profile>] [<id>] [-- <command> [<args>...]]"
ACTIONS = ("run", "status", "output", "cancel", "list")
WORDS = ACTIONS
KEEPS_END = True  # the words after "--" are the command, even if no profile is given
ACCEPTS = ("credential", "output", "quiet")
FORMATS = ("table", "text", "json", "jsonl")
EXAMPLES = (
    ("aws-runas fleet --on tag:Role=web prod -- uptime", "Run a command on every instance with a tag"),
    ("aws-runas fleet --on all --script fix.sh --max-errors 5% prod", "Run a script, stop after 5 % of failures"),
    ("aws-runas fleet status ID", "Show a run again, also after a crash"),
)
# flag names, metavar, default, help
VALUES: tuple[tuple[tuple[str, ...], str, str | None, str], ...] = (
    (("--profiles",), "A,B", None, "Profiles or role ARNs instead of the one profile"),
    (("--regions",), "X,Y", None, "Regions instead of the profile's own; every pair with --profiles"),
    (("--max-concurrency",), "N|N%", "50", "Instances at a time, over all pairs (default 50)"),
    (("--max-errors",), "N|N%", "0", "Number of failures after which no more instances are started (default 0)"),
    (("--timeout",), "DURATION", "1h", "Execution time limit, 1s to 48h (default 1h)"),
    (("--delivery-timeout",), "DURATION", "2m", "Delivery time limit, 30s to 720h (default 2m)"),
    (("--script",), "FILE", None, "Read the command from a file"),
    (("--cwd",), "DIRECTORY", None, "Directory to run in (default: the agent's own)"),
    (("--user",), "USER", None, "Run as this user with sudo (default: root, as the agent)"),
    (("-O", "--output"), "FORMAT", None, "Output format: table, text, json or jsonl (default table)"),
    (("--dir",), "DIRECTORY", None, "Also write NAME.out, NAME.err and NAME.status for each instance"),
    (
        ("--via",),
        "command|sessions",
        "command",
        "Run Command, or a session for each instance with live output (default command)",
    ),
    (
        ("--full",),
        "WHERE",
        "auto",
        "Where complete outputs are stored: auto, none, s3:BUCKET/PREFIX or logs:GROUP (default auto)",
    ),
)
SWITCHES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("--powershell",), "The command is PowerShell, for Windows instances"),
    (("--dry-run",), "List the selected instances, and run nothing"),
    (("-y", "--yes"), f"Do not ask before running on more than {ASK_ABOVE} instances"),
    (("--skip-offline",), "Do not count unreachable instances as failures"),
    (("--no-pack",), "Leave long output readable for the AWS console"),
)
DELIVERY_RANGE = (30, 2_592_000)  # seconds; SendCommand
EXECUTION_RANGE = (1, 172_800)  # seconds; AWS-RunShellScript


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and positionals."""
    add = parser.add_argument
    add("--on", metavar="SELECTOR", action="append", default=[], help=f"Instances, repeatable: {FORMS}")
    for names, metavar, default, text in VALUES:
        add(*names, metavar=metavar, default=default, help=text)
    for names, text in SWITCHES:
        add(*names, action="store_true", help=text)
    add(
        "words",
        nargs="*",
        metavar="[run|status|output|cancel|list] [<profile>] [<id>] [-- <command>]",
        help="What to do (default run), the profile, and the command after --",
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> FleetOptions:
    """Check flags and arguments that need no config file.

    Raises:
        UsageError: flags or arguments cannot be combined.
    """
    words = list(namespace.words)
    command: list[str] = []
    if "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1 :]
    action = words.pop(0) if words and words[0] in ACTIONS else "run"
    output = namespace.output or "table"
    if output not in FORMATS:
        raise UsageError(f"-O {output!r} is not a format of fleet", code="usage", hint=f"one of {', '.join(FORMATS)}")
    options = FleetOptions(
        action,
        flags,
        command=_text(command),
        selectors=tuple(namespace.on),
        profiles=_list(namespace.profiles),
        regions=_list(namespace.regions),
        max_concurrency=_amount("--max-concurrency", namespace.max_concurrency, 1),
        max_errors=_amount("--max-errors", namespace.max_errors, 0),
        execution=_duration("--timeout", namespace.timeout, EXECUTION_RANGE),
        delivery=_duration("--delivery-timeout", namespace.delivery_timeout, DELIVERY_RANGE),
        script=namespace.script,
        powershell=namespace.powershell,
        cwd=namespace.cwd,
        user=namespace.user,
        output=output,
        directory=namespace.dir,
        dry_run=namespace.dry_run,
        yes=namespace.yes,
        skip_offline=namespace.skip_offline,
        full=_full(namespace.full),
        via=_via(namespace.via),
        pack=not (namespace.no_pack or namespace.full == "none"),
        words=tuple(words),
    )
    if action == "run":
        _check_run(options)
    elif action == "list" and (unknown := [word for word in words if word not in env.profile_names()] + words[1:]):
        raise UsageError(f"unexpected argument {unknown[0]!r}", code="argument-unexpected", hint="aws-runas fleet list")
    elif command:
        raise UsageError(
            f"fleet {action} takes no command", code="usage", hint=f"aws-runas fleet {action} [profile] ID"
        )
    return options


def run(options: FleetOptions, env: Environment) -> Result:
    """Run the command, or show, cancel or list runs."""
    from aws_runas.cli.commands.fleet import later
    from aws_runas.cli.commands.fleet import run as runs

    actions: dict[str, Callable[[FleetOptions, Environment], Result]] = {
        "run": runs.run_command,
        "status": later.show_status,
        "output": later.show_output,
        "cancel": later.cancel,
        "list": later.list_runs,
    }
    return actions[options.action](options, env)


def _check_run(options: FleetOptions) -> None:
    if not options.command and options.script is None and not options.dry_run:
        behind = f"; {options.words[-1]!r} is not behind --" if len(options.words) > 1 else ""
        raise UsageError(
            f"no command given{behind}",
            code="fleet-command-missing",
            hint="aws-runas fleet --on SELECTOR [profile] -- command",
        )
    if options.command and options.script is not None:
        raise UsageError("--script and a command cannot be combined", code="usage")
    if not options.selectors:
        raise UsageError(
            "no instances selected", code="selector-invalid", hint="--on tag:Role=web, --on Name:web-* or --on all"
        )
    if options.via == "sessions" and (options.powershell or options.full not in ("auto", "none")):
        flag = "--powershell" if options.powershell else "--full"
        raise UsageError(f"{flag} does not work with --via sessions", code="usage", hint="use --via command")
    if options.powershell and options.user:
        raise UsageError("--user does not work with --powershell", code="usage")


def _text(command: list[str]) -> str:
    """Return the command as shell text. One word is shell text already; several words are one argument each."""
    return command[0] if len(command) == 1 else shlex.join(command)


def _list(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def _amount(flag: str, text: str, least: int) -> str:
    number = text.removesuffix("%")
    most = 100 if text.endswith("%") else 1_000_000
    if not (number.isascii() and number.isdigit() and least <= int(number) <= most):
        raise UsageError(f"{flag} {text!r} is not a number or a percentage", code="usage", hint=f"{flag} 10, or 10%")
    return text


def _duration(flag: str, text: str, limits: tuple[int, int]) -> int:
    from aws_runas.config.durations import check_range, parse_duration

    try:
        seconds = parse_duration(text)
        check_range(seconds, limits, flag.removeprefix("--"))
    except ValueError as error:
        raise UsageError(f"{flag}: {error}", code="usage", hint=f"{flag} 10m") from None
    return seconds


def _via(text: str) -> str:
    if text in ("command", "sessions"):
        return text
    raise UsageError(f"--via {text!r} is neither command nor sessions", code="usage")


def _full(text: str) -> str:
    kind, _, rest = text.partition(":")
    if text in ("auto", "none") or (kind in ("s3", "logs") and rest):
        return text
    raise UsageError(f"--full {text!r} is unknown", code="usage", hint="auto, none, s3:BUCKET/PREFIX or logs:GROUP")
