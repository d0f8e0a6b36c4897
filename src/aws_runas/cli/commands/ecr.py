"""The verb ``ecr login``: log a container client in to ECR registries."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, ProgramError, UsageError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.aws.ecr import RegistryToken
    from aws_runas.tokens.registry import Registry

SUMMARY = "Log a container client in to registries of Amazon ECR"
USAGE = "ecr login [<profile>] [<registry>|<account>...]"
WORDS = ("login",)
EXAMPLES = (
    ("aws-runas ecr login my-profile", "Log in to the registry of the profile's account and region"),
    ("aws-runas ecr login --client skopeo my-profile 123456789012 public.ecr.aws", "Log skopeo in to two registries"),
)
CLIENTS = ("docker", "podman", "finch", "nerdctl", "buildah", "skopeo", "helm")
DEFAULT_CLIENTS = CLIENTS[:4]  # the first that is installed
AUTHFILE_FLAGS = {"podman": "--authfile", "buildah": "--authfile", "skopeo": "--authfile", "helm": "--registry-config"}


@dataclass(frozen=True, slots=True)
class Options:
    """Options of `ecr`.

    Args:
        registries: registry addresses and account numbers; empty for the caller's account.
        client: name of the program, None for the first that is installed.
        authfile: file in which the client keeps its logins, None for its default.
    """

    flags: GlobalFlags
    profile: str | None
    registries: tuple[str, ...]
    client: str | None
    authfile: str | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare flags and positionals."""
    parser.add_argument(
        "--client",
        metavar="CLIENT",
        help="Container client: docker, podman, finch, nerdctl, buildah, skopeo or helm (default: the first of docker, "
        "podman, finch and nerdctl that is installed)",
    )
    parser.add_argument(
        "--authfile", metavar="FILE", help="File in which the client stores the login (podman, buildah, skopeo, helm)"
    )
    parser.add_argument("action", nargs="?", metavar="login", help="What to do")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[<profile>] [<registry>|<account>...]",
        help="Profile name or role ARN; then registries, or accounts whose registry is in the profile's region "
        "(default: the profile's own account)",
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, env: Environment) -> Options:
    """Separate the profile from the registries. A first word that is neither registry nor account is the profile.

    Raises:
        UsageError: the arguments are invalid.
    """
    if namespace.action not in WORDS:
        given = f"ecr cannot {namespace.action}" if namespace.action else "ecr needs an action"
        raise UsageError(given, code="usage", hint="use: aws-runas ecr login [profile] [registry|account ...]")
    if namespace.client is not None and namespace.client not in CLIENTS:
        raise UsageError(
            f"--client {namespace.client!r} is not a container client that aws-runas knows",
            code="container-client-unknown",
            hint=f"use one of {', '.join(CLIENTS)}",
        )
    words = [word for word in namespace.words if word != "--"]
    profile = flags.profile
    if profile is None and words and not _is_registry(words[0]) and not _is_mistyped_registry(words[0], env):
        profile = words.pop(0)
    if profile == "":
        raise UsageError("the profile's name is empty", code="profile-empty", hint="leave it out for default")
    for word in words:
        if word.startswith("-"):
            hint = "flags go before the profile"
            raise UsageError(f"unexpected argument {word!r}", code="argument-unexpected", hint=hint)
        if not _is_registry(word):
            raise UsageError(
                f"{word!r} is not a registry of ECR",
                code="registry-unknown",
                hint="write an account, ACCOUNT.dkr.ecr.REGION.amazonaws.com or public.ecr.aws",
            )
    return Options(flags, profile, tuple(dict.fromkeys(words)), namespace.client, namespace.authfile)


def _is_registry(word: str) -> bool:
    from aws_runas.tokens.registry import is_account, parse_registry

    return is_account(word) or parse_registry(word) is not None


def _is_mistyped_registry(word: str, env: Environment) -> bool:
    """Return True for a word that looks like an address and is not the name of a profile."""
    return ("." in word or "/" in word) and not word.startswith("arn:") and word not in env.profile_names()


