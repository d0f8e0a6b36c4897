"""The global flags: the one table that parsing, help and the manual page are made from, and their parsed values."""

from __future__ import annotations

from dataclasses import field
from typing import NamedTuple

from aws_runas.config.overrides import SignInFlags
from aws_runas.dataclass import dataclass

CREDENTIAL = "credential"
SIGN_IN = "sign-in"
PROGRAM = "program"
QUESTION = "question"
SERVER = "server"
OTHER = "other"
GROUPS = {
    CREDENTIAL: "Credential flags",
    SIGN_IN: "SAML and OIDC flags",
    PROGRAM: "Program and output flags",
    QUESTION: "Question flags",
    SERVER: "Server flags",
    OTHER: "Other flags",
}  # in the order of the help


class Flag(NamedTuple):
    """One flag.

    Args:
        group: one of GROUPS.
        short: its letter, or "".
        long: its long name without the dashes.
        field: of GlobalFlags that holds its value; "" for flags that ask for help or the version.
        kind: "switch", "count", "text", "many", "session-duration", "role-duration", "region", "format" or "port".
        metavar: name of the argument in help.
        help: one line with unit, range and default.
    """

    group: str
    short: str
    long: str
    field: str
    kind: str
    metavar: str
    help: str

    @property
    def takes_value(self) -> bool:
        """True if an argument follows."""
        return self.kind not in ("switch", "count")

    @property
    def name(self) -> str:
        """The shortest spelling, for messages."""
        return f"-{self.short}" if self.short else f"--{self.long}"


