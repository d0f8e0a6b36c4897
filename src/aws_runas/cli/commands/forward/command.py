"""The verb ``forward``: forward local ports and unix sockets through SSM to an instance and hosts behind it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import CREDENTIAL, SEED_FLAGS, GlobalFlags
from aws_runas.cli.session.flags import add_session_flags

if TYPE_CHECKING:
    from aws_runas.cli.commands.forward.plan import ForwardOptions

SUMMARY = "Forward local ports to an instance, or to hosts behind it"
USAGE = "forward [-p] [<profile>] [<target>]"
ACCEPTS = (CREDENTIAL, *SEED_FLAGS, "output")
EXAMPLES = (
    ("aws-runas forward -p 8888 my-profile web-server:9000", "Local port 8888 leads to port 9000 of the instance"),
    ("aws-runas forward -L 5432:db.internal:5432 my-profile web-server", "Forward to a host behind the instance"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags; the flags of the original aws-runas come first."""
    add = parser.add_argument
    add("-p", "--port", metavar="0", help="Local port, 1 to 65535, or path of a unix socket (default: any free port)")
    add(
        "-L",
        "--local-forward",
        metavar="[BIND:]PORT:HOST:HOSTPORT",
        action="append",
        default=[],
        help="Forward a local port to a host behind the instance, or to rds:ID or cache:ID (repeatable)",
    )
    add("--through", metavar="TARGET", help="Instance that leads to rds:ID and cache:ID (default: a tagged bastion)")
    add("--bind", metavar="ADDRESS", help="Address to listen on (default 127.0.0.1)")
    add(
        "--sessions", metavar="N|auto", help="SSM sessions to spread connections over, 1 to 8 (default auto: as needed)"
    )
    add("--list", action="store_true", help="List the named tunnels")
    add("--events", action="store_true", help="Write events as JSON lines to stdout")
    add(
        "--half-close",
        metavar="SECONDS",
        help="Seconds that a half-closed connection may be silent before it is reset, 0 to 86400 (default 60)",
    )
    add_session_flags(parser)
    add("first", nargs="?", metavar="[<profile>]", help="Profile name or role ARN")
    add(
        "more",
        nargs="*",
        metavar="[<target>]",
        help="Instance id, Name tag, tag:value, address or DNS name; then : and the remote port",
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> ForwardOptions:  # noqa: ARG001
    """Check flags and forwards that need no config file."""
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
