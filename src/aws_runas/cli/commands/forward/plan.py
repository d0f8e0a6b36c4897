"""What a forward is to do, from its flags, its words and the tunnels file."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from aws_runas.cli.commands.forward.spec import DEFAULT_BIND, ForwardSpec, parse_forward, parse_local
from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.parsing.positionals import split_profile
from aws_runas.cli.session.flags import SessionFlags, read_session_flags
from aws_runas.config.tunnels import Tunnel, find_tunnel, read_tunnels, tunnels_path
from aws_runas.errors import ConfigError, UsageError
from aws_runas.ssm.forward.address import LocalAddress
from aws_runas.ssm.forward.settings import HALF_CLOSE_WAIT, MOST_SESSIONS, PoolSettings
from aws_runas.targets.spelling import split_port

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class ForwardOptions:
    """The command line of forward.

    Args:
        words: profile and target, or names of tunnels.
        local: of -p, None where it was not given.
        forwards: of -L.
        sessions: "auto" or a number as written, None where it was not given.
    """

    flags: GlobalFlags
    words: tuple[str, ...] = ()
    local: LocalAddress | None = None
    forwards: tuple[ForwardSpec, ...] = ()
    bind: str | None = None
    sessions: str | None = None
    list: bool = False
    events: bool = False
    json: bool = False
    half_close: float = HALF_CLOSE_WAIT
    session: SessionFlags = SessionFlags()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True)
class Plan:
    """Forwards through one target with one profile.

    Args:
        profile: None where none was named.
        target: as the user wrote it, without its port.
    """

    profile: str | None
    target: str
    forwards: tuple[ForwardSpec, ...]
    sessions: PoolSettings
    reason: str | None = None


def read_options(namespace: argparse.Namespace, flags: GlobalFlags) -> ForwardOptions:
    """Check the flags of forward.

    Raises:
        UsageError: a value makes no sense.
    """
    bind = namespace.bind or DEFAULT_BIND
    if flags.output not in (None, "json"):
        raise UsageError(f"-O {flags.output} does not go with forward", code="usage", hint="json is what there is")
    if namespace.sessions is not None:
        pool_settings(namespace.sessions)
    return ForwardOptions(
        flags,
        words=(*([] if namespace.first is None else [namespace.first]), *namespace.more),
        local=None if namespace.port is None else parse_local(namespace.port, bind),
        forwards=tuple(parse_forward(text, bind) for text in namespace.local_forward),
        bind=namespace.bind,
        sessions=namespace.sessions,
        list=namespace.list,
        events=namespace.events,
        json=flags.output == "json",
        half_close=_seconds(namespace.half_close, HALF_CLOSE_WAIT),
        session=read_session_flags(namespace),
    )


def pool_settings(text: str) -> PoolSettings:
    """Read --sessions.

    Raises:
        UsageError: it is neither "auto" nor a number from 1 to 8.
    """
    if text == AUTO:
        return PoolSettings()
    if text.isascii() and text.isdigit() and 1 <= int(text[:4]) <= MOST_SESSIONS:
        return PoolSettings(most=int(text), grow=False)
    raise UsageError(
        f"--sessions {text!r} is neither {AUTO} nor a number from 1 to {MOST_SESSIONS}", code="sessions-invalid"
    )


def plans(options: ForwardOptions, env: Environment) -> list[Plan]:
    """Find out what to forward where.

    Raises:
        UsageError: no target, no port, too many words.
        ConfigError: the tunnels file is damaged, or has no such tunnel.
    """
    words = options.words
    if words and not options.forwards and not _has_port(words[-1]):
        tunnels = _named(options, env)
        if tunnels:
            return tunnels
    profile, rest = split_profile(words, env.profile_names, env.environ, 1)
    if not rest:
        raise UsageError(
            "no target given", code="target-missing", hint="write it as target:port, such as i-deadbeef:9000"
        )
    sessions = pool_settings(options.sessions or AUTO)
    forwards = list(options.forwards)
    target = rest[0]
    if not forwards or _has_port(target):
        target, port = split_port(target, None)
        local = options.local or LocalAddress(options.bind or DEFAULT_BIND)
        forwards.insert(0, ForwardSpec(local, "", port))
    elif options.local is not None:
        raise UsageError(f"-p needs a port of {target!r} to lead to", code="port-missing", hint="write target:port")
    return [Plan(profile, target, tuple(_expanded(each) for each in forwards), sessions, options.session.reason)]


def listing(env: Environment, *, as_json: bool = False) -> str:
    """The named tunnels, a line each: name, profile, target, forwards, description; or a JSON list of objects.

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
    """The tunnels that the words name; none where they name something else."""
    path = tunnels_path(env.environ, env.home)
    tunnels = read_tunnels(path)
    words = options.words
    profile: str | None = None
    if len(words) == 2 and words[0] not in tunnels and words[1] in tunnels:
        profile, words = words[0], words[1:]
    if not any(word in tunnels for word in words):
        if tunnels and len(words) == 1 and words[0] not in env.profile_names():
            raise _neither(words[0], tunnels, path)
        return []
    return [_tunnel_plan(find_tunnel(word, tunnels, path), options, profile) for word in dict.fromkeys(words)]


def _neither(word: str, tunnels: Mapping[str, Tunnel], path: Path) -> UsageError:
    """Neither a target with a port nor a tunnel."""
    try:
        find_tunnel(word, tunnels, path)
    except ConfigError as error:
        hint = error.hint
    else:
        hint = None
    return UsageError(
        f"{word!r} is no target with a port, and no tunnel of that name is in {path}", code="port-missing", hint=hint
    )


def _tunnel_plan(tunnel: Tunnel, options: ForwardOptions, profile: str | None) -> Plan:
    bind = options.bind or tunnel.bind or DEFAULT_BIND
    try:
        forwards = [parse_forward(text, bind) for text in tunnel.forwards]
        sessions = pool_settings(options.sessions or tunnel.sessions or AUTO)
    except UsageError as error:
        raise ConfigError(f"tunnel {tunnel.name!r}: {error.message}", code="tunnels-invalid", hint=error.hint) from None
    if options.local is not None:
        if len(forwards) != 1 or len(options.words) != 1:
            raise UsageError("-p goes with a tunnel that has one forward", code="usage", hint="use -L")
        forwards = [replace(forwards[0], local=options.local)]
    return Plan(
        profile or tunnel.profile,
        tunnel.target,
        tuple(_expanded(each) for each in forwards),
        sessions,
        options.session.reason or tunnel.reason,
    )


def _expanded(spec: ForwardSpec) -> ForwardSpec:
    """With ~ in the path of a unix socket written out."""
    path = spec.local.path
    return replace(spec, local=LocalAddress(path=os.path.abspath(os.path.expanduser(path)))) if path else spec


def _has_port(word: str) -> bool:
    try:
        split_port(word, None)
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
        raise UsageError(f"--half-close {text!r} is no number of seconds", code="usage")
    return seconds
