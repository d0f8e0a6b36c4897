"""The client side of `tunnels`: starting the process, commands on its control socket, and the status table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from aws_runas import files
from aws_runas.cli.access import open_access_for
from aws_runas.cli.commands.tunnels.serve import CONTROL_SOCKET, check_directory, chosen_tunnels, plan_of, run_directory
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.errors import AwsRunasError, CredentialsError, SessionError
from aws_runas.redact import printable
from aws_runas.tunnels.control import ask, is_running

STATUS_TIMEOUT = 5.0  # seconds; the process answers from memory
START_TIMEOUT = 120.0  # seconds until the process answers, with the sessions of all its tunnels
POLL_INTERVAL = 0.05  # seconds
WATCH_INTERVAL = 1.0  # seconds
HOME_AND_CLEAR = "\x1b[H\x1b[J"
Row = dict[str, object]


def up(names: Sequence[str], env: Environment, flags: GlobalFlags, *, lazy: bool) -> Result:
    """Open tunnels in the background process, which is started if it is not running.

    Args:
        names: tunnel names; empty for all.
        env: the outside world.
        flags: the global flags.
        lazy: open a session at the first connection.

    Raises:
        AwsRunasError: a tunnel is not in the file, its profile is unknown, or the process does not start.
    """
    from aws_runas.tunnels.tunnel import WAITING

    tunnels = chosen_tunnels(names, env)
    for tunnel in tunnels:
        plan_of(tunnel, env, flags, lazy=lazy)  # finds mistakes here, not in the background
        access = open_access_for(flags, tunnel.profile, env)
        access.region()
        if not lazy and tunnel.idle is None:
            with suppress(AwsRunasError):  # an MFA prompt is possible here; any failure is reported with the tunnel
                access.provider.credentials()
    path = run_directory(env) / CONTROL_SOCKET
    check_directory(path.parent)
    chosen = [tunnel.name for tunnel in tunnels]
    outdated: object = []
    with files.lock(path.with_suffix(".lock")):  # if two start at once, the second uses the process of the first
        reply = _ask_running(path, {"command": "up", "names": chosen, "lazy": lazy})
        if reply is None:
            rows = _start_process(path, chosen, env, lazy=lazy)
        else:
            rows, outdated = _rows(reply), reply.get("outdated")
    rows = [row for row in rows if row["name"] in chosen]
    failed = [row for row in rows if row["state"] == "failed"]
    errors = "".join(f"aws-runas: tunnel {row['name']}: {row['error']}\n" for row in failed)
    waiting = [row for row in rows if row["state"] in WAITING]
    errors += "".join(
        f"aws-runas: tunnel {row['name']} is {row['state']}: aws-runas tunnels login\n" for row in waiting
    )
    for name in outdated if isinstance(outdated, list) else []:
        errors += (
            f"aws-runas: tunnel {name} is open with its old settings; to apply tunnels.toml: "
            f"aws-runas tunnels down {name}, then up {name}\n"
        )
    lines = "".join(f"{row['name']}: {line}\n" for row in rows if row not in failed for line in _addresses(row))
    exit_status = SessionError.exit_status if failed else CredentialsError.exit_status if waiting else 0
    return Result(exit_status, printable(lines, keep="\n"), printable(errors, keep="\n"))


def down(names: Sequence[str], env: Environment) -> Result:
    """Close tunnels. Without names, close all of them, which ends the process.

    Args:
        names: tunnel names; empty for all.
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
        env.stdout.write((HOME_AND_CLEAR + _fitting(_table(rows, env.now()), env)).encode())
        env.stdout.flush()
        time.sleep(WATCH_INTERVAL)
        rows = _all_rows(env)
    return Result(stdout=_table(rows, env.now()))


