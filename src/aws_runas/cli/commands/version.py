"""The verb ``version``."""

from __future__ import annotations

import argparse

from aws_runas import __version__
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags

SUMMARY = "Show the version"
ACCEPTS: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare nothing: there are no arguments."""


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> None:
    """Return no options."""


def run(options: None, env: Environment) -> Result:  # noqa: ARG001
    """Return the version."""
    return Result(stdout=f"aws-runas {__version__}\n")