def run(options: Options, env: Environment) -> Result:
    """Fetch the tokens, then call the client once for each registry.

    Raises:
        ProgramError: no client is installed.
        AwsRunasError: a token was refused, or the client failed.
    """
    from aws_runas.cli.access import open_access_for

    client, path = _find_client(options, env)
    base = _base_command(client, path, options)
    access = open_access_for(options.flags, options.profile, env)
    logins = _logins(access, options, env)
    access.shortcut(access.provider.credentials())
    for host, token in logins:
        _log_in(client, [*base, host], token, env)
    return Result()


def _find_client(options: Options, env: Environment) -> tuple[str, str]:
    """Return the name and path of the client.

    Raises:
        ProgramError: the client is not installed.
    """
    names = (options.client,) if options.client else DEFAULT_CLIENTS
    for name in names:
        path = shutil.which(name, path=env.environ.get("PATH"))
        if path:
            return name, path
    wanted = options.client or f"none of {', '.join(names)}"
    raise ProgramError(
        f"{wanted} is {'not ' if options.client else ''}installed",
        code="container-client-missing",
        exit_status=127,
        hint=f"install one, or name another with --client: {', '.join(CLIENTS)}",
    )


def _base_command(client: str, path: str, options: Options) -> list[str]:
    """Return the command line of the client without the registry. It does not contain the password."""
    words = [path, *(["registry"] if client == "helm" else []), "login", "--username", "AWS", "--password-stdin"]
    if options.authfile is None:
        return words
    if client not in AUTHFILE_FLAGS:
        raise UsageError(
            f"{client} has no flag for a login file",
            code="authfile-unsuitable",
            hint=f"leave --authfile out{', and set DOCKER_CONFIG to a directory' if client == 'docker' else ''}",
        )
    return [*words, AUTHFILE_FLAGS[client], options.authfile]


def _logins(access: Access, options: Options, env: Environment) -> list[tuple[str, RegistryToken]]:
    """Fetch a token for each registry; registries of one region share a token."""
    from aws_runas.cli.registry_tokens import fetch_token

    tokens: dict[tuple[bool, str, bool], RegistryToken] = {}
    logins = []
    for registry in _registries(access, options.registries):
        key = (registry.is_public, registry.region, registry.fips)
        if key not in tokens:
            tokens[key] = fetch_token(access, registry, env, refresh=True)  # so that the login lasts for twelve hours
        host = registry.host or tokens[key].endpoint.removeprefix("https://").removeprefix("http://")
        logins.append((host, tokens[key]))
    return logins


def _registries(access: Access, words: Sequence[str]) -> list[Registry]:
    """Return the registries. The host of the caller's registry is "" until ECR returns it."""
    from aws_runas.aws.client_settings import dns_suffix
    from aws_runas.tokens.registry import Registry, parse_registry

    if not words:
        return [Registry("", "own", access.region())]
    found = []
    for word in words:
        registry = parse_registry(word)
        if registry is None:
            region = access.region()
            registry = Registry(f"{word}.dkr.ecr.{region}.{dns_suffix(region)}", word, region)
        found.append(registry)
    return found


def _log_in(client: str, words: list[str], token: RegistryToken, env: Environment) -> None:
    """Run the client with the password on its standard input. Messages of the client pass through.

    Raises:
        AwsRunasError: the client failed.
        ProgramError: the client could not be started.
    """
    import subprocess

    from aws_runas.run.environment import REMOVED

    environ = {name: value for name, value in env.environ.items() if name not in REMOVED}
    try:
        done = subprocess.run(words, input=token.password.encode(), env=environ, check=False)
    except OSError as error:
        raise ProgramError(
            f"{client} cannot be started: {(error.strerror or str(error)).lower()}",
            code="container-client-missing",
            exit_status=126,
            hint="check the program, or name another with --client",
        ) from None
    if done.returncode:
        status = f"status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
        raise AwsRunasError(
            f"{client} login to {words[-1]} failed with {status}",
            code="container-client-failed",
            hint=f"see the output of {client} above",
        )
