"""``-u``: check for a newer release."""

from __future__ import annotations

import argparse

from aws_runas import __version__
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.questions import add_profile, as_json, wants_json
from aws_runas.dataclass import dataclass

SUMMARY = "Tell whether there is a newer release"
ACCEPTS = ("credential", "output")


@dataclass(frozen=True, slots=True)
class Options:
    """Output format.

    Args:
        json: write JSON, for programs.
    """

    json: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Accept the positionals of the command that ``-u`` was given with."""
    add_profile(parser)


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:  # noqa: ARG001
    """Read the output format. The command takes no arguments."""
    return Options(wants_json(flags, env))


def run(options: Options, env: Environment) -> Result:
    """Read the release page.

    Raises:
        ConfigError: its address is invalid.
        AwsRunasError: the page does not exist or names no release; exit status 1.
    """
    from aws_runas.config.lookup import releases_url
    from aws_runas.redact import printable
    from aws_runas.release import is_newer, is_prerelease, latest, page_address

    found = latest(page_address(env.environ, lambda: releases_url(env.config_files())))
    newer = is_newer(found.version, __version__)
    if options.json:
        answer = {"version": __version__, "latest": found.version, "newer": newer, "url": found.url}
        return Result(stdout=as_json(answer))
    if newer:
        kind = " as a pre-release" if is_prerelease(found.version) else ""
        where = printable(found.url)
        return Result(stdout=f"aws-runas {found.version} is available{kind}, this is {__version__}: {where}\n")
    if is_newer(__version__, found.version):
        return Result(stdout=f"this is aws-runas {__version__}, newer than the latest release, {found.version}\n")
    return Result(stdout=f"aws-runas {__version__} is the latest release\n")
