"""The verb ``sessions``: list, show and end the SSM sessions at the service, orphans included."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.questions import as_json, wants_json
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, SessionError, UsageError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.aws.ssm import ListedSession
    from aws_runas.ssm.records import SessionRecord

SUMMARY = "List, show or end SSM sessions at the service"
USAGE = "sessions [list|show|end] [<profile>] [<session>...]"
ACTIONS = ("list", "show", "end")
WORDS = ACTIONS
ACCEPTS = ("credential", "output")
EXAMPLES = (
    ("aws-runas sessions list my-profile", "List your sessions"),
    ("aws-runas sessions end --orphans my-profile", "End sessions whose local process is gone"),
)


@dataclass(frozen=True, slots=True)
class SessionsOptions:
    """Options of `sessions`.

    Args:
        action: one of ACTIONS.
        is_named: the action was typed; otherwise a word that is no profile may be meant as one.
        profile: None if none was given.
        sessions: session ids.
        mine, everyone, orphans: whose sessions.
        history: sessions that ended in the last 30 days.
        target: only sessions to this target.
        since: seconds; only sessions that started within them.
        yes: end sessions of other users without confirmation.
        json: write JSON, for programs.
    """

    action: str
    flags: GlobalFlags
    is_named: bool = True
    profile: str | None = None
    sessions: tuple[str, ...] = ()
    mine: bool = False
    everyone: bool = False
    orphans: bool = False
    history: bool = False
    target: str | None = None
    since: int | None = None
    yes: bool = False
    json: bool = False
    arguments: tuple[str, ...] = field(default=(), repr=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and positionals."""
    parser.add_argument("--mine", action="store_true", help="Sessions of the caller (default of list)")
    parser.add_argument("--all", action="store_true", help="List the sessions of all users")
    parser.add_argument("--orphans", action="store_true", help="Sessions of the caller whose local process is gone")
    parser.add_argument("--history", action="store_true", help="List sessions of the last 30 days that have ended")
    parser.add_argument("--target", metavar="TARGET", help="Sessions to this target")
    parser.add_argument("--since", metavar="TIME", help="List sessions that started within TIME, such as 2h")
    parser.add_argument("-y", "--yes", action="store_true", help="Do not ask before ending sessions of others")
    parser.add_argument("action", nargs="?", metavar="[list|show|end]", help="What to do (default list)")
    parser.add_argument(
        "arguments", nargs="*", metavar="[<profile>] [<session>...]", help="Profile name or role ARN; then session ids"
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> SessionsOptions:
    """Check action and flags without the config files.

    Raises:
        UsageError: flags and action cannot be combined.
    """
    arguments = list(namespace.arguments)
    action = namespace.action or "list"
    if action not in ACTIONS:
        arguments.insert(0, action)
        action = "list"
    options = SessionsOptions(
        action,
        flags,
        is_named=namespace.action == action,
        mine=namespace.mine,
        everyone=namespace.all,
        orphans=namespace.orphans,
        history=namespace.history,
        target=namespace.target,
        since=_seconds(namespace.since),
        yes=namespace.yes,
        json=wants_json(flags, env),
        arguments=tuple(arguments),
    )
    if options.mine and options.everyone:
        raise UsageError("--mine and --all cannot be combined", code="usage")
    if options.orphans and (options.everyone or options.history):
        raise UsageError("--orphans lists active sessions of the caller", code="usage", hint="drop --all and --history")
    if action != "list" and (options.everyone or options.history or options.since is not None):
        raise UsageError(f"--all, --history and --since do not work with {action}", code="usage")
    return options


def run(options: SessionsOptions, env: Environment) -> Result:
    """Run the action against the service."""
    from aws_runas.cli.access import open_access_for

    options = _split_arguments(options, env)
    access = open_access_for(options.flags, options.profile, env)
    access.region()
    if options.action == "show":
        return _show(options, access, env)
    if options.action == "end":
        return _end(options, access, env)
    sessions = _selected(options, access, env)
    records = _records(env)
    if options.json:
        return Result(stdout=as_json({"sessions": [_as_dict(each, records) for each in sessions]}))
    return Result(stdout=_table(sessions, records), stderr="" if sessions else "aws-runas: no such sessions\n")


def _split_arguments(options: SessionsOptions, env: Environment) -> SessionsOptions:
    """Separate the profile from the session ids: the first argument is a profile if one of that name exists.

    Raises:
        UsageError: there are too many or too few arguments.
    """
    from aws_runas.config.arn import looks_like_arn

    arguments = list(options.arguments)
    profile = options.flags.profile
    if (
        profile is None
        and arguments
        and (options.action == "list" or looks_like_arn(arguments[0]) or arguments[0] in env.profile_names())
    ):
        profile = arguments.pop(0)
    if "" in arguments:
        raise UsageError("a session id is empty", code="session-id-missing", hint="see: aws-runas sessions list")
    is_unknown = (
        options.flags.profile is None and profile is not None and profile not in (*env.profile_names(), "default")
    )
    if not options.is_named and is_unknown and not looks_like_arn(profile or ""):
        raise UsageError(
            f"{profile!r} is neither an action of sessions nor a profile", code="usage", hint=f"use {_known_actions()}"
        )
    if options.action == "list" and arguments:
        raise UsageError(
            f"unexpected argument {arguments[0]!r}",
            code="argument-unexpected",
            hint="use: aws-runas sessions list [profile]",
        )
    if options.action == "show" and len(arguments) != 1:
        raise UsageError("show needs one session id", code="session-id-missing", hint="see: aws-runas sessions list")
    if options.action == "end" and bool(arguments) == (options.mine or options.orphans or options.target is not None):
        raise UsageError(
            "name either session ids, or --mine, --orphans or --target",
            code="session-id-missing",
            hint="see: aws-runas sessions list",
        )
    return replace(options, profile=profile, sessions=tuple(arguments))


def _known_actions() -> str:
    return ", ".join(ACTIONS[:-1]) + f" or {ACTIONS[-1]}"


def _selected(options: SessionsOptions, access: Access, env: Environment) -> list[ListedSession]:
    """Return the sessions that the flags select."""
    from aws_runas.aws.ssm import format_time, list_sessions
    from aws_runas.aws.sts import caller_identity

    filters = {}
    if not options.everyone:
        filters["Owner"] = caller_identity(access).arn
    if options.target is not None:
        from aws_runas.targets.resolve import resolve_target

        filters["Target"] = resolve_target(options.target, access, environ=env.environ)
    if options.since is not None:
        now = datetime.fromtimestamp(env.now(), UTC)
        filters["InvokedAfter"] = format_time(now - timedelta(seconds=options.since))
    sessions = list(list_sessions(access, history=options.history, filters=filters))
    if options.orphans:
        records = _records(env)
        sessions = [each for each in sessions if _is_orphan(records.get(each.session_id))]
    return sorted(sessions, key=lambda each: (str(each.started), each.session_id))


def _show(options: SessionsOptions, access: Access, env: Environment) -> Result:
    session = _find(options.sessions[0], access)
    values = _as_dict(session, _records(env))
    if options.json:
        return Result(stdout=as_json(values))
    width = max(map(len, values))
    return Result(stdout="".join(f"{name.ljust(width)}  {value}\n" for name, value in values.items() if value))


def _end(options: SessionsOptions, access: Access, env: Environment) -> Result:
    """End sessions, and continue after a failure."""
    from aws_runas.aws.ssm import end_session
    from aws_runas.aws.sts import caller_identity
    from aws_runas.cli.session.open import session_records

    if options.sessions:
        sessions = [_find(session_id, access, active=True) for session_id in options.sessions]
        owner = caller_identity(access).arn
        _confirm([each for each in sessions if each.owner != owner], options, env)
    else:
        sessions = _selected(options, access, env)
    store = session_records(env)
    records = store.read()
    lines, errors = [], []
    status = 0
    for session in sessions:
        try:
            end_session(access, session.session_id)
        except AwsRunasError as error:
            errors.append(f"aws-runas: {session.session_id} was not ended: {error.message}\n")
            status = error.exit_status
            continue
        lines.append(f"ended {session.session_id} to {session.target}{_holder(records.get(session.session_id))}\n")
        store.remove(session.session_id)
    if not sessions:
        errors.append("aws-runas: no such sessions\n")
    return Result(status, "".join(lines), "".join(errors))


def _confirm(others: Sequence[ListedSession], options: SessionsOptions, env: Environment) -> None:
    """Ask for confirmation before sessions of other users are ended.

    Raises:
        UsageError: the user declined, or there is no terminal to ask on.
    """
    if not others or options.yes:
        return
    from aws_runas.cli.terminal.prompt import CHOICE, is_yes

    listed = ", ".join(f"{each.session_id} of {each.owner}" for each in others)
    answer = ""
    if env.stdin.isatty() and env.stderr.isatty():
        env.tell(f"aws-runas: end {listed}? {CHOICE}")
        answer = env.stdin.readline().decode(errors="replace")
    if not is_yes(answer):
        raise UsageError(
            f"not ended, because others started them: {listed}", code="session-of-others", hint="use --yes"
        )


def _find(session_id: str, access: Access, *, active: bool = False) -> ListedSession:
    """Return a session by its id, an active one first.

    Raises:
        SessionError: no session has that id.
    """
    from aws_runas.aws.ssm import list_sessions

    for history in (False,) if active else (False, True):
        for session in list_sessions(access, history=history, filters={"SessionId": session_id}):
            if session.session_id == session_id:
                return session
    kind = "active session" if active else "session"
    raise SessionError(
        f"there is no {kind} {session_id!r} in {access.region()}",
        code="session-not-found",
        hint="see: aws-runas sessions list --all",
    )


def _records(env: Environment) -> dict[str, SessionRecord]:
    from aws_runas.cli.session.open import session_records

    return session_records(env).read()


def _is_orphan(record: SessionRecord | None) -> bool:
    return record is not None and not record.is_alive()


def _holder(record: SessionRecord | None) -> str:
    """Describe the local process that holds a session."""
    if record is None:
        return ""
    return f", held by process {record.pid}" if record.is_alive() else f", orphan of process {record.pid}"


def _as_dict(session: ListedSession, records: dict[str, SessionRecord]) -> dict[str, str | int | bool | None]:
    record = records.get(session.session_id)
    return {
        "session_id": session.session_id,
        "status": session.status,
        "target": session.target,
        "document": session.document,
        "owner": session.owner,
        "reason": session.reason,
        "started": session.started.isoformat() if session.started else None,
        "ended": session.ended.isoformat() if session.ended else None,
        "max_duration_minutes": session.max_duration,
        "access_type": session.access_type,
        "pid": record.pid if record else None,
        "orphan": _is_orphan(record),
    }


def _table(sessions: Iterable[ListedSession], records: dict[str, SessionRecord]) -> str:
    rows = [
        (
            each.session_id,
            each.status,
            each.target,
            each.started.strftime("%Y-%m-%d %H:%M") if each.started else "-",
            each.document or "-",
            f"{each.reason or '-'}{_holder(records.get(each.session_id))}",
        )
        for each in sessions
    ]
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)).rstrip() for row in rows
    ]
    return "".join(f"{line}\n" for line in lines)


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    from aws_runas.config.durations import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--since {text!r} is not a time", code="usage", hint="write it as 2h or 90m") from error
