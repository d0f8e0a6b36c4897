"""The tunnels process as the command line starts it: plans from the tunnels file, sockets of systemd, signals."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from aws_runas.cli.commands.forward.plan import ForwardOptions, Plan, tunnel_plan
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.session.flags import SessionFlags
from aws_runas.config.tunnels import Tunnel, find_tunnel, read_tunnels, tunnels_path
from aws_runas.errors import ConfigError

if TYPE_CHECKING:
    from aws_runas.cli.commands.forward.preparation import ResolvedPlan
    from aws_runas.ssm.forward.destination import Destination, LocalAddress
    from aws_runas.ssm.forward.listener import Listener
    from aws_runas.ssm.transport.data_channel import StreamOptions
    from aws_runas.ssm.transport.interfaces import DataChannel, OpenChannel, SessionHandler
    from aws_runas.tunnels.tunnel import TunnelPlan, TunnelStatus

CONTROL_SOCKET = "tunnels.sock"
EXAMPLE_HINT = (
    'write one there: [db], profile = "NAME", target = "web", forwards = ["5432:db.internal:5432"], a line each'
)


def run_directory(env: Environment) -> Path:
    """Return the private directory of the control sockets."""
    runtime = env.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "aws-runas"
    return env.cache_directory() / "run"


def check_directory(path: Path) -> None:
    """Check that only this user can change the directory of the control sockets.

    Raises:
        ConfigError: other users can change it, or it cannot be created.
    """
    from aws_runas import files

    try:
        files.make_private_directory(path)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot hold the control socket: {(error.strerror or str(error)).lower()}",
            code="tunnels-directory",
            hint="XDG_RUNTIME_DIR names the directory; it must be your own",
        ) from error


def chosen_tunnels(names: Sequence[str], env: Environment) -> list[Tunnel]:
    """Return the tunnels with these names, or all tunnels in the file if there are no names.

    Raises:
        ConfigError: there is no such tunnel, or the file has no tunnels.
    """
    path = tunnels_path(env.environ, env.home)
    tunnels = read_tunnels(path)
    chosen = [find_tunnel(name, tunnels, path) for name in dict.fromkeys(names)] or list(tunnels.values())
    if not chosen:
        raise ConfigError(f"there are no tunnels in {path}", code="tunnels-none", hint=EXAMPLE_HINT)
    return chosen


def run_foreground(names: Sequence[str], env: Environment, flags: GlobalFlags, *, lazy: bool) -> Result:
    """Keep tunnels open in this process until a signal or `tunnels down`.

    Args:
        names: tunnel names; empty for all in the file.
        env: the outside world.
        flags: the global flags.
        lazy: open sessions at the first connection, whatever the config file says.

    Raises:
        AwsRunasError: there is no such tunnel, or another process holds the control socket.
    """
    from aws_runas.cli.commands.forward.preparation import allow_descriptors
    from aws_runas.ssm.shutdown import SignalReceived, raise_at_signals, run_until_signal
    from aws_runas.ssm.transport import event_loop
    from aws_runas.tunnels.process import TunnelProcess
    from aws_runas.tunnels.systemd import address_of, inherited_sockets, launchd_sockets, notify

    raise_at_signals()
    allow_descriptors()
    tunnels = chosen_tunnels(names, env)
    inherited = inherited_sockets(env.environ, os.getpid()) or launchd_sockets(env.environ)
    sockets = {address_of(bound): bound for bound in inherited}
    on_demand = bool(sockets)
    path = run_directory(env) / (f"{tunnels[0].name}.sock" if on_demand else CONTROL_SOCKET)
    reporter = _Reporter(env, lambda line: notify(env.environ, "READY=1", f"STATUS={line}"))

    def make_plan(name: str, is_lazy: bool) -> TunnelPlan:
        from aws_runas.ssm.forward.listener import Listener

        tunnel = chosen_tunnels([name], env)[0]
        listeners = {address: Listener(address, [bound]) for address, bound in sockets.items()}
        return plan_of(tunnel, env, flags, lazy=is_lazy or on_demand, listeners=listeners)

    async def serve() -> None:
        process = TunnelProcess(path, make_plan, reporter.report, ends_when_idle=on_demand)
        await process.run([tunnel.name for tunnel in tunnels], lazy=lazy)

    try:
        event_loop.run(run_until_signal(serve(), watch_parent=False))
    except SignalReceived as received:
        return Result(received.exit_status)
    finally:
        notify(env.environ, "STOPPING=1")
    return Result()


def plan_of(
    tunnel: Tunnel,
    env: Environment,
    flags: GlobalFlags,
    *,
    lazy: bool,
    listeners: Mapping[LocalAddress, Listener] | None = None,
) -> TunnelPlan:
    """Return the plan of one tunnel. AWS is not called before a session is opened.

    Args:
        tunnel: a tunnel of the config file.
        env: the outside world.
        flags: the global flags.
        lazy: open sessions at the first connection, whatever the config file says.
        listeners: sockets that the service manager has bound; the tunnel closes them.

    Raises:
        ConfigError: the file has an invalid forward.
    """
    from aws_runas.ssm.forward.destination import Destination, Forward
    from aws_runas.tunnels.tunnel import TunnelPlan, lazy_settings

    options = ForwardOptions(flags, session=SessionFlags(quiet=True))
    plan = tunnel_plan(tunnel, options)
    target = plan.target or "bastion"
    forwards = [
        Forward(spec.local, Destination(target, spec.port, spec.database or spec.host)) for spec in plan.forwards
    ]
    resolver = _Resolver(plan, options, env)
    is_lazy = lazy or tunnel.idle is not None
    pool = lazy_settings(plan.sessions, tunnel.idle) if is_lazy else plan.sessions
    indices = {forward.destination: index for index, forward in enumerate(forwards)}

    def open_channel(destination: Destination) -> OpenChannel:
        return resolver.opener(indices[destination])

    return TunnelPlan(tunnel.name, tuple(forwards), open_channel, pool, listeners, tunnel)


class _Resolver:
    """Resolves a plan when its first session is opened, and keeps the answer.

    A failure is not kept: the next session tries again.
    """

    def __init__(self, plan: Plan, options: ForwardOptions, env: Environment) -> None:
        self._plan = plan
        self._options = options
        self._env = env
        self._lock = threading.Lock()
        self._resolved: tuple[ResolvedPlan, StreamOptions] | None = None

    def opener(self, index: int) -> OpenChannel:
        """Return the function that opens sessions for one forward of the plan."""

        async def open_channel(make_handler: Callable[[DataChannel], SessionHandler]) -> str:
            from aws_runas.ssm.transport.event_loop import in_thread

            resolved, stream = await in_thread(self._resolve)
            open_it = resolved.channel_opener(resolved.destinations()[index], stream)
            return await open_it(make_handler)

        return open_channel

    def _resolve(self) -> tuple[ResolvedPlan, StreamOptions]:
        from aws_runas.cli.commands.forward.preparation import resolve_plan

        with self._lock:
            if self._resolved is None:
                fresh = replace(self._env, _files=[])  # the files may have changed since the process started
                resolved = resolve_plan(self._plan, self._options, fresh)
                self._resolved = resolved, resolved.stream_options(self._options, fresh)
            return self._resolved


class _Reporter:
    """Tells the service manager about changes, and the desktop about tunnels that wait for the user."""

    def __init__(self, env: Environment, notify_manager: Callable[[str], None]) -> None:
        self._env = env
        self._notify_manager = notify_manager
        self._waiting: dict[str, str] = {}

    def report(self, statuses: list[TunnelStatus]) -> None:
        """Report a change."""
        from aws_runas.tunnels.tunnel import WAITING, State, summary

        self._notify_manager(summary(statuses))
        needs = {
            State.WAITING_FOR_MFA: "an MFA code",
            State.WAITING_FOR_PASSPHRASE: "the passphrase of the keyring file",
            State.WAITING_FOR_SIGN_IN: "a sign-in",
        }
        waiting = {status.name: needs[WAITING[status.state]] for status in statuses if status.state in WAITING}
        for name, need in sorted(waiting.items()):
            if self._waiting.get(name) == need:
                continue
            self._env.tell(f"aws-runas: tunnel {name} waits for {need}: aws-runas tunnels login\n")
            _notify_desktop(f"tunnel {name} waits for {need}; run: aws-runas tunnels login")
        self._waiting = waiting


def _notify_desktop(text: str) -> None:
    import shutil
    import subprocess
    import sys

    if sys.platform == "darwin":
        script = ("on run texts", 'display notification (item 1 of texts) with title "aws-runas"', "end run")
        command = ["osascript", *(word for line in script for word in ("-e", line)), text]
    else:
        command = ["notify-send", "aws-runas", text]
    if shutil.which(command[0]):
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
