"""The verb ``forward``: local ports and unix sockets that lead through SSM to an instance and to hosts behind it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.session.flags import add_session_flags

if TYPE_CHECKING:
    from aws_runas.cli.commands.forward.plan import ForwardOptions

SUMMARY = "Start an SSM port-forwarding session to the given target"
USAGE = "forward [-p] [<profile>] [<target>]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; the flags of the original aws-runas come first."""
    add = parser.add_argument
    add("-p", "--port", metavar="0", help="The local port for the forwarded connection (or the path of a unix socket)")
    add(
        "-L",
        "--local-forward",
        metavar="[BIND:]PORT:HOST:HOSTPORT",
        action="append",
        default=[],
        help="forward a local port to a host behind the instance (or to rds:ID, cache:ID), any number of times",
    )
    add(
        "--through", metavar="TARGET", help="the instance that leads to rds:ID and cache:ID (default: a tagged bastion)"
    )
    add("--bind", metavar="ADDRESS", help="listen on this address instead of 127.0.0.1")
    add("--sessions", metavar="N|auto", help="SSM sessions to spread connections over, 1 to 8 (auto: as needed)")
    add("--list", action="store_true", help="list the named tunnels")
    add("--events", action="store_true", help="write what happens as JSON lines on stdout")
    add(
        "--half-close",
        metavar="SECONDS",
        help="how long a half-closed connection may be silent before it is reset (default 60)",
    )
    add_session_flags(parser)
    add("first", nargs="?", metavar="[<profile>]", help="name of profile, or role ARN")
    add("more", nargs="*", metavar="[<target>]", help="The EC2 instance id and remote port, separated by ':'")


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> ForwardOptions:  # noqa: ARG001
    """Check everything that does not need the config files."""
    from aws_runas.cli.commands.forward.plan import read_options

    return read_options(namespace, flags)


def run(options: ForwardOptions, env: Environment) -> Result:
    """Open the forwards and keep them open until a signal arrives."""
    from aws_runas.cli.commands.forward import plan as forward_plan

    if options.list:
        return Result(stdout=forward_plan.listing(env, as_json=options.json))
    plans = forward_plan.plans(options, env)
    from aws_runas.cli.commands.forward.run import run_forwards, run_with_plugin

    return Result(run_with_plugin(options, plans, env) if options.session.plugin else run_forwards(options, plans, env))
