"""``aws-runas sandbox [command]``: run a small AWS on this machine while a command or a shell runs."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, UsageError

if TYPE_CHECKING:
    from aws_runas.sandbox.options import SandboxOptions

SUMMARY = "Start a small AWS on this machine, and run a program or a shell in it"
USAGE = "sandbox [<program> [<args>...]]"
EXAMPLES = (
    ("aws-runas sandbox", "Open a shell in the sandbox"),
    ("aws-runas sandbox aws-runas whoami my-profile", "Run one program in the sandbox"),
)
ACCEPTS: tuple[str, ...] = ()

# flag, kind, metavar, help. docs/how-to/sandbox.md describes each fault.
FAULTS = (
    ("close-after", "time", "TIME", "Close each data channel after TIME, code 1000 'Bye'"),
    ("new-cell", "switch", "", "New stream address at each resume; the old one is refused"),
    ("signature", "signature", "RULE", "Signed WebSocket requests: optional, required or refused"),
    ("presign", "switch", "", "Put a signature into the stream address"),
    ("frame-limit", "number", "N", "Cut connections that send more than N frames a second for two seconds"),
    ("pause-undeliverable", "switch", "", "Send pause_publication for each message that cannot be delivered"),
    ("publication", "publication", "FORM", "Body of publication messages: json, wrong-digest, text or empty"),
    ("start-after-output", "switch", "", "Send start_publication only after the first output"),
    ("no-start", "switch", "", "Never send start_publication"),
    ("away", "time", "TIME", "The agent joins each session only after TIME"),
    ("leave-after", "time", "TIME", "The agent leaves each session after TIME, for a second or as long as --away says"),
    ("loss", "probability", "P", "Lose each frame with probability P, 0 to 1"),
    ("duplicate", "probability", "P", "Deliver frames twice with probability P, 0 to 1"),
    ("reorder", "probability", "P", "Deliver frames late with probability P, 0 to 1"),
    ("delay", "time", "TIME", "Delay each frame by TIME"),
    ("federation-get-only", "switch", "", "The console's federation endpoint accepts no POST"),
    ("sso-token-life", "time", "TIME", "Lifetime of single sign-on tokens (default 8h)"),
    ("sso-rate", "number", "N", "Throttle the portal's lists above N calls a second, 0: every call (default 20)"),
    ("sso-accounts", "integer", "N", "Additional accounts in the portal (default none)"),
    ("seed", "integer", "N", "Seed of the random numbers behind loss, duplicate and reorder (default 0)"),
    ("end-after", "time", "TIME", "The service ends each session after TIME"),
    ("end-output", "text", "TEXT", "Reason that the service gives for the end"),
    ("start-slow", "time", "TIME", "StartSession takes TIME"),
    ("end-slow", "time", "TIME", "TerminateSession takes TIME"),
    ("start-fails", "text", "CODE", "StartSession answers this error"),
    ("resume-fails", "text", "CODE", "ResumeSession answers this error"),
    ("signin-fails", "text", "CODE", "The sign-in service of aws login answers this error, such as TOKEN_EXPIRED"),
    ("sts-slow", "time", "TIME", "STS takes TIME for each call"),
    ("start-rate", "number", "N", "Throttle StartSession above N calls a second; the real service allows about 3"),
    ("reuse-tokens", "switch", "", "A token is valid for more than one connection"),
)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `sandbox`: its settings and the command to run; without one, the user's shell."""

    sandbox: SandboxOptions
    program: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("-p", "--port", metavar="PORT", help="Port to listen on, 1 to 65535 (default: any free port)")
    parser.add_argument("--region", metavar="REGION", help="Region of its profiles (default us-east-1)")
    parser.add_argument("--agent-version", metavar="VERSION", help="Version that the agents report (default 3.3.0.0)")
    parser.add_argument("--agent-rate", metavar="N", help="Maximum messages per second of an agent (default: no limit)")
    parser.add_argument(
        "--agent-manners", metavar="KIND", help="How agents behave: official or kind (default official)"
    )
    parser.add_argument("--agent-pace", metavar="KIND", help="How agents sleep: official or none (default none)")
    parser.add_argument(
        "--shell-profile", metavar="TEXT", default="", help="Commands that the account types into each shell"
    )
    parser.add_argument("--run-as", metavar="USER", default="", help="RunAs user of the session preferences")
    parser.add_argument(
        "--log-group", metavar="NAME", default="", help="CloudWatch log group of the session preferences"
    )
    parser.add_argument(
        "--external-agent",
        metavar="ID",
        action="append",
        default=[],
        help="Instance whose agent connects by itself (repeatable)",
    )
    parser.add_argument("--instances", metavar="N", help="Additional instances for fleet, 4 to 200 (default none)")
    parser.add_argument(
        "--eventual", metavar="TIME", help="Time until the service lists a command of fleet (default 0s)"
    )
    parser.add_argument(
        "--ssm-rate", metavar="N", help="Throttle Run Command's lists above N calls a second (default: no limit)"
    )
    parser.add_argument("--kms", action="store_true", help="Encrypt sessions with the sandbox's KMS key")
    parser.add_argument(
        "--clock-offset", metavar="TIME", help="Time by which the service's clock is ahead; -10m is behind (default 0s)"
    )
    parser.add_argument("--clock-speed", metavar="N", help="Factor by which everything expires sooner (default 1)")
    for name, kind, metavar, text in FAULTS:
        if kind == "switch":
            parser.add_argument(f"--{name}", action="store_true", help=text)
        else:
            parser.add_argument(f"--{name}", metavar=metavar, help=text)
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[<program> [<args>...]]",
        help="Program to run, with its arguments (default: the shell in SHELL)",
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:  # noqa: ARG001
    """Check the faults, ports and times of the sandbox."""
    from aws_runas.sandbox.options import Faults, SandboxOptions

    values: dict[str, object] = {}
    for name, kind, _, _ in FAULTS:
        given = getattr(namespace, name.replace("-", "_"))
        if given is not None and given is not False:
            values[name.replace("-", "_")] = _value(f"--{name}", kind, given)
    if values.pop("reuse_tokens", False):
        values["single_use_tokens"] = False
    program = namespace.words[1:] if namespace.words[:1] == ["--"] else namespace.words
    options = SandboxOptions(
        port=_port(namespace.port),
        faults=Faults().changed(values),
        agent_version=_version(namespace.agent_version or "3.3.0.0"),
        agent_rate=_rate(namespace.agent_rate),
        agent_manners=str(_value("--agent-manners", "manners", namespace.agent_manners or "official")),
        agent_pace=str(_value("--agent-pace", "pace", namespace.agent_pace or "none")),
        shell_profile=namespace.shell_profile,
        run_as=namespace.run_as,
        log_group=namespace.log_group,
        external_agents=tuple(namespace.external_agent),
        instances=_instances(namespace.instances),
        eventual=float(_value("--eventual", "time", namespace.eventual or "0s")),
        ssm_rate=_rate(namespace.ssm_rate, "--ssm-rate"),
        kms=namespace.kms,
        clock_offset=float(_value("--clock-offset", "offset", namespace.clock_offset or "0s")),
        clock_speed=float(_value("--clock-speed", "speed", namespace.clock_speed or "1")),
        region=namespace.region or "us-east-1",
    )
    return Options(options, tuple(program))


