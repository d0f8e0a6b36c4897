"""The client side of `tunnels`: starting the process, commands on its control socket, and the status table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from aws_runas.cli.access import open_access_for
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.tunnels.serve import CONTROL_SOCKET, chosen_tunnels, plan_of, run_directory
from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.tunnels.control import ask, is_running

START_TIMEOUT = 120.0  # seconds until the process answers, with the sessions of all its tunnels
POLL_INTERVAL = 0.05  # seconds
WATCH_INTERVAL = 1.0  # seconds
HOME_AND_CLEAR = "\x1b[H\x1b[J"
Row = dict[str, object]


def up(names: Sequence[str], env: Environment, flags: GlobalFlags, *, lazy: bool) -> Result:
    """Open tunnels in the background process, which is started if it does not run.

    Args:
        names: of tunnels; none means all.
        env: the outside world.
        flags: the global flags.
        lazy: open a session with the first connection.

    Raises:
        AwsRunasError: a tunnel is not in the file, its profile is unknown, or the process does not start.
    """
    tunnels = chosen_tunnels(names, env)
    for tunnel in tunnels:
        plan_of(tunnel, env, flags, lazy=lazy)  # finds mistakes here, not in the background
        access = open_access_for(flags, tunnel.profile, env)
        access.region()
        if not lazy and tunnel.idle is None:
            with suppress(AwsRunasError):  # a code can be asked for here; any failure is reported with the tunnel
                access.provider.credentials()
    path = run_directory(env) / CONTROL_SOCKET
    chosen = [tunnel.name for tunnel in tunnels]
    if is_running(path):
        rows = _rows(ask(path, {"command": "up", "names": chosen, "lazy": lazy}, START_TIMEOUT))
    else:
        rows = _start_process(path, chosen, env, lazy=lazy)
    rows = [row for row in rows if row["name"] in chosen]
    failed = [row for row in rows if row["state"] == "failed"]
    errors = "".join(f"aws-runas: tunnel {row['name']}: {row['error']}\n" for row in failed)
    lines = "".join(f"{row['name']}: {line}\n" for row in rows if row not in failed for line in _addresses(row))
    return Result(SessionError.exit_status if failed else 0, lines, errors)


def down(names: Sequence[str], env: Environment) -> Result:
    """Close tunnels; without names all of them, which ends the process.

    Args:
        names: of tunnels; none means all.
        env: the outside world.

    Raises:
        SessionError: no tunnels are up.
    """
    reply = ask(run_directory(env) / CONTROL_SOCKET, {"command": "down", "names": list(names)})
    closed = reply.get("closed")
    listed = [str(name) for name in closed] if isinstance(closed, list) else []
    missing = [name for name in names if name not in listed]
    errors = "".join(f"aws-runas: tunnel {name} is not up\n" for name in missing)
    return Result(SessionError.exit_status if missing else 0, "".join(f"closed {name}\n" for name in listed), errors)


def status(env: Environment, *, as_json: bool, watch: bool) -> Result:
    """Show the tunnels of all processes.

    Args:
        env: the outside world.
        as_json: print JSON.
        watch: on a terminal, show them until a signal arrives.

    Raises:
        SessionError: no tunnels are up.
    """
    rows = _all_rows(env)
    if as_json:
        return Result(stdout=json.dumps({"tunnels": rows}, ensure_ascii=False) + "\n")
    while watch and env.stdout.isatty():
        env.stdout.write((HOME_AND_CLEAR + _table(rows, env.now())).encode())
        env.stdout.flush()
        time.sleep(WATCH_INTERVAL)
        rows = _all_rows(env)
    return Result(stdout=_table(rows, env.now()))


def login(names: Sequence[str], env: Environment, flags: GlobalFlags) -> Result:
    """Get credentials for the profiles of tunnels, with a code if one is needed; the process then uses the cache.

    Args:
        names: of tunnels; none means all.
        env: the outside world.
        flags: the global flags.

    Raises:
        AwsRunasError: a profile has no credentials.
    """
    tunnels = chosen_tunnels(names, env)
    for profile in dict.fromkeys(tunnel.profile for tunnel in tunnels):
        open_access_for(flags, profile, env).provider.credentials()
    for path in _control_sockets(env):
        ask(path, {"command": "retry"})
    return Result()


def _start_process(path: Path, names: list[str], env: Environment, *, lazy: bool) -> list[Row]:
    command = [
        sys.executable,
        "-P",
        "-m",
        "aws_runas",
        "tunnels",
        "up",
        "--foreground",
        *(["--lazy"] if lazy else []),
        *names,
    ]
    log = path.parent / "tunnels.log"
    from aws_runas import files

    files.make_private_directory(path.parent)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, files.FILE_MODE)
    try:
        process = subprocess.Popen(
            command,
            env=dict(env.environ),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            text = log.read_text(errors="replace").strip().splitlines()
            reason = text[-1].removeprefix("aws-runas: ") if text else f"exit status {process.returncode}"
            raise SessionError(f"the tunnels process ended: {reason}", code="tunnels-process-ended", hint=f"see {log}")
        if is_running(path):
            rows = _rows(ask(path, {"command": "status"}, START_TIMEOUT))
            if len(rows) == len(names) and all(row["state"] != "connecting" for row in rows):
                return rows
        time.sleep(POLL_INTERVAL)
    raise SessionError("the tunnels process does not answer", code="tunnels-process-ended", hint=f"see {log}")


def _control_sockets(env: Environment) -> list[Path]:
    return [path for path in sorted(run_directory(env).glob("*.sock")) if is_running(path)]


def _all_rows(env: Environment) -> list[Row]:
    paths = _control_sockets(env)
    if not paths:
        raise SessionError(
            "no tunnels are up", code="tunnels-down", hint="aws-runas tunnels up opens the tunnels of tunnels.toml"
        )
    rows: list[Row] = []
    for path in paths:
        try:
            rows += _rows(ask(path, {"command": "status"}))
        except AwsRunasError:
            continue  # it ended just now
    return rows


def _rows(reply: dict[str, object]) -> list[Row]:
    """Return the tunnels of a reply.

    Raises:
        SessionError: the reply is an error.
    """
    if "error" in reply:
        hint = reply.get("hint")
        raise SessionError(str(reply["error"]), code="tunnels-refused", hint=str(hint) if hint else None)
    tunnels = reply.get("tunnels")
    return [row for row in tunnels if isinstance(row, dict)] if isinstance(tunnels, list) else []


def _addresses(row: Row) -> list[str]:
    local, destinations = row.get("local"), row.get("destinations")
    if not isinstance(local, list) or not isinstance(destinations, list):
        return []
    return [f"listening on {address} -> {to}" for address, to in zip(local, destinations, strict=False)]


def _table(rows: Sequence[Row], now: float) -> str:
    lines = []
    for row in rows:
        since = row.get("since")
        age = f"{max(0.0, now - since):.0f} s" if isinstance(since, int | float) else "-"
        local, sessions = row.get("local"), row.get("sessions")
        count = len(sessions) if isinstance(sessions, list) else 0
        addresses = ", ".join(map(str, local)) if isinstance(local, list) else "-"
        lines.append(
            f"{row['name']}  {row['state']} for {age}  {addresses}  "
            f"{row.get('connections')} connections  {count} sessions  "
            f"up {row.get('sent')} down {row.get('received')}" + (f"  {row['error']}" if row.get("error") else "")
        )
    return "".join(f"{line}\n" for line in lines)
