"""The manual pages, in the man macros of troff, made from the same tables as the help.

Source: man-pages(7) for the sections and their order.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence

from aws_runas import __version__
from aws_runas.cli.parsing.flags import GROUPS
from aws_runas.cli.parsing.help import EXAMPLES, PROGRAM, SUMMARY, arguments, flags, usage
from aws_runas.cli.parsing.parser import COMMANDS, build_parser, commands, load

Row = tuple[str, str]

DATE = "2026-11-27"  # of the page's last change
WIDTH = 78  # characters of a source line, mandoc's style
VARIABLES = (
    ("AWS_PROFILE, AWS_DEFAULT_PROFILE", "the profile; all positional arguments then belong to the command"),
    ("AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE", "files that hold the profiles"),
    ("AWS_REGION, AWS_DEFAULT_REGION", "the region"),
    ("AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE>", "endpoints of the services"),
    ("SESSION_TOKEN_DURATION", "lifetime of the session token, like --duration"),
    ("CREDENTIALS_DURATION", "lifetime of the role credentials, like --role-duration"),
    ("MFA_CODE, MFA_SERIAL", "the MFA code and device, like --otp and --mfa-arn"),
    ("EXTERNAL_ID", "like --external-id"),
    ("SAML_AUTH_URL, WEB_AUTH_URL", "identity provider, like --saml-url and --web-url"),
    ("RUNAS_PROVIDER, RUNAS_USERNAME, RUNAS_PASSWORD", "for both; like --provider, --username and --password"),
    ("WEB_CLIENT_ID, WEB_REDIRECT_URI", "like --web-client and --web-redirect"),
    ("JUMP_ROLE_ARN, MFA_TYPE, AUTH_BROWSER", "further settings of the sign-in"),
    ("RUNAS_ENV_CREDENTIALS", "1, true, yes or on: like --env"),
    ("RUNAS_SESSION_CREDENTIALS", "1, true, yes or on: like --session"),
    ("RUNAS_VERBOSE", "1, true, yes or on: like --verbose"),
    ("RUNAS_OUTPUT_FORMAT", "like --output"),
    ("RUNAS_CACHE_DIR", "cache directory"),
    ("RUNAS_TUNNELS_FILE", "file of the named tunnels"),
    ("RUNAS_STREAM_HOST", "like --stream-host"),
    (
        "RUNAS_DNS_SERVER, RUNAS_RESOLV_CONF",
        "name server for targets, and its configuration instead of /etc/resolv.conf",
    ),
    ("RUNAS_RELEASES_URL", "release page that --update reads"),
    ("RUNAS_KEYRING", "keyring of access keys: auto, secret-service, keychain, wincred, kwallet, pass or file"),
    ("RUNAS_KEYRING_PASSPHRASE", "passphrase of the keyring file; programs that are run do not get it"),
    ("RUNAS_LOGIN", "whether a sign-in may start by itself: ask, always or never"),
    ("RUNAS_LOGIN_FLOW", "browser, device or auto, like sso_login_flow of the config file"),
    ("RUNAS_BROWSER, BROWSER", "command that opens a browser; %s in it is the address"),
    ("RUNAS_SIGNIN_URL", "sign-in address of console, instead of that of AWS"),
    ("RUNAS_ECR_IGNORE_STORE", "the credential helper accepts and ignores store and erase"),
    ("RUNAS_SANDBOX, RUNAS_SANDBOX_TOKEN", "set by sandbox for the programs inside it"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "token that serve ecs requires, instead of a new one at each start"),
)
# Verb -> names of the variables that it reads beyond those of every verb.
COMMON_VARIABLES = ("AWS_PROFILE", "AWS_CONFIG_FILE", "AWS_REGION", "RUNAS_CACHE_DIR")
SESSION_VARIABLES = ("RUNAS_STREAM_HOST", "RUNAS_DNS_SERVER")
VERB_VARIABLES = {
    "console": ("RUNAS_BROWSER", "RUNAS_SIGNIN_URL"),
    "cp": SESSION_VARIABLES,
    "ecr": ("RUNAS_ECR_IGNORE_STORE",),
    "fleet": SESSION_VARIABLES,
    "forward": SESSION_VARIABLES,
    "keys": ("RUNAS_KEYRING", "RUNAS_KEYRING_PASSPHRASE"),
    "login": ("RUNAS_LOGIN_FLOW", "RUNAS_BROWSER"),
    "password": ("RUNAS_KEYRING", "RUNAS_KEYRING_PASSPHRASE"),
    "run": SESSION_VARIABLES,
    "sandbox": ("RUNAS_SANDBOX",),
    "serve": ("AWS_CONTAINER_AUTHORIZATION_TOKEN",),
    "shell": SESSION_VARIABLES,
    "ssh": SESSION_VARIABLES,
    "sso": ("RUNAS_LOGIN_FLOW", "RUNAS_BROWSER"),
    "tunnels": ("RUNAS_TUNNELS_FILE", *SESSION_VARIABLES),
}
FILES = (
    ("~/.aws/config, ~/.aws/credentials", "the profiles; AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name others"),
    (
        "~/.aws/aws-runas/cache",
        "cached credentials; may be removed at any time; RUNAS_CACHE_DIR names another directory",
    ),
    ("~/.aws/aws-runas/keyring", "access keys in an encrypted file, if the system has no keyring"),
    ("~/.aws/aws-runas/tunnels.toml", "the named tunnels; RUNAS_TUNNELS_FILE names another file"),
)
STATUSES = (
    ("0", "success"),
    ("1", "an internal error, or a failure that no other status describes"),
    ("2", "the command line cannot be understood"),
    ("3", "a profile, a config file or a variable is missing or damaged"),
    ("4", "there are no credentials, or AWS refused them"),
    ("5", "the target of a session was not found"),
    ("6", "the session failed"),
    ("124", "the command of run took longer than --timeout"),
    ("126", "the program cannot be executed"),
    ("127", "the program was not found"),
    ("128+n", "the program was killed by signal n"),
    ("130", "interrupted"),
)


def manual(command: str = "") -> str:
    """Compose the page of the program, or of one of its commands.

    Args:
        command: name of the command, "" for the program.
    """
    return _command_manual(command) if command else _program_manual()


def _program_manual() -> str:
    module = load("exec")
    lines = [
        f'.TH {PROGRAM.upper()} 1 {DATE} "{PROGRAM} {__version__}" "User Commands"',
        ".SH NAME",
        *_text(f"{PROGRAM} - {SUMMARY}"),
        ".SH SYNOPSIS",
        *_synopsis(
            f"[<flags>] {usage('exec', module, build_parser('exec', module)).removeprefix('exec ')}", first=True
        ),
    ]
    described: list[str] = []
    options: list[str] = []
    for group, title in GROUPS.items():
        options += [f".SS {title}", *_tagged(flags(build_parser("exec", module), group))]
    for name, each, parser in commands():
        lines += _synopsis(f"[<flags>] {usage(name, each, parser)}")
        described += _command(name, each.SUMMARY, parser)
    lines += [
        ".SH DESCRIPTION",
        *_text(
            "Turns a profile of the AWS config file, or a role ARN, into credentials, and runs a program with them."
        ),
        *_text("Flags end at the first positional or at --: what follows belongs to the program."),
        ".SH COMMANDS",
        *described,
        ".SH OPTIONS",
        *options,
        *_ends(VARIABLES, EXAMPLES),
        ".SH SEE ALSO",
        *_text(", ".join(f"{PROGRAM}-{name}(1)" for name, _, _ in commands() if name != "exec")),
    ]
    return "\n".join(lines) + "\n"


def _command_manual(name: str) -> str:
    module = load(name)
    parser = build_parser(name, module)
    examples = getattr(module, "EXAMPLES", ())
    own = flags(parser, "")
    lines = [
        f'.TH {PROGRAM.upper()}-{name.upper()} 1 {DATE} "{PROGRAM} {__version__}" "User Commands"',
        ".SH NAME",
        *_text(f"{PROGRAM}-{name} - {module.SUMMARY}"),
        ".SH SYNOPSIS",
        *_synopsis(f"[<flags>] {usage(name, module, parser)}", first=True),
        ".SH DESCRIPTION",
        *_text(_summary(name, module.SUMMARY)),
    ]
    for title, rows in (("ARGUMENTS", arguments(parser)), ("OPTIONS", own)):
        lines += [f".SH {title}", *_tagged(rows)] if rows else []
    lines += [
        *_ends(_variables(name), examples),
        ".SH SEE ALSO",
        *_text(f"{PROGRAM}(1) describes the flags that every command takes, and all variables."),
    ]
    return "\n".join(lines) + "\n"


def _variables(verb: str) -> list[Row]:
    """Return the rows of the variables that a verb reads."""
    names = {*COMMON_VARIABLES, *VERB_VARIABLES.get(verb, ())}
    return [row for row in VARIABLES if names & set(row[0].split(", "))]


def _ends(variables: Sequence[Row], examples: Sequence[Row]) -> list[str]:
    """Return the sections that follow the options on each page."""
    lines = [".SH EXIT STATUS", *_tagged(STATUSES)]
    for title, rows in (("ENVIRONMENT", variables), ("FILES", FILES), ("EXAMPLES", examples)):
        lines += [f".SH {title}", *_tagged(rows)] if rows else []
    return lines


def _command(name: str, summary: str, parser: argparse.ArgumentParser) -> list[str]:
    return [
        f".SS {name}",
        *_text(_summary(name, summary)),
        *_tagged(flags(parser, "")),
        *_tagged(arguments(parser)),
    ]


def _summary(name: str, summary: str) -> str:
    """Return the summary of a command as sentences, with its aliases."""
    aliases = [alias for alias, module_name in COMMANDS.items() if module_name == name and alias != name]
    return f"{summary}." + (f" Also spelled {', '.join(aliases)}." if aliases else "")


def _synopsis(rest: str, *, first: bool = False) -> list[str]:
    return [*([] if first else [".br"]), f".B {_escape(PROGRAM)}", *_text(rest)]


def _tagged(rows: Sequence[Row]) -> list[str]:
    lines = []
    for left, right in rows:
        lines += [".TP", f".B {_escape(left.strip())}", *_text(right or left.strip())]
    return lines


def _text(text: str) -> list[str]:
    """Break text into source lines. None of them begins with a character that starts a request in troff."""
    lines = textwrap.wrap(_escape(text), WIDTH, break_long_words=False, break_on_hyphens=False)
    return [f"\\&{line}" if line.startswith((".", "'")) else line for line in lines]


def _escape(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")
