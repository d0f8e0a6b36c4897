"""The verb ``tunnels``: named tunnels in the background, on demand, and as units of the service manager."""

from __future__ import annotations

import argparse

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.questions import wants_json
from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError

SUMMARY = "Keep named tunnels open in the background, or open them on demand"
ACCEPTS = ("credential", "output")
USAGE = "tunnels up|down|status|login|install|uninstall [<flags>] [<name>...]"
ACTIONS = ("up", "down", "status", "login", "install", "uninstall")
WORDS = ACTIONS
STARTS = ("login", "demand")


@dataclass(frozen=True, slots=True)
class TunnelsOptions:
    """Options of `tunnels`.

    Args:
        action: one of ACTIONS.
        names: tunnel names; empty for all in the file.
        lazy: open sessions on demand.
        foreground: stay in this process, as the service manager runs it.
        watch: redraw the status.
        start: "login" or "demand", when an installed tunnel starts.
        json: write JSON, for programs.
    """

    action: str
    flags: GlobalFlags
    names: tuple[str, ...] = ()
    lazy: bool = False
    foreground: bool = False
    watch: bool = False
    start: str = "demand"
    json: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and positionals."""
    parser.add_argument("--lazy", action="store_true", help="With up: open each session at the first connection")
    parser.add_argument(
        "--foreground", action="store_true", help="With up: stay in this process until a signal arrives"
    )
    parser.add_argument("--watch", action="store_true", help="With status: redraw every second")
    parser.add_argument("--json", action="store_true", help="With status: print a JSON object for scripts")
    parser.add_argument("--start", metavar="login|demand", help="With install: when the tunnel starts (default demand)")
    parser.add_argument("action", nargs="?", metavar="<up|down|status|login|install|uninstall>", help="What to do")
    parser.add_argument("names", nargs="*", metavar="[<name>...]", help="Tunnels of tunnels.toml (default all)")


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> TunnelsOptions:
    """Check action and flags without the config files.

    Raises:
        UsageError: flags and action cannot be combined.
    """
    action = namespace.action
    if action not in ACTIONS:
        given = f"{action!r} is no action" if action else "no action given"
        raise UsageError(given, code="usage", hint=f"aws-runas tunnels {'|'.join(ACTIONS)}")
    allowed = {"lazy": "up", "foreground": "up", "watch": "status", "start": "install"}
    for flag, owner in allowed.items():
        if getattr(namespace, flag) and action != owner:
            raise UsageError(f"--{flag} does not go with {action}", code="usage", hint=f"it belongs to {owner}")
    if namespace.start not in (None, *STARTS):
        raise UsageError(f"--start {namespace.start!r} is neither login nor demand", code="usage")
    if action in ("install", "uninstall") and not namespace.names:
        raise UsageError(f"{action} needs the name of a tunnel", code="usage", hint="see: aws-runas forward --list")
    return TunnelsOptions(
        action,
        flags,
        tuple(namespace.names),
        lazy=namespace.lazy,
        foreground=namespace.foreground,
        watch=namespace.watch,
        start=namespace.start or "demand",
        json=namespace.json or wants_json(flags, env),
    )


def run(options: TunnelsOptions, env: Environment) -> Result:
    """Run the action."""
    from aws_runas.cli.commands.tunnels import client, install, serve

    if options.action == "up":
        if options.foreground:
            return serve.run_foreground(options.names, env, options.flags, lazy=options.lazy)
        return client.up(options.names, env, options.flags, lazy=options.lazy)
    if options.action == "down":
        return client.down(options.names, env)
    if options.action == "status":
        return client.status(env, as_json=options.json, watch=options.watch)
    if options.action == "login":
        return client.login(options.names, env, options.flags)
    if options.action == "install":
        return install.install(options.names, env, on_demand=options.start == "demand")
    return install.uninstall(options.names, env)