FLAGS = (
    Flag(
        CREDENTIAL,
        "",
        "profile",
        "profile",
        "text",
        "NAME",
        "Profile name or role ARN; then no positional argument is the profile",
    ),
    Flag(
        PROGRAM,
        "",
        "pick",
        "pick",
        "switch",
        "",
        "Choose the profile from a list on the terminal; then all positional arguments are the program",
    ),
    Flag(CREDENTIAL, "", "region", "region", "region", "REGION", "Region; overrides environment and profile"),
    Flag(
        CREDENTIAL,
        "d",
        "duration",
        "session_token_duration",
        "session-duration",
        "DURATION",
        "Session token lifetime, 15m to 36h (default 12h)",
    ),
    Flag(
        CREDENTIAL,
        "a",
        "role-duration",
        "role_duration",
        "role-duration",
        "DURATION",
        "Role credentials lifetime, 15m to 12h (default 1h)",
    ),
    Flag(
        CREDENTIAL,
        "s",
        "session",
        "use_session_token",
        "switch",
        "",
        "Use or print the session token credentials instead of the role's",
    ),
    Flag(CREDENTIAL, "r", "refresh", "refresh", "switch", "", "Ignore cached credentials and fetch new ones"),
    Flag(CREDENTIAL, "M", "mfa-arn", "mfa_serial", "text", "ARN", "ARN or serial number of the MFA device"),
    Flag(CREDENTIAL, "", "mfa-serial", "mfa_serial", "text", "ARN", "Same as --mfa-arn"),
    Flag(CREDENTIAL, "o", "otp", "otp", "text", "CODE", "MFA code, 6 digits"),
    Flag(CREDENTIAL, "", "mfa-process", "mfa_process", "text", "COMMAND", "Program that prints the MFA code"),
    Flag(CREDENTIAL, "X", "external-id", "external_id", "text", "ID", "External id; used for the last role of a chain"),
    Flag(
        CREDENTIAL,
        "",
        "role-session-name",
        "role_session_name",
        "text",
        "NAME",
        "Name of the role session, 2 to 64 characters",
    ),
    Flag(
        CREDENTIAL,
        "",
        "session-tag",
        "session_tags",
        "many",
        "KEY=VALUE",
        "Session tag of the role session (repeatable)",
    ),
    Flag(
        CREDENTIAL,
        "",
        "transitive-tag",
        "transitive_tags",
        "many",
        "KEY",
        "Session tag that later roles of a chain inherit (repeatable)",
    ),
    Flag(
        CREDENTIAL,
        "",
        "source-identity",
        "source_identity",
        "text",
        "NAME",
        "Source identity of the role session, 2 to 64 characters",
    ),
    Flag(
        CREDENTIAL,
        "",
        "session-policy",
        "session_policy",
        "text",
        "JSON",
        "Policy that narrows the role session, as JSON or file://PATH",
    ),
    Flag(
        CREDENTIAL,
        "",
        "session-policy-arn",
        "session_policy_arns",
        "many",
        "ARN",
        "Managed policy that narrows the role session (repeatable)",
    ),
    Flag(SIGN_IN, "S", "saml-url", "saml_url", "text", "URL", "Address of the SAML sign-in page"),
    Flag(SIGN_IN, "W", "web-url", "web_url", "text", "URL", "Address of the OIDC identity provider"),
    Flag(
        SIGN_IN,
        "R",
        "provider",
        "provider",
        "text",
        "NAME",
        "Kind of sign-in: browser, form, keycloak, process, azuread",
    ),
    Flag(SIGN_IN, "U", "username", "username", "text", "NAME", "User name at the identity provider"),
    Flag(
        SIGN_IN,
        "P",
        "password",
        "password",
        "text",
        "PASSWORD",
        "Password at the identity provider; other users see it in ps, so use RUNAS_PASSWORD instead",
    ),
    Flag(SIGN_IN, "C", "web-client", "web_client", "text", "ID", "OIDC client id"),
    Flag(SIGN_IN, "T", "web-redirect", "web_redirect", "text", "URI", "OIDC redirect URI"),
    Flag(SIGN_IN, "I", "saml-entityid", "saml_entity_id", "text", "ID", "SAML entity id; accepted, has no effect yet"),
    Flag(
        SIGN_IN, "J", "jump-role", "jump_role", "text", "ARN", "Role assumed by SAML or OIDC before the profile's role"
    ),
    Flag(
        SIGN_IN, "t", "mfa-type", "mfa_type", "text", "TYPE", "Second factor: none, auto, code or push (default auto)"
    ),
    Flag(
        PROGRAM,
        "E",
        "env",
        "env",
        "switch",
        "",
        "Pass credentials as environment variables instead of through the container endpoint",
    ),
    Flag(
        PROGRAM,
        "O",
        "output",
        "output",
        "format",
        "FORMAT",
        "Format: env, json, fish, powershell or dotenv (default env); commands that print results accept json",
    ),
    Flag(
        PROGRAM,
        "e",
        "expiration",
        "expiration",
        "switch",
        "",
        "Print on stderr when the credentials expire; without a program, print nothing else",
    ),
    Flag(
        PROGRAM,
        "",
        "write-credentials",
        "write_credentials",
        "switch",
        "",
        "Write the credentials to the shared credentials file, as profile NAME-awsrunas",
    ),
    Flag(PROGRAM, "", "unset", "unset", "switch", "", "Print shell commands that remove the credential variables"),
    Flag(
        QUESTION,
        "l",
        "list-roles",
        "list_roles",
        "switch",
        "",
        "List the roles that the user may assume; same as list roles",
    ),
    Flag(
        QUESTION, "m", "list-mfa", "list_mfa", "switch", "", "List the ARNs of the user's MFA devices; same as list mfa"
    ),
    Flag(QUESTION, "w", "whoami", "whoami", "switch", "", "Print the caller identity; same as whoami"),
    Flag(
        QUESTION,
        "D",
        "diagnose",
        "diagnose",
        "switch",
        "",
        "Check profile, credentials, clock and STS; same as diagnose",
    ),
    Flag(
        QUESTION,
        "c",
        "make-conf",
        "make_conf",
        "switch",
        "",
        "Print an AWS Extend Switch Roles configuration for every role found",
    ),
    Flag(QUESTION, "u", "update", "update", "switch", "", "Report whether there is a newer release"),
    Flag(SERVER, "", "ec2", "ec2", "switch", "", "Start an EC2 instance metadata service; same as serve ec2"),
    Flag(SERVER, "", "ecs", "ecs", "switch", "", "Start a container credentials service; same as serve ecs"),
    Flag(SERVER, "p", "port", "port", "port", "PORT", "Port of the server, 1 to 65535; also the local port of forward"),
    Flag(OTHER, "h", "help", "", "switch", "", "Show help; after a command, the help of that command"),
    Flag(OTHER, "", "help-long", "", "switch", "", "Show the help of all commands"),
    Flag(OTHER, "", "help-man", "", "switch", "", "Write a man page in troff to stdout"),
    Flag(
        OTHER, "v", "verbose", "verbose", "count", "", "Write a debug log to stderr; given twice, also trace AWS calls"
    ),
    Flag(OTHER, "q", "quiet", "quiet", "switch", "", "Print no notes and no status line; errors are still printed"),
    Flag(OTHER, "V", "version", "", "switch", "", "Show the version"),
)

# Flags that the 3.x help of shell and forward lists beyond the credential flags.
SEED_FLAGS = ("expiration", "env", "list-roles", "list-mfa", "make-conf", "update", "diagnose", "ec2")


@dataclass(frozen=True, slots=True)
class GlobalFlags:
    """The values of the global flags; None and False where a flag was not given, so that other origins can apply.

    Durations are in seconds. Environment variables are not merged in here: config.resolve does that, with the origin.
    """

    profile: str | None = None
    region: str | None = None
    session_token_duration: int | None = None  # -d
    role_duration: int | None = None  # -a
    list_roles: bool = False
    list_mfa: bool = False
    expiration: bool = False
    make_conf: bool = False
    use_session_token: bool = False
    refresh: bool = False
    verbose: int = 0
    quiet: bool = False
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
    pick: bool = False  # also set by the --pick of a session command, which chooses a target
    signin: SignInFlags = field(default_factory=SignInFlags)

    def __repr__(self) -> str:
        return "GlobalFlags(...)"  # may hold an MFA code or a password
