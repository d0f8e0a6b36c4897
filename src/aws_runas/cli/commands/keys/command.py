"""The verb ``keys``: long-term access keys in the system's keyring."""

from __future__ import annotations

import argparse

from aws_runas.cli.commands.keys.options import ACTIONS, SOURCES, KeysOptions
from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.cli.questions import wants_json
from aws_runas.errors import UsageError

SUMMARY = "Keep long-term access keys in the system's keyring, and replace them"
USAGE = "keys add|import|list|remove|rotate [<profile>]"
WORDS = ACTIONS
FLAGS_ANYWHERE = True
ACCEPTS = ("credential", "output")
EXAMPLES = (
    ("aws-runas keys add dev", "Ask for access keys and keep them in the keyring"),
    ("aws-runas keys import dev", "Move the keys of ~/.aws/credentials to the keyring"),
    ("aws-runas keys rotate dev", "Replace the access keys by new ones"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and positionals. A secret is never an argument: other users could read it in the process list."""
    parser.add_argument("--from", dest="source", metavar="PLACE", help="Import from: file (default), env or aws-vault")
    parser.add_argument("--keep", action="store_true", help="Leave the imported keys in their file as well")
    parser.add_argument("-y", "--yes", action="store_true", help="Remove or replace without asking")
    parser.add_argument(
        "--replace-inactive",
        action="store_true",
        help="Delete an inactive access key to make room for a new one",
    )
    parser.add_argument("--delete", action="store_true", help="Delete the old access key at the end of the rotation")
    parser.add_argument("--finish", action="store_true", help="Delete the old access key of an earlier rotation")
    parser.add_argument("action", nargs="?", metavar="add|import|list|remove|rotate", help="What to do (default list)")
    parser.add_argument("words", nargs="*", metavar="[<profile>]", help="Profile name")


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> KeysOptions:
    """Check action, profile and flags without the config files.

    Raises:
        UsageError: flags and action cannot be combined, or a profile is missing.
    """
    from aws_runas.cli.questions import profile_of
    from aws_runas.config.arn import looks_like_arn
    from aws_runas.config.resolve import profile_variable

    action = namespace.action or "list"
    if action not in ACTIONS:
        raise UsageError(
            f"keys takes {', '.join(ACTIONS)}, not {action!r}",
            code="argument-unexpected",
            hint="see: aws-runas keys -h",
        )
    profile = profile_of(namespace, flags)
    if profile is None and action != "list":
        variable = profile_variable(env.environ)
        if variable is None:
            raise UsageError(
                f"keys {action} needs a profile", code="profile-required", hint=f"aws-runas keys {action} PROFILE"
            )
        profile = variable.value
    if profile is not None and looks_like_arn(profile):
        raise UsageError(f"keys belong to a profile, not to {profile}", code="profile-required")
    _check_flags(namespace, action)
    return KeysOptions(
        action,
        flags,
        profile,
        source=namespace.source or "file",
        keep=namespace.keep,
        yes=namespace.yes,
        replace_inactive=namespace.replace_inactive,
        delete=namespace.delete,
        finish=namespace.finish,
        json=wants_json(flags, env),
    )


def _check_flags(namespace: argparse.Namespace, action: str) -> None:
    belongs = {
        "source": ("import",),
        "keep": ("import",),
        "yes": ("add", "import", "remove"),
        "replace_inactive": ("rotate",),
        "delete": ("rotate",),
        "finish": ("rotate",),
    }
    for name, actions in belongs.items():
        if getattr(namespace, name) and action not in actions:
            flag = "--from" if name == "source" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} goes with keys {', '.join(actions)}", code="flag-unsuitable")
    if namespace.source not in (None, *SOURCES):
        raise UsageError(f"--from takes {', '.join(SOURCES)}, not {namespace.source!r}", code="usage")
    if namespace.finish and (namespace.delete or namespace.replace_inactive):
        raise UsageError("--finish cannot be combined with --delete or --replace-inactive", code="flag-unsuitable")


def run(options: KeysOptions, env: Environment) -> Result:
    """Run the action.

    Raises:
        AwsRunasError: see the modules of the actions.
    """
    if options.action == "add":
        from aws_runas.cli.commands.keys.storing import add

        return add(options, env)
    if options.action == "import":
        from aws_runas.cli.commands.keys.storing import import_keys

        return import_keys(options, env)
    if options.action == "remove":
        from aws_runas.cli.commands.keys.removing import remove

        return remove(options, env)
    if options.action == "rotate":
        from aws_runas.cli.commands.keys.rotating import rotate

        return rotate(options, env)
    from aws_runas.cli.commands.keys.listing import list_keys

    return list_keys(options, env)
