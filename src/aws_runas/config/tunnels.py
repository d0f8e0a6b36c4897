"""Named tunnels: a separate TOML file, since other SDKs complain about unknown sections in the AWS config file.

    [db]
    profile = "my-profile"
    target = "i-deadbeef"
    forwards = ["5432:db.internal:5432", "8888:localhost:9000"]

The file is ``aws-runas/tunnels.toml`` in the directory of the AWS config file, unless RUNAS_TUNNELS_FILE names another.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from aws_runas.config.durations import parse_duration
from aws_runas.dataclass import dataclass
from aws_runas.errors import ConfigError
from aws_runas.files import read_named

_KEYS: Final = {"profile", "target", "forwards", "bind", "sessions", "reason", "description", "idle"}


_DATABASE: Final = re.compile(r":(?:rds|cache):[^:]+$")  # such a forward finds its own bastion


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One entry in the file.

    Args:
        profile: name or role ARN, None for the profile in the environment.
        target: as on the command line, without a port.
        forwards: each as an argument of -L.
        bind: where to listen, None for loopback.
        sessions: "auto" or a number, None for the default.
        idle: seconds without a connection until `tunnels up` closes the session; None keeps it open.
    """

    name: str
    target: str
    forwards: tuple[str, ...]
    profile: str | None = None
    bind: str | None = None
    sessions: str | None = None
    reason: str | None = None
    description: str = ""
    idle: int | None = None


def tunnels_path(environ: Mapping[str, str], home: Path) -> Path:
    """Return the path of the tunnels file, whether it exists or not.

    Args:
        environ: RUNAS_TUNNELS_FILE names another.
        home: contains ``.aws``.
    """
    named = environ.get("RUNAS_TUNNELS_FILE")
    if named:
        return Path(os.path.expanduser(named))
    config = environ.get("AWS_CONFIG_FILE")
    folder = Path(os.path.expanduser(config)).parent if config else home / ".aws"
    return folder / "aws-runas" / "tunnels.toml"


def read_tunnels(path: Path) -> dict[str, Tunnel]:
    """Read the file. A missing file has no tunnels.

    Args:
        path: of the file.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has an invalid entry; the message names file and entry.
    """
    import tomllib

    try:
        content = read_named(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}",
            code="tunnels-unreadable",
            hint="fix its permissions, or name another file in RUNAS_TUNNELS_FILE",
        ) from None
    try:
        parsed = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path} is not TOML: line {line} is not UTF-8 text", code="tunnels-invalid") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}", code="tunnels-invalid") from None
    return {name: _tunnel(name, entry, path) for name, entry in parsed.items()}


def find_tunnel(name: str, tunnels: Mapping[str, Tunnel], path: Path) -> Tunnel:
    """Return a tunnel by its name.

    Args:
        name: of the tunnel.
        tunnels: all tunnels in the file.
        path: of the file, for the message.

    Raises:
        ConfigError: no tunnel has that name; the message suggests similar names.
    """
    tunnel = tunnels.get(name)
    if tunnel is not None:
        return tunnel
    import difflib

    near = difflib.get_close_matches(name, tunnels, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "see: aws-runas forward --list"
    raise ConfigError(f"no tunnel {name!r} in {path}", code="tunnel-not-found", hint=hint)


def _tunnel(name: str, entry: object, path: Path) -> Tunnel:
    def wrong(what: str) -> ConfigError:
        return ConfigError(f"{path}: tunnel {name!r} {what}", code="tunnels-invalid")

    if not isinstance(entry, dict):
        raise wrong("is not a table; write it as [name] and its keys below")
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise wrong(f"has an unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    forwards = entry.get("forwards")
    if isinstance(forwards, str):
        forwards = [forwards]
    if not isinstance(forwards, list) or not forwards or not all(isinstance(each, str) for each in forwards):
        raise wrong('needs forwards, a list such as ["5432:db.internal:5432"]')
    target = entry.get("target", "" if all(_DATABASE.search(each) for each in forwards) else None)
    if not isinstance(target, str) or (not target and "target" in entry):
        raise wrong("names no target")
    sessions = entry.get("sessions")
    if sessions is not None and (isinstance(sessions, bool) or not isinstance(sessions, int | str)):
        raise wrong('has sessions that are neither a number nor "auto"')
    texts: dict[str, str | None] = {}
    for key in ("profile", "bind", "reason", "description"):
        value = entry.get(key)
        if value is not None and not isinstance(value, str):
            raise wrong(f"has a {key} that is not a string")
        texts[key] = value or None
    return Tunnel(
        name,
        target,
        tuple(forwards),
        profile=texts["profile"],
        bind=texts["bind"],
        sessions=None if sessions is None else str(sessions),
        reason=texts["reason"],
        description=texts["description"] or "",
        idle=_idle(entry.get("idle"), wrong),
    )


def _idle(value: object, wrong: Callable[[str], ConfigError]) -> int | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise wrong('has an idle that is not a string such as "10m"')
    try:
        return parse_duration(value)
    except ValueError:
        raise wrong(f'has an idle {value!r} that is not a time such as "10m"') from None
