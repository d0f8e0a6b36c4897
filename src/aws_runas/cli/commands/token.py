"""The verb ``token``: a password for a database, or a Kubernetes credential for a cluster, on standard output."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from aws_runas.cli.environment import Environment
from aws_runas.cli.output import Result
from aws_runas.cli.parsing.flags import GlobalFlags
from aws_runas.dataclass import dataclass
from aws_runas.errors import CredentialsError, UsageError
from aws_runas.redact import printable

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.aws.credentials import Credentials

SUMMARY = "Print a password for an RDS database, or a Kubernetes credential for an EKS cluster"
USAGE = "token rds [<profile>] <host>[:<port>] <user> | token eks [<profile>] <cluster>"
WORDS = ("rds", "eks")
EXAMPLES = (
    ("aws-runas token rds my-profile db.cxyz.eu-west-1.rds.amazonaws.com:5432 app", "Password of the user app"),
    ("aws-runas token eks my-profile my-cluster", "ExecCredential for kubectl"),
)
COUNTS = {"rds": 2, "eks": 1}  # positionals after the profile


@dataclass(frozen=True, slots=True)
class Options:
    """The token to make.

    Args:
        kind: one of WORDS.
        arguments: host and user, or the cluster.
    """

    kind: str
    flags: GlobalFlags
    profile: str | None
    arguments: tuple[str, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the positionals."""
    parser.add_argument("kind", nargs="?", metavar="<rds|eks>", help="What the token is for")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="[<profile>] <host>[:<port>] <user> | <cluster>",
        help="Profile name or role ARN; then the database's own host, port (default 5432) and user, or the cluster",
    )


def read(namespace: argparse.Namespace, flags: GlobalFlags, _env: Environment) -> Options:
    """Separate the profile from the arguments of the token. Their number decides, not AWS_PROFILE.

    Raises:
        UsageError: there are too few or too many arguments.
    """
    kind, words = namespace.kind, [word for word in namespace.words if word != "--"]
    if kind not in COUNTS:
        given = f"there are no tokens for {kind!r}" if kind else "token needs rds or eks"
        raise UsageError(given, code="usage", hint="use: aws-runas token rds or aws-runas token eks")
    count = COUNTS[kind]
    profile = flags.profile
    if profile is None and len(words) == count + 1:
        profile = words.pop(0)
    if profile == "":
        raise UsageError("the profile's name is empty", code="profile-empty", hint="leave it out for default")
    wanted = "[profile] HOST[:PORT] USER" if kind == "rds" else "[profile] CLUSTER"
    if len(words) > count:
        late = any(word.startswith("-") for word in words)
        hint = "flags go before the profile" if late else f"use: aws-runas token {kind} {wanted}"
        raise UsageError(f"unexpected argument {words[count]!r}", code="argument-unexpected", hint=hint)
    if len(words) < count or not all(words):
        missing = "host and user of the database" if kind == "rds" else "the name of the cluster"
        raise UsageError(f"token {kind} needs {missing}", code="usage", hint=f"use: aws-runas token {kind} {wanted}")
    if kind == "rds" and profile is None and "." not in words[0] and "." in words[1]:  # profile and host
        hint = f"use: aws-runas token {kind} {wanted}"
        raise UsageError(f"the user of the database is missing after {words[1]!r}", code="usage", hint=hint)
    return Options(kind, flags, profile, tuple(words))


def run(options: Options, env: Environment) -> Result:
    """Create the token. AWS is called only for the credentials."""
    return _database(options, env) if options.kind == "rds" else _cluster(options, env)


def _open(options: Options, env: Environment) -> tuple[Access, Credentials]:
    from aws_runas.cli.access import open_access_for
    from aws_runas.cli.sign_in import Attendance

    unattended = options.kind == "eks" and bool(env.environ.get("KUBERNETES_EXEC_INFO"))  # called by a client
    access = open_access_for(options.flags, options.profile, env, attendance=Attendance(unattended=unattended))
    try:
        credentials = access.provider.credentials()
    except CredentialsError as error:
        _check_words(error, options, env)
        raise
    access.shortcut(credentials)
    return access, credentials


