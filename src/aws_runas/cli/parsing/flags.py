"""The global flags: the one table that parsing, help and the manual page are made from, and their parsed values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Flag(NamedTuple):
    """One flag.

    Args:
        short: its letter, or "".
        long: its long name without the dashes.
        field: of GlobalFlags that holds its value; "" for flags that ask for help or the version.
        kind: "switch", "count", "text", "many", "session-duration", "role-duration", "format" or "port".
        metavar: how help calls the argument.
        help: one line.
    """

    short: str
    long: str
    field: str
    kind: str
    metavar: str
    help: str

    @property
    def takes_value(self) -> bool:
        """Whether an argument follows."""
        return self.kind not in ("switch", "count")


FLAGS = (
    Flag("h", "help", "", "switch", "", "Show context-sensitive help (also try --help-long and --help-man)."),
    Flag("", "help-long", "", "switch", "", "Show the help of every command."),
    Flag("", "help-man", "", "switch", "", "Write a manual page, as troff, to standard output."),
    Flag(
        "d",
        "duration",
        "session_token_duration",
        "session-duration",
        "DURATION",
        "duration of the retrieved session token",
    ),
    Flag(
        "a",
        "role-duration",
        "role_duration",
        "role-duration",
        "ROLE-DURATION",
        "duration of the assume role credentials",
    ),
    Flag("l", "list-roles", "list_roles", "switch", "", "list role ARNs you are able to assume"),
    Flag("m", "list-mfa", "list_mfa", "switch", "", "list the ARN of the MFA device associated with your account"),
    Flag("e", "expiration", "expiration", "switch", "", "Show token expiration time"),
    Flag(
        "c",
        "make-conf",
        "make_conf",
        "switch",
        "",
        "Build an AWS extended switch-role plugin configuration for all available roles",
    ),
    Flag(
        "s",
        "session",
        "session",
        "switch",
        "",
        "print eval()-able session token info, or run command using session token credentials",
    ),
    Flag("r", "refresh", "refresh", "switch", "", "force a refresh of the cached credentials"),
    Flag("v", "verbose", "verbose", "count", "", "print verbose/debug messages"),
    Flag("M", "mfa-arn", "mfa_serial", "text", "MFA-ARN", "ARN of MFA device needed to perform Assume Role operation"),
    Flag("", "mfa-serial", "mfa_serial", "text", "MFA-ARN", "the same as --mfa-arn"),
    Flag("o", "otp", "otp", "text", "OTP", "MFA token code"),
    Flag("u", "update", "update", "switch", "", "Check for updates to aws-runas"),
    Flag("D", "diagnose", "diagnose", "switch", "", "Run diagnostics to gather info to troubleshoot issues"),
    Flag("", "ec2", "ec2", "switch", "", "Run as mock EC2 metadata service to provide role credentials"),
    Flag("", "ecs", "ecs", "switch", "", "Run as container credential service to provide role credentials"),
    Flag("p", "port", "port", "port", "PORT", "The port of the service that --ec2 or --ecs starts"),
    Flag("E", "env", "env", "switch", "", "Pass credentials to program as environment variables"),
    Flag("O", "output", "output", "format", "FORMAT", "Print credentials as env, json, fish, powershell or dotenv"),
    Flag("w", "whoami", "whoami", "switch", "", "Print the caller identity of the credentials"),
    Flag("X", "external-id", "external_id", "text", "ID", "External ID to use with the role"),
    Flag(
        "",
        "write-credentials",
        "write_credentials",
        "switch",
        "",
        "Write the credentials to the shared credentials file, as profile NAME-awsrunas",
    ),
    Flag("", "unset", "unset", "switch", "", "Print commands that remove the credential variables"),
    Flag("", "role-session-name", "role_session_name", "text", "NAME", "name of the role session"),
    Flag("", "session-tag", "session_tags", "many", "KEY=VALUE", "session tag of the role session, repeatable"),
    Flag("", "transitive-tag", "transitive_tags", "many", "KEY", "session tag that later roles of a chain inherit"),
    Flag("", "source-identity", "source_identity", "text", "NAME", "source identity to set on the role session"),
    Flag("", "session-policy", "session_policy", "text", "JSON", "inline policy that narrows the role session"),
    Flag("", "session-policy-arn", "session_policy_arns", "many", "ARN", "managed policy that narrows it, repeatable"),
    Flag("", "mfa-process", "mfa_process", "text", "COMMAND", "program that prints the MFA code"),
    Flag("V", "version", "", "switch", "", "Show application version."),
)


@dataclass(frozen=True, slots=True)
class GlobalFlags:
    """The values of the global flags; None and False where a flag was not given, so that other origins can count.

    Durations are in seconds. Environment variables are not merged in here: config.resolve does that, with the origin.
    """

    session_token_duration: int | None = None  # -d
    role_duration: int | None = None  # -a
    list_roles: bool = False
    list_mfa: bool = False
    expiration: bool = False
    make_conf: bool = False
    session: bool = False
    refresh: bool = False
    verbose: int = 0
    mfa_serial: str | None = None
    otp: str | None = None
    update: bool = False
    diagnose: bool = False
    ec2: bool = False
    ecs: bool = False
    env: bool = False
    output: str | None = None
    whoami: bool = False
    external_id: str | None = None
    write_credentials: bool = False
    port: int | None = None  # -p with --ec2 and --ecs
    unset: bool = False
    role_session_name: str | None = None
    session_tags: tuple[str, ...] = ()  # KEY=VALUE, as typed
    transitive_tags: tuple[str, ...] = ()
    source_identity: str | None = None
    session_policy: str | None = None
    session_policy_arns: tuple[str, ...] = ()
    mfa_process: str | None = None

    def __repr__(self) -> str:
        return "GlobalFlags(...)"  # may hold an MFA code