def login(names: Sequence[str], env: Environment, flags: GlobalFlags) -> Result:
    """Get credentials for the profiles of tunnels, with an MFA code if needed; the process then uses the cache.

    Args:
        names: tunnel names; empty for all.
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


def _ask_running(path: Path, request: Mapping[str, object]) -> dict[str, object] | None:
    """Ask the process that holds the tunnels; return None if there is none, or if it ends meanwhile.

    Raises:
        SessionError: the process does not answer.
    """
    if not is_running(path):
        return None
    try:
        ask(path, {"command": "status"}, STATUS_TIMEOUT)  # fails within seconds if the process is suspended
        return ask(path, request, START_TIMEOUT)
    except SessionError:
        if is_running(path):
            raise
        return None


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
    descriptor = new_log(log)
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
            rows = _rows(ask(path, {"command": "status"}, STATUS_TIMEOUT))
            ours = [row for row in rows if row["name"] in names]
            if len(ours) == len(names) and all(row["state"] != "connecting" for row in ours):
                return rows
        time.sleep(POLL_INTERVAL)
    raise SessionError("the tunnels process does not answer", code="tunnels-process-ended", hint=f"see {log}")


def new_log(path: Path) -> int:
    """Return the descriptor of a new, private log. An existing file is removed, and links are not followed.

    The log is opened in append mode, so that another program may truncate it meanwhile.

    Args:
        path: path of the log.

    Raises:
        SessionError: the log cannot be created.
    """
    try:
        path.unlink(missing_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, files.FILE_MODE)
    except OSError as error:
        raise SessionError(
            f"cannot write {path}: {(error.strerror or str(error)).lower()}",
            code="tunnels-log-unwritable",
            hint="XDG_RUNTIME_DIR names the directory; make room there, and remove what has the log's name",
        ) from error


def _control_sockets(env: Environment) -> list[Path]:
    return [path for path in sorted(run_directory(env).glob("*.sock")) if is_running(path)]


def _all_rows(env: Environment) -> list[Row]:
    check_directory(run_directory(env))
    paths = _control_sockets(env)
    if not paths:
        raise SessionError(
            "no tunnels are up", code="tunnels-down", hint="aws-runas tunnels up opens the tunnels of tunnels.toml"
        )
    rows: list[Row] = []
    for path in paths:
        try:
            rows += _rows(ask(path, {"command": "status"}, STATUS_TIMEOUT))
        except SessionError as error:
            if error.code != "tunnels-down":  # otherwise the process has just ended
                raise
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
    rows = [row for row in tunnels if isinstance(row, dict)] if isinstance(tunnels, list) else []
    return [row for row in rows if isinstance(row.get("name"), str) and isinstance(row.get("state"), str)]


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
        sessions = row.get("sessions")
        listed = ", ".join(map(str, sessions)) if isinstance(sessions, list) and sessions else "no session"
        addresses = ", ".join(line.removeprefix("listening on ") for line in _addresses(row)) or "no address"
        lines.append(
            f"{row['name']}  {row['state']} for {age}  {addresses}  {row.get('connections')} connections  "
            f"up {_bytes(row, 'sent')} down {_bytes(row, 'received')}  {listed}"
            + (f"  {row['error']}" if row.get("error") else "")
        )
    return "".join(f"{printable(line)}\n" for line in lines)


def _bytes(row: Row, name: str) -> str:
    rate = row.get(f"{name}_rate")
    return f"{row.get(name)} ({rate:.0f}/s)" if isinstance(rate, int | float) else str(row.get(name))


def _fitting(text: str, env: Environment) -> str:
    """Cut the text to the size of the terminal, so that no line wraps and the first line stays on screen."""
    try:
        columns, rows = os.get_terminal_size(env.stdout.fileno())
    except (OSError, ValueError):
        columns, rows = 0, 0
    columns, rows = columns or 80, rows or 24  # some terminals do not know their size
    lines = [line[: max(columns - 1, 1)] for line in text.splitlines()]
    return "".join(f"{line}\n" for line in lines[: max(rows - 1, 1)])