def _check_words(error: CredentialsError, options: Options, env: Environment) -> None:
    """Report a missing argument, if there are no credentials because the profile was read as the first argument.

    Raises:
        UsageError: the profile was read as the first argument.
    """
    first = options.arguments[0]
    if error.code == "credentials-missing" and options.profile is None and first in env.profile_names():
        missing = "the user of the database" if options.kind == "rds" else "the name of the cluster"
        wanted = "HOST[:PORT] USER" if options.kind == "rds" else "CLUSTER"
        raise UsageError(
            f"{missing} is missing after {first!r}, which is a profile",
            code="usage",
            hint=f"use: aws-runas token {options.kind} {first} {wanted}",
        ) from error


def _database(options: Options, env: Environment) -> Result:
    from aws_runas.tokens import database

    host, port = database.split_host(options.arguments[0])  # before any MFA prompt
    access, credentials = _open(options, env)
    region, note = database.region_of(host), ""
    if not region:
        region = access.region()
        note = (
            f"aws-runas: note: {host} is not the name of an RDS endpoint; RDS takes tokens for such names only\n"
            f"aws-runas: note: the token is for {region}\n"
        )
    token = database.database_token(host, port, options.arguments[1], region, found=_values(credentials), now=env.now())
    return Result(stdout=f"{token}\n", stderr="" if options.flags.quiet else note)


def _cluster(options: Options, env: Environment) -> Result:
    from aws_runas.aws.client_settings import sts_address
    from aws_runas.tokens import cluster

    name = options.arguments[0]
    cluster.check_cluster(name)
    version, note = exec_version(env.environ.get("KUBERNETES_EXEC_INFO"))
    access, credentials = _open(options, env)
    endpoint, region = sts_address(access.profile)
    now = env.now()
    token = cluster.cluster_token(name, endpoint, region, _values(credentials), now=now)
    end = credentials.expiration.timestamp() if credentials.expiration else None
    return Result(stdout=cluster.exec_credential(token, version, now, end), stderr=note)


def exec_version(text: str | None) -> tuple[str, str]:
    """Return the API version that the client asks for, and a warning if one is needed.

    Args:
        text: value of KUBERNETES_EXEC_INFO, None if it is not set.
    """
    from aws_runas.tokens import cluster

    plain = cluster.plain_version(text)
    if plain is not None:
        return plain, ""
    try:
        document = json.loads(text or "")
    except (ValueError, RecursionError):
        document = None
    asked = document.get("apiVersion") if isinstance(document, dict) else None
    group, _, version = str(asked).partition("/")
    if text and not isinstance(document, dict):
        return cluster.DEFAULT_VERSION, (
            "aws-runas: warning: KUBERNETES_EXEC_INFO is not a JSON object; "
            f"answering {cluster.GROUP}{cluster.DEFAULT_VERSION}\n"
        )
    if f"{group}/" != cluster.GROUP or version not in cluster.VERSIONS:
        shown = printable(str(asked)) if asked else "no version"
        return cluster.DEFAULT_VERSION, (
            f"aws-runas: warning: KUBERNETES_EXEC_INFO asks for {shown}, which aws-runas does not know; "
            f"answering {cluster.GROUP}{cluster.DEFAULT_VERSION}\n"
        )
    if version == "v1alpha1":
        return version, (
            f"aws-runas: warning: {cluster.GROUP}{version} is no longer part of Kubernetes; "
            f"write {cluster.GROUP}v1 in the kubeconfig\n"
        )
    return version, ""


def _values(credentials: Credentials) -> dict[str, str]:
    return {
        "key": credentials.access_key_id,
        "secret": credentials.secret_access_key,
        "token": credentials.session_token or "",
    }
