"""Units of systemd, and jobs of launchd, for tunnels: written without root, and without credentials."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aws_runas import files
from aws_runas.cli.commands.forward.plan import ForwardOptions, tunnel_plan
from aws_runas.cli.commands.tunnels.serve import chosen_tunnels
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.errors import ConfigError
from aws_runas.tunnels import systemd

UNIT_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def install(names: Sequence[str], env: Environment, *, on_demand: bool) -> Result:
    """Write the service files of tunnels. The result lists their paths and the next command.

    Args:
        names: names of tunnels in the config file.
        env: its home and variables name the directory.
        on_demand: the service manager listens, and starts a tunnel at the first connection.

    Raises:
        ConfigError: a tunnel cannot be installed, its name is not valid for a service, or a file cannot be written.
    """
    lines = []
    for tunnel in chosen_tunnels(names, env):
        plan = tunnel_plan(tunnel, ForwardOptions(GlobalFlags()))
        addresses = [spec.local for spec in plan.forwards]
        if on_demand and any(not address.path and not address.port for address in addresses):
            raise ConfigError(
                f"tunnel {tunnel.name!r} has a forward without a fixed local port",
                code="tunnels-port-missing",
                hint="give each forward a port, or use --start login",
            )
        command = [sys.executable, "-P", "-m", "aws_runas", "tunnels", "up", "--foreground", tunnel.name]
        if sys.platform == "darwin":
            contents = {
                _paths(tunnel.name, env)[0]: systemd.launchd_plist(tunnel.name, command, addresses if on_demand else ())
            }
        else:
            service, socket = _paths(tunnel.name, env)
            contents = {service: systemd.service_unit(tunnel.name, command, on_demand=on_demand).encode()}
            if on_demand:
                contents[socket] = systemd.socket_unit(tunnel.name, addresses).encode()
        for path, content in contents.items():
            _write(path, content)
            lines.append(f"wrote {path}\n")
        lines.append(f"next: {_next(list(contents)[-1])}\n")
    return Result(stdout="".join(lines))


def uninstall(names: Sequence[str], env: Environment) -> Result:
    """Remove the files that `install` wrote."""
    lines, errors = [], []
    for name in names:
        removed = [path for path in _paths(name, env) if _remove(path)]
        lines += [f"removed {path}\n" for path in removed]
        if not removed:
            errors.append(f"aws-runas: tunnel {name} is not installed\n")
    return Result(3 if errors else 0, "".join(lines), "".join(errors))


def _remove(path: Path) -> bool:
    """Remove a file, and return False if there is none."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _paths(name: str, env: Environment) -> list[Path]:
    if not UNIT_NAME.fullmatch(name):  # it becomes a file name, and text in a unit
        raise ConfigError(
            f"tunnel {name!r} cannot be the name of a service",
            code="tunnels-name-invalid",
            hint="rename it: letters, digits, dots, - and _",
        )
    if sys.platform == "darwin":
        return [env.home / "Library" / "LaunchAgents" / f"{systemd.LABEL}{name}.plist"]
    directory = systemd.unit_directory(env.environ, env.home)
    return [directory / f"{systemd.PREFIX}{name}.service", directory / f"{systemd.PREFIX}{name}.socket"]


def _next(path: Path) -> str:
    if sys.platform == "darwin":
        return f"launchctl bootstrap gui/$(id -u) {path}"
    return f"systemctl --user daemon-reload && systemctl --user enable --now {path.name}"


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomic(path, content)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {(error.strerror or str(error)).lower()}",
            code="tunnels-unit-unwritable",
            hint="correct the owner or the mode of the directory",
        ) from error
