"""``diagnose`` and ``-D``: check the setup, report what is wrong and how to fix it."""

from __future__ import annotations

import argparse
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.questions import as_json, wants_json
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, UsageError
from aws_runas.redact import printable

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.diagnosis.model import Finding

SUMMARY = "Check profile, credentials, clock and STS, and with a target whether a session can be opened"
USAGE = "diagnose [<profile>] [<target>]"
EXAMPLES = (
    ("aws-runas diagnose my-profile", "Check the profile and its credentials"),
    ("aws-runas diagnose my-profile i-0123456789abcdef0", "Check sessions to an instance too"),
)
ACCEPTS = ("credential", "output")


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `diagnose`.

    Args:
        target: None if none was given.
        ntp: time server to query, None for none.
        json: write JSON, for programs.
    """

    flags: GlobalFlags
    profile: str | None
    target: str | None
    ntp: str | None
    json: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags and positionals."""
    parser.add_argument("--ntp", action="store_true", help="Compare the clock with a time server too")
    parser.add_argument("--ntp-server", metavar="SERVER", help="Time server to compare with (default pool.ntp.org)")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[<profile>] [<target>]",
        help="Profile name or role ARN; then the target: instance id, Name tag, tag:value, address or DNS name",
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Separate the profile from the target."""
    from aws_runas.cli.parsing.positionals import split_profile

    words = [word for word in namespace.words if word != "--"]
    profile, rest = split_profile(words, lambda: _names(env), env.environ, 1, named=flags.profile)
    if profile is None and rest and rest[0] in _names(env):  # a single word that names a profile is not a target
        profile, rest = rest[0], []
    if rest and rest[0].startswith("-"):
        hint = "flags go before the profile"
        raise UsageError(f"unexpected argument {rest[0]!r}", code="argument-unexpected", hint=hint)
    server = getattr(namespace, "ntp_server", None)
    if server is None and getattr(namespace, "ntp", False):
        from aws_runas.diagnosis.remote import SERVER

        server = SERVER
    return Options(flags, profile, rest[0] if rest else None, server, wants_json(flags, env))


def run(options: Options, env: Environment) -> Result:
    """Run the checks in order. Checks that depend on a failed one are skipped.

    Returns:
        Exit status 0 if nothing failed, else that of the first failure.
    """
    findings = list(_checks(options, env))
    status = next((one.status for one in findings if one.verdict == "fail"), 0)
    if options.json:
        rows = [
            {"check": one.check, "verdict": one.verdict, "message": one.message, "advice": one.advice or None}
            for one in findings
        ]
        return Result(status, stdout=as_json({"ok": status == 0, "checks": rows}))
    width = max(len(one.check) for one in findings)
    lines = [
        f"{one.verdict:4}  {one.check:{width}}  {printable(one.message)}"
        + (f"; {printable(one.advice)}" * bool(one.advice))
        for one in findings
    ]
    return Result(status, stdout="\n".join(lines) + "\n")


def _checks(options: Options, env: Environment) -> Iterator[Finding]:
    from aws_runas.cli.access import open_access_for
    from aws_runas.diagnosis import local

    access: Access | None = None
    files = None
    try:
        files = env.config_files()
        access = open_access_for(options.flags, options.profile, env)
        yield local.check_profile(access.profile, files)
    except AwsRunasError as error:
        yield local.check_profile(error, files)
    yield local.check_variables(env.environ, access.profile if access else None)
    if access is not None:
        region = local.check_region(access.profile, needed=options.target is not None)
        credentials = local.check_credentials(access.profile)
        yield region
        if credentials.verdict != "fail":
            from aws_runas.diagnosis.remote import check_source

            credentials = check_source(access, credentials)
        yield credentials
        if credentials.verdict != "fail":
            identity = yield from _remote(access, env)
            if options.target is not None and region.verdict == "ok" and identity:
                yield from _target(options.target, access, env)
    if options.ntp is not None:
        from aws_runas.diagnosis.remote import check_ntp

        yield check_ntp(options.ntp)
    if options.target is not None:
        yield local.check_plugin(env.environ)


def _remote(access: Access, env: Environment) -> Generator[Finding, None, bool]:
    """Run the checks that call STS; return True if the identity is valid."""
    from aws_runas.diagnosis import remote
    from aws_runas.diagnosis.remote import check_key_age

    answer = remote.ask_sts(access, env.now)
    endpoint = access.profile.endpoint_url("sts") or f"STS in {access.profile.sts_region}"
    yield remote.check_clock(answer)
    yield remote.check_sts(answer, endpoint)
    if not answer.answered:
        return False
    found = remote.check_identity(access, answer)
    yield found
    age = check_key_age(access, answer.identity.arn if answer.identity else "", env.now())
    if age is not None:
        yield age
    return found.verdict == "ok"


def _target(text: str, access: Access, env: Environment) -> Iterator[Finding]:
    from aws_runas.diagnosis import session
    from aws_runas.diagnosis.model import fail
    from aws_runas.targets.resolve import resolve_target
    from aws_runas.targets.spelling import is_ecs

    try:
        target = resolve_target(text, access, environ=env.environ)
    except AwsRunasError as error:
        yield fail("target", error)
        return
    if not is_ecs(target):
        node = session.ask_node(target, access)
        known = session.check_known(target, node, access)
        yield known
        if node is not None and not isinstance(node, AwsRunasError):
            yield session.check_agent(node)
        if known.verdict == "fail":
            return
    yield session.check_permission(target, access)


def _names(env: Environment) -> list[str]:
    from aws_runas.fast.profile_names import profile_names

    return profile_names(env.environ)
