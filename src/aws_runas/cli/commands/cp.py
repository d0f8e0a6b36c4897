"""``aws-runas cp``: copy files and trees to and from an instance, without sshd, keys or S3."""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import CREDENTIAL, GlobalFlags
from aws_runas.cli.parsing.positionals import is_profile_set
from aws_runas.cli.questions import wants_json
from aws_runas.cli.session.flags import SessionFlags, add_channel_flags, add_pick_flag, check_picker, read_session_flags
from aws_runas.config.arn import looks_like_arn
from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError
from aws_runas.ssm.copy.names import Location, parse_location

if TYPE_CHECKING:
    from aws_runas.cli.session.open import OpenTarget
    from aws_runas.cli.terminal.progress import ProgressLine
    from aws_runas.ssm.command.carrier import SessionStarter
    from aws_runas.ssm.command.guardian import Guardian
    from aws_runas.ssm.copy.copying import CopyRequest, CopyResult
    from aws_runas.ssm.copy.sessions import CopySessions
    from aws_runas.ssm.session_start import SessionStart

SUMMARY = "Copy files and directories to or from an instance"
USAGE = "cp [<profile>] <source>... <destination>"
EXAMPLES = (
    ("aws-runas cp my-profile dist.tgz web:/srv/", "A file to an instance"),
    ("aws-runas cp -r my-profile web:/var/log/app ./logs", "A directory from an instance"),
    ("aws-runas cp my-profile - web:/etc/motd < motd", "Standard input to a file"),
)
ACCEPTS = (CREDENTIAL, "output")
MOST_SESSIONS: Final = 8
VIA: Final = ("auto", "port", "shell")
COMPRESS: Final = ("auto", "none", "gzip")
PROGRESS: Final = ("auto", "bar", "plain", "json", "none")
SHOWN_FAILURES: Final = 100  # lines


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `cp`.

    Args:
        profile: name or role ARN; None if none was given.
        sources, destination: as typed; one side has a target.
        sessions: number of sessions, 0 for auto.
        namespace: the flags of the copy itself.
    """

    flags: GlobalFlags
    session: SessionFlags
    profile: str | None
    sources: list[Location]
    destination: Location
    namespace: argparse.Namespace
    sessions: int
    mode: int | None
    as_json: bool

    @property
    def upload(self) -> bool:
        """True if the files go to the instance."""
        return self.destination.target is not None

    @property
    def far(self) -> Location:
        """The destination if it is on the instance, else the first source."""
        return self.destination if self.upload else self.sources[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's own flags and positionals."""
    add = parser.add_argument
    add("-r", "--recursive", action="store_true", help="Copy directories and their content")
    add("-L", "--dereference", action="store_true", help="Follow links (default: copy them as links)")
    add("-p", "--preserve", action="store_true", help="Keep modification times and all mode bits")
    add("--mode", metavar="OCTAL", help="Mode of every copied file, such as 640")
    add("--owner", metavar="USER[:GROUP]", default="", help="Owner on the instance; needs root there")
    add("--sessions", metavar="N|auto", default="auto", help="SSM sessions at once, 1 to 8 (default auto, up to 4)")
    add("--resume", action="store_true", help="Continue an unfinished copy (default)")
    add("--no-resume", action="store_true", help="Start over")
    add("--checksum", action="store_true", help="Compare files by hash instead of size and time")
    add("--compress", choices=COMPRESS, default="auto", metavar="auto|none|gzip", help="Compression (default auto)")
    add("--exclude", metavar="PATTERN", action="append", default=[], help="Skip names that match; repeatable")
    add("--include", metavar="PATTERN", action="append", default=[], help="Copy names despite --exclude; repeatable")
    add("--dry-run", action="store_true", help="Print what would be done, and do nothing")
    add("--delete", action="store_true", help="With -r: remove files that the source does not have")
    add("--no-clobber", action="store_true", help="Do not replace existing files")
    add("--no-verify", action="store_true", help="Do not compare the SHA-256 of complete files")
    add("--progress", choices=PROGRESS, default="auto", metavar="auto|bar|plain|json|none", help="Progress on stderr")
    add(
        "--via",
        choices=VIA,
        default="auto",
        metavar="auto|port|shell",
        help="Sessions that carry the data (default auto)",
    )
    add("--wait", metavar="TIME", help="Wait up to this time for an instance that is not connected")
    add("--reason", metavar="TEXT", help="Reason stored in the service's session history, up to 256 characters")
    add_pick_flag(parser)
    add_channel_flags(parser)
    add("--stream-host", metavar="HOST", help="Connect the stream to this host[:port], such as an interface endpoint")
    add("first", nargs="?", metavar="[<profile>]", help="Profile name or role ARN")
    add(
        "more",
        nargs="*",
        metavar="<source>... <destination>",
        help="One side is [user@]target:path; - is a standard stream",
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Separate the profile from the locations, and check the flags."""
    words = [] if namespace.first is None else [namespace.first, *namespace.more]
    profile, words = _take_profile(words, flags, env)
    if len(words) < 2:
        raise UsageError(
            "cp needs a source and a destination", code="copy-incomplete", hint="aws-runas cp [profile] file web:/srv/"
        )
    if not all(words):
        raise UsageError("an empty argument names no file", code="copy-incomplete", hint="write . for this directory")
    *sources, destination = [parse_location(word) for word in words]
    _check_sides(sources, destination)
    session = read_session_flags(argparse.Namespace(**{**vars(namespace), "plugin": False}))
    if any(location.target == "" for location in (*sources, destination)) and not session.pick:
        check_picker("write it as target:path; a local name as ./name", env)
    return Options(
        flags,
        session,
        profile,
        sources,
        destination,
        namespace,
        _sessions(namespace.sessions),
        _mode(namespace.mode),
        wants_json(flags, env),
    )


def run(options: Options, env: Environment) -> Result:
    """Run the copy."""
    from aws_runas.cli.session.instance import refuse_containers
    from aws_runas.cli.session.open import open_target
    from aws_runas.ssm.command.guardian import Guardian
    from aws_runas.ssm.shutdown import leave_quickly, raise_at_signals

    target = options.far.target or ""
    refuse_containers("cp", target)
    streams = _descriptor(options, env, "stdin"), _descriptor(options, env, "stdout")
    raise_at_signals()
    opened = open_target(options.flags, options.session, options.profile, target, env=env)
    refuse_containers("cp", opened.target)
    opened.api.prepare()  # before the fork and the threads: it may prompt for an MFA code
    with Guardian(opened.api.terminate_session) as guardian:
        try:
            return _copy(options, env, opened, guardian, streams=streams)
        finally:
            leave_quickly()


def _copy(
    options: Options, env: Environment, opened: OpenTarget, guardian: Guardian, *, streams: tuple[int, int]
) -> Result:
    from aws_runas.cli.session.instance import supported_instance
    from aws_runas.cli.terminal.progress import ProgressLine
    from aws_runas.ssm.session_start import SessionStart
    from aws_runas.ssm.versions import check_forwarding

    facts = supported_instance("cp", opened, env)
    if options.namespace.via == "port":
        check_forwarding(facts.agent_version, remote_host=False)
    line = ProgressLine(env.stderr, "none" if options.session.quiet else options.namespace.progress)
    task = _CopyTask(options, env, opened, guardian, line)
    starter = task.session_starter()
    with SessionStart(guardian.watched(starter.open_session), opened.api.terminate_session, env.warn) as starting:
        starting.begin()  # the service answers while the other modules are imported
        request = copy_request(options, opened.target)
        return task.run(request, task.sessions(starter, starting, facts.agent_version), streams)


@dataclass(frozen=True, slots=True)
class _CopyTask:
    """One copy, in three phases: start the first session, prepare the others, copy.

    Args:
        opened: the resolved target.
        guardian: ends the sessions if this process is killed.
        line: shows progress and notes; closed by `run`.
    """

    options: Options
    env: Environment
    opened: OpenTarget
    guardian: Guardian
    line: ProgressLine

    def say(self, text: str) -> None:
        """Show a note, unless ``-q`` was given."""
        if not self.options.session.quiet:
            self.line.note(text)

    def session_starter(self) -> SessionStarter:
        """Return the calls that start shell sessions on the instance."""
        from aws_runas.cli.session.open import refused_documents
        from aws_runas.ssm.command.carrier import Carrier, SessionStarter

        return SessionStarter(
            self.opened.api,
            self.opened.target,
            Carrier.SHELL,
            {},
            refused_documents(self.opened.access, self.env),
            self.say,
            random.random,
            reason=self.options.session.reason,
            wait=_wait(self.options.namespace.wait),
        )

    def sessions(self, starter: SessionStarter, starting: SessionStart, agent_version: str) -> CopySessions:
        """Return the sessions of the copy.

        Args:
            starter: see `session_starter`.
            starting: the first session, whose start is under way.
            agent_version: version of the agent on the instance; "" if unknown.
        """
        from aws_runas.cli.access import logs
        from aws_runas.cli.session.flags import stream_options
        from aws_runas.ssm.copy.sessions import CopySessions

        options = self.options
        return CopySessions(
            starter,
            self.opened.api,
            self.guardian,
            stream_options(options.session, self.opened.access, self.env),
            options.far.user,
            options.namespace.via,
            self.say,
            logs(options.flags.verbose)[0],
            agent_version,
            not options.namespace.no_verify,
            None if options.upload else lambda: _warn_logged(self.opened, self.say),
            starting,
        )

    def run(self, request: CopyRequest, sessions: CopySessions, streams: tuple[int, int]) -> Result:
        """Copy until everything is there or a signal arrives.

        Args:
            request: what to copy.
            sessions: see `sessions`.
            streams: descriptors of standard input and standard output.
        """
        from aws_runas.ssm.copy.copying import Copying
        from aws_runas.ssm.copy.protocol import CopyError
        from aws_runas.ssm.shutdown import SignalReceived, run_until_signal
        from aws_runas.ssm.transport import event_loop

        async def copy() -> CopyResult:
            copying = Copying(request, sessions, self.line.show, self.say, *streams)
            return await run_until_signal(copying.run(), say=self.say)

        try:
            result = event_loop.run(copy())
        except CopyError as error:
            return Result(1, stderr=_failure_lines([(request.sources[0], error.code, error.message)]))
        except SignalReceived as error:
            if error.signal_number != signal.SIGPIPE:
                raise
            return Result(error.exit_status)  # the reader of standard output is gone
        finally:
            self.line.close()
        return _result(self.options, result, self.line)


def _warn_logged(opened: OpenTarget, say: Callable[[str], None]) -> None:
    """Tell the user where the account logs the output of shell sessions, if this identity may read that setting."""
    from aws_runas.aws.ssm import session_logs
    from aws_runas.errors import AwsRunasError

    try:
        logs = session_logs(opened.access)
    except AwsRunasError:
        return
    if logs:
        say(f"warning: this session is logged; the content will be in {' and '.join(logs)}; --via port avoids it")


def copy_request(options: Options, target: str) -> CopyRequest:
    """Return the request for ssm.copy; local paths are absolute in it.

    Args:
        options: options of the command.
        target: instance id or task id.
    """
    from aws_runas.ssm.copy.copying import CopyRequest
    from aws_runas.ssm.copy.names import Filters
    from aws_runas.ssm.copy.plan import CopyOptions

    flags = options.namespace
    paths = [_source_path(location) for location in options.sources]
    side = os.uname().nodename if options.upload else f"{options.far.user or ''}@{target}"
    return CopyRequest(
        sources=paths,
        target=_path(options.destination),
        upload=options.upload,
        into=len(paths) > 1 or options.destination.path.endswith("/"),
        source_id=side,
        sessions=options.sessions,
        options=CopyOptions(
            recursive=flags.recursive,
            follow=flags.dereference,
            preserve=flags.preserve,
            mode=options.mode,
            owner=flags.owner,
            resume=not flags.no_resume,
            checksum=flags.checksum,
            compress=flags.compress,
            filters=Filters(flags.exclude, flags.include),
            delete=flags.delete,
            clobber=not flags.no_clobber,
            verify=not flags.no_verify,
            dry_run=flags.dry_run,
        ),
    )


def _path(location: Location) -> str:
    if location.target is not None:
        return location.path or "."
    if location.path == "-":
        return "-"
    bare = location.path.rstrip("/")
    trailing = "/." if bare.endswith("/.") or bare == "." else ""
    return os.path.abspath(location.path) + trailing


def _source_path(location: Location) -> str:
    """Return the path of a source. A trailing slash stays: it marks a directory, or the directory behind a link."""
    path = _path(location)
    ends = location.path.endswith("/") and not path.endswith(("/", "/."))
    return path + "/" if ends else path


def _result(options: Options, result: CopyResult, line: ProgressLine) -> Result:
    if options.namespace.dry_run:
        text = "".join(f"{_printable(action)}\n" for action in result.actions)
        return Result(_status(options, result), text, _failure_lines(result.failures))
    progress = result.progress
    summary = line.summary(progress, result.sessions, result.carrier)
    stdout = ""
    if options.as_json:
        failures = [{"name": name, "code": code, "text": text} for name, code, text in result.failures]
        values = {
            "files": progress.files_done - len([1 for failure in failures if failure["name"]]),
            "bytes": progress.done,
            "sent": progress.sent,
            "resumed": progress.resumed,
            "skipped": len(result.skipped),
            "sessions": result.sessions,
            "carrier": result.carrier,
            "failures": failures,
        }
        stdout = json.dumps(values) + "\n"
    shown = "" if options.session.quiet else summary
    if options.flags.verbose:
        shown += "".join(f"aws-runas: skipped {_printable(name)}\n" for name in result.skipped)
    return Result(_status(options, result), stdout, shown + _failure_lines(result.failures))


def _status(options: Options, result: CopyResult) -> int:
    """Return 0, 1 if files failed, 6 if the instance sent data that it must not send."""
    refused = not options.upload and any(code == "name-refused" for _, code, _ in result.failures)
    return 6 if refused else 1 if result.failures else 0


def _failure_lines(failures: object) -> str:
    lines = [f"aws-runas: {_printable(name)}: {_printable(text)}\n" for name, _, text in _triples(failures)]
    if len(lines) > SHOWN_FAILURES:
        lines = [*lines[:SHOWN_FAILURES], f"aws-runas: and {len(lines) - SHOWN_FAILURES} more\n"]
    return "".join(lines)


def _triples(failures: object) -> list[tuple[str, str, str]]:
    return [item for item in failures if isinstance(item, tuple)] if isinstance(failures, list | tuple) else []


def _printable(text: str) -> str:
    from aws_runas.ssm.copy.names import printable

    return printable(text)


def _take_profile(words: list[str], flags: GlobalFlags, env: Environment) -> tuple[str | None, list[str]]:
    """Take the first word as the profile, unless it is a location, or a variable or flag names the profile."""
    if flags.profile is not None or not words:
        return flags.profile, words
    first = words[0]
    if looks_like_arn(first):
        return first, words[1:]
    if is_profile_set(env.environ):
        return None, words
    if ":" in first or "/" in first or first == "-" or len(words) == 2:
        return None, words
    return first, words[1:]


def _check_sides(sources: list[Location], destination: Location) -> None:
    targets = {(source.user, source.target) for source in sources}
    if destination.target is not None and any(source.target is not None for source in sources):
        raise UsageError(
            "both sides are on an instance", code="copy-two-remotes", hint="copy to this machine first, then from it"
        )
    if destination.target is None and all(source.target is None for source in sources):
        raise UsageError("no side is on an instance", code="copy-no-remote", hint="write one side as target:path")
    if len(targets) > 1:
        raise UsageError(
            "the sources are on different instances", code="copy-two-remotes", hint="use a separate cp for each"
        )
    streams = [location for location in (*sources, destination) if location.target is None and location.path == "-"]
    if streams and len(sources) > 1:
        raise UsageError(
            "- is one file and cannot be combined with others",
            code="copy-stream-invalid",
            hint="copy the other files separately",
        )


def _sessions(text: str) -> int:
    if text == "auto":
        return 0
    if text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= MOST_SESSIONS:
        return int(text)
    raise UsageError(
        f"--sessions {text!r} is neither auto nor a number from 1 to {MOST_SESSIONS}", code="sessions-invalid"
    )


def _mode(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise UsageError(f"--mode takes an octal number up to 777, not {text!r}", code="mode-invalid")
    return mode


def _wait(text: str | None) -> float:
    from aws_runas.config.durations import parse_duration

    if text is None:
        return 0.0
    try:
        return float(parse_duration(text))
    except ValueError as error:
        raise UsageError(f"--wait: {error}", code="duration-invalid") from None


def _ignore(_: str) -> None:
    pass


def _descriptor(options: Options, env: Environment, name: str) -> int:
    """Return the descriptor of a standard stream. Only a stream that ``-`` names must be open.

    Raises:
        UsageError: the stream is named and closed.
    """
    try:
        descriptor: int = getattr(env, name).fileno()
    except (OSError, ValueError):  # closed, or not a real file
        here = options.sources[0] if options.upload else options.destination
        if here.path == "-" and (name == "stdin") == options.upload:
            raise UsageError(f"-: {name} is closed", code="copy-stream-invalid", hint="redirect it") from None
        return -1
    return descriptor