def run(options: Options, env: Environment) -> Result:
    """Run the command in a new sandbox and return its exit status. Inside a sandbox, ``otp`` prints an MFA code."""
    if options.program == ("otp",):
        return Result(stdout=_otp(env))
    if importlib.util.find_spec("moto") is None:
        raise AwsRunasError(
            "the sandbox needs packages that are not installed",
            code="sandbox-not-installed",
            hint=install_hint(sys.prefix, sys.executable),
        )
    from aws_runas.sandbox.command import run_inside

    return Result(run_inside(options.sandbox, options.program, env.environ, env.stdin.isatty(), env.stderr))


def install_hint(prefix: str, python: str) -> str:
    """Return the command that adds the packages of the sandbox to this kind of installation.

    Args:
        prefix: sys.prefix.
        python: sys.executable.
    """
    from aws_runas.config.installation import install_command

    return install_command("sandbox", prefix, python)


def _otp(env: Environment) -> str:
    endpoint, token = env.environ.get("AWS_ENDPOINT_URL"), env.environ.get("RUNAS_SANDBOX_TOKEN")
    if not endpoint or not token:
        raise UsageError(
            "otp works only inside a sandbox, and there is none here",
            code="sandbox-not-around",
            hint="run it in the shell that aws-runas sandbox opens",
        )
    from aws_runas.sandbox.control_client import ask

    return f"{ask(endpoint, token, 'mfa-code')}\n"


def _port(text: str | int | None) -> int:
    if text is None:
        return 0
    if not str(text).isascii() or not str(text).isdigit() or not 1 <= int(text) <= 65535:
        raise UsageError(f"port {str(text)!r} is not in 1..65535", code="port-invalid")
    return int(text)


def _instances(text: str | None) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and 4 <= int(text) <= 200):
        raise UsageError(f"--instances {text!r}: must be a number from 4 to 200", code="sandbox-option-invalid")
    return int(text)


def _rate(text: str | None, flag: str = "--agent-rate") -> float | None:
    if text is None:
        return None
    rate = float(_value(flag, "number", text))
    if rate < 1:
        raise UsageError(f"{flag} {text!r}: must be at least 1", code="sandbox-option-invalid")
    return rate


def _version(text: str) -> str:
    if len(text.split(".")) != 4 or not all(part.isascii() and part.isdigit() for part in text.split(".")):
        raise UsageError(f"--agent-version {text!r} is not like 3.3.0.0", code="sandbox-option-invalid")
    return text


def _value(flag: str, kind: str, given: str | bool) -> str | float:
    from aws_runas.sandbox.options import MANNERS, PACES, PUBLICATION_FORMS, SIGNATURE_RULES, parse_time

    if isinstance(given, bool):
        return given
    try:
        if kind in ("time", "offset"):
            return parse_time(given, negative=kind == "offset")
        if kind in ("number", "speed"):
            number = float(given)
            if not 0 <= number < float("inf") or (kind == "speed" and number == 0):
                raise ValueError("must be a positive number")
            return number
        if kind == "probability":
            if not 0 <= float(given) <= 1:
                raise ValueError("must be a probability from 0 to 1")
            return float(given)
        if kind == "integer":
            return int(given)
        choices = {"signature": SIGNATURE_RULES, "publication": PUBLICATION_FORMS, "manners": MANNERS, "pace": PACES}
        allowed = choices.get(kind)
        if allowed is not None and given not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
    except ValueError as problem:
        why = str(problem) if "must" in str(problem) else "is no number"
        raise UsageError(f"{flag} {given!r}: {why}", code="sandbox-option-invalid") from None
    return given
