"""The forwards to open, from the flags, the arguments and the tunnels file."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from aws_runas.cli.commands.forward.spec import DEFAULT_BIND, ForwardSpec, parse_forward, parse_local
from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import split_profile
from aws_runas.cli.session.flags import SessionFlags, read_session_flags
from aws_runas.config.arn import looks_like_arn
from aws_runas.config.tunnels import Tunnel, find_tunnel, read_tunnels, tunnels_path
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError, UsageError
from aws_runas.ssm.forward.destination import LocalAddress
from aws_runas.ssm.forward.multiplexer import HALF_CLOSE_TIMEOUT
from aws_runas.ssm.forward.policy import MAX_SESSIONS, PoolSettings
from aws_runas.targets.spelling import is_database, split_port

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class ForwardOptions:
    """The command line of forward.

    Args:
        arguments: profile and target, or names of tunnels.
        local: value of -p, None if it was not given.
        forwards: values of -L.
        sessions: "auto" or a number as written, None if it was not given.
        through: the target that leads to databases, None if it was not given.
    """

    flags: GlobalFlags
    arguments: tuple[str, ...] = ()
    local: LocalAddress | None = None
    forwards: tuple[ForwardSpec, ...] = ()
    bind: str | None = None
    sessions: str | None = None
    list: bool = False
    events: bool = False
    json: bool = False
    half_close: float = HALF_CLOSE_TIMEOUT
    through: str | None = None
    session: SessionFlags = SessionFlags()


@dataclass(frozen=True, slots=True)
class Plan:
    """Forwards through one target with one profile.

    Args:
        profile: name of the profile, None if none was given.
        target: as the user wrote it, without its port; "" to find a bastion for databases.
        forwards: local addresses and destinations.
        sessions: limits of the pools.
        reason: shown in the session history of the service.
    """

    profile: str | None
    target: str
    forwards: tuple[ForwardSpec, ...]
    sessions: PoolSettings
    reason: str | None = None


def read_options(namespace: argparse.Namespace, flags: GlobalFlags) -> ForwardOptions:
    """Check the flags of forward.

    Args:
        namespace: parsed arguments.
        flags: the global flags.

    Raises:
        UsageError: a flag has a value that it does not accept.
    """
    bind = namespace.bind or DEFAULT_BIND
    if flags.output not in (None, "json"):
        raise UsageError(f"-O {flags.output} does not work with forward", code="usage", hint="use -O json")
    if namespace.sessions is not None:
        pool_settings(namespace.sessions)
    return ForwardOptions(
        flags,
        arguments=(*([] if namespace.first is None else [namespace.first]), *namespace.more),
        local=None if namespace.port is None else parse_local(namespace.port, bind),
        forwards=tuple(parse_forward(text, bind) for text in namespace.local_forward),
        bind=namespace.bind,
        sessions=namespace.sessions,
        list=namespace.list,
        events=namespace.events,
        json=flags.output == "json",
        half_close=_seconds(namespace.half_close, HALF_CLOSE_TIMEOUT),
        through=namespace.through,
        session=read_session_flags(namespace),
    )


def pool_settings(text: str) -> PoolSettings:
    """Parse the value of --sessions.

    Args:
        text: as typed.

    Raises:
        UsageError: the text is neither "auto" nor a number from 1 to 8.
    """
    if text == AUTO:
        return PoolSettings()
    if text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= MAX_SESSIONS:
        return PoolSettings(max_sessions=int(text), grow=False)
    raise UsageError(
        f"--sessions {text!r} is neither {AUTO} nor a number from 1 to {MAX_SESSIONS}", code="sessions-invalid"
    )


def plans(options: ForwardOptions, env: Environment) -> list[Plan]:
    """Return what to forward, one plan for each target.

    Args:
        options: options of the command.
        env: the outside world.

    Raises:
        UsageError: no target, no port, or too many arguments.
        ConfigError: the tunnels file is damaged, or has no such tunnel.
    """
    arguments = options.arguments
    last = arguments[-1] if arguments else ""
    if last and not options.forwards and not (_has_port(last) or _is_port(last) or is_database(last)):
        tunnels = _named(options, env)
        if tunnels:
            return tunnels
    if len(arguments) > 2:
        raise UsageError(
            f"forward takes one target, but {arguments[2]!r} follows it",
            code="argument-unexpected",
            hint="each -L port:host:hostport adds a forward",
        )
    profile, rest = split_profile(arguments, env.profile_names, env.environ, 1, named=options.flags.profile)
    if options.through is not None or not rest or is_database(rest[0]):
        return [_database_plan(profile, rest, options, env)]
    sessions = pool_settings(options.sessions or AUTO)
    forwards = list(options.forwards)
    target = rest[0]
    if not forwards or _has_port(target) or _is_port(target):
        target, port = (
            ("", split_port(f"?:{target.lstrip(':')}", None)[1]) if _is_port(target) else split_port(target, None)
        )
        local = options.local or LocalAddress(options.bind or DEFAULT_BIND)
        forwards.insert(0, ForwardSpec(local, "", port))
    elif options.local is not None:
        raise UsageError(f"-p: target {target!r} has no port", code="port-missing", hint="write target:port")
    return [Plan(profile, target, tuple(_expand_path(spec) for spec in forwards), sessions, options.session.reason)]


def _database_plan(profile: str | None, rest: Sequence[str], options: ForwardOptions, env: Environment) -> Plan:
    """Return the plan for databases that are reached through ``--through`` or the bastion of the profile or VPC."""
    forwards = list(options.forwards)
    if rest and is_database(rest[0]):
        local = options.local or LocalAddress(options.bind or DEFAULT_BIND)
        forwards.insert(0, ForwardSpec(local, "", 0, rest[0]))
    elif rest:
        raise UsageError(
            f"--through {options.through} and the target {rest[0]!r} both name the instance",
            code="usage",
            hint="drop one",
        )
    elif options.local is not None and forwards:
        raise UsageError("-p needs a destination: target:port or rds:ID", code="port-missing")
    if not forwards or not (options.through or all(spec.database for spec in forwards)):
        if profile is not None and not looks_like_arn(profile) and profile not in env.profile_names():
            raise UsageError(
                f"{profile!r} is neither a tunnel nor a profile, and has no port",
                code="target-missing",
                hint="see: aws-runas forward --list, aws-runas list profiles; or write target:port",
            )
        raise UsageError(
            "no target given", code="target-missing", hint="write it as target:port, such as i-deadbeef:9000"
        )
    expanded = tuple(_expand_path(spec) for spec in forwards)
    return Plan(
        profile, options.through or "", expanded, pool_settings(options.sessions or AUTO), options.session.reason
    )


def listing(env: Environment, *, as_json: bool = False) -> str:
    """Return the named tunnels, one line each: name, profile, target, forwards, description; or a JSON list.

    Args:
        env: the outside world.
        as_json: print JSON.

    Raises:
        ConfigError: the file is damaged.
    """
    tunnels = read_tunnels(tunnels_path(env.environ, env.home))
    if as_json:
        return json.dumps([asdict(tunnel) for tunnel in tunnels.values()], ensure_ascii=False, indent=2) + "\n"
    lines = []
    for tunnel in tunnels.values():
        fields = [tunnel.name, tunnel.profile or "-", tunnel.target, " ".join(tunnel.forwards), tunnel.description]
        lines.append("\t".join(fields).rstrip() + "\n")
    return "".join(lines)


def _named(options: ForwardOptions, env: Environment) -> list[Plan]:
    """Return the plans of the tunnels that the arguments name; an empty list if they name something else."""
    path = tunnels_path(env.environ, env.home)
    tunnels = read_tunnels(path)
    arguments = options.arguments
    profile: str | None = None
    if len(arguments) == 2 and arguments[0] not in tunnels and arguments[1] in tunnels:
        profile, arguments = arguments[0], arguments[1:]
    if not any(argument in tunnels for argument in arguments):
        if tunnels and len(arguments) == 1 and arguments[0] not in env.profile_names():
            raise _neither(arguments[0], tunnels, path)
        return []
    return [tunnel_plan(find_tunnel(name, tunnels, path), options, profile) for name in dict.fromkeys(arguments)]


def _neither(argument: str, tunnels: Mapping[str, Tunnel], path: Path) -> UsageError:
    """Return the error for an argument that is neither a target with a port nor a tunnel."""
    try:
        find_tunnel(argument, tunnels, path)
    except ConfigError as error:
        hint = error.hint
    else:
        hint = None
    return UsageError(
        f"{argument!r} is not a target with a port, and no tunnel of that name is in {path}",
        code="port-missing",
        hint=hint,
    )


def tunnel_plan(tunnel: Tunnel, options: ForwardOptions, profile: str | None = None) -> Plan:
    """Return the plan of a named tunnel. Flags override the file.

    Args:
        tunnel: a tunnel of the tunnels file.
        options: options of the command.
        profile: profile on the command line, None for that of the tunnel.

    Raises:
        ConfigError: the file has an invalid forward or number of sessions.
        UsageError: -p was given, and the tunnel has several forwards.
    """
    bind = options.bind or tunnel.bind or DEFAULT_BIND
    try:
        forwards = [parse_forward(text, bind) for text in tunnel.forwards]
        sessions = pool_settings(options.sessions or tunnel.sessions or AUTO)
    except UsageError as error:
        raise ConfigError(f"tunnel {tunnel.name!r}: {error.message}", code="tunnels-invalid", hint=error.hint) from None
    if options.local is not None:
        if len(forwards) != 1 or len(options.arguments) != 1:
            raise UsageError("-p works only with a tunnel that has one forward", code="usage", hint="use -L")
        forwards = [replace(forwards[0], local=options.local)]
    return Plan(
        profile or options.flags.profile or tunnel.profile,
        tunnel.target,
        tuple(_expand_path(spec) for spec in forwards),
        sessions,
        options.session.reason or tunnel.reason,
    )


def _expand_path(spec: ForwardSpec) -> ForwardSpec:
    """Expand ~ in the path of a unix socket."""
    path = spec.local.path
    return replace(spec, local=LocalAddress(path=os.path.abspath(os.path.expanduser(path)))) if path else spec


def _is_port(argument: str) -> bool:
    """Return True for a port without a target; the user then picks the target."""
    return argument.removeprefix(":").isdecimal() and argument.isascii()


def _has_port(argument: str) -> bool:
    try:
        split_port(argument, None)
    except UsageError as error:
        return error.code != "port-missing"
    return True


def _seconds(text: str | None, default: float) -> float:
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:
        raise UsageError(f"--half-close {text!r} is not a number of seconds", code="usage")
    return seconds
