"""The manual page, in the man macros of troff, made from the same tables as the help."""

from __future__ import annotations

import argparse
import textwrap

from aws_runas import __version__
from aws_runas.cli.parsing.flags import GROUPS
from aws_runas.cli.parsing.help import EXAMPLES, PROGRAM, SUMMARY, arguments, flags, usage
from aws_runas.cli.parsing.parser import COMMANDS, build_parser, commands, load

DATE = "2026-11-23"  # of the page's last change
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
)
STATUSES = (
    ("0", "success"),
    ("2", "the command line cannot be understood"),
    ("3", "a profile, a config file or a variable is missing or damaged"),
    ("4", "there are no credentials, or AWS refused them"),
    ("5", "the target of a session was not found"),
    ("6", "the session failed"),
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
        ".SH EXAMPLES",
        *_tagged(EXAMPLES),
        ".SH COMMANDS",
        *described,
        ".SH OPTIONS",
        *options,
        ".SH ENVIRONMENT",
        *_tagged(VARIABLES),
        ".SH EXIT STATUS",
        *_tagged(STATUSES),
    ]
    return "\n".join(lines) + "\n"


def _command_manual(name: str) -> str:
    module = load(name)
    parser = build_parser(name, module)
    examples = [(line, text) for line, text in getattr(module, "EXAMPLES", ())]
    own = flags(parser, "")
    lines = [
        f'.TH {PROGRAM.upper()}-{name.upper()} 1 {DATE} "{PROGRAM} {__version__}" "User Commands"',
        ".SH NAME",
        *_text(f"{PROGRAM}-{name} - {module.SUMMARY}"),
        ".SH SYNOPSIS",
        *_synopsis(f"[<flags>] {usage(name, module, parser)}", first=True),
    ]
    for title, rows in (("EXAMPLES", examples), ("ARGUMENTS", arguments(parser)), ("OPTIONS", own)):
        lines += [f".SH {title}", *_tagged(rows)] if rows else []
    lines += [
        ".SH EXIT STATUS",
        *_tagged(STATUSES),
        ".SH SEE ALSO",
        *_text(f"{PROGRAM}(1) describes the flags that every command takes."),
    ]
    return "\n".join(lines) + "\n"


def _command(name: str, summary: str, parser: argparse.ArgumentParser) -> list[str]:
    aliases = [alias for alias, module_name in COMMANDS.items() if module_name == name and alias != name]
    also = f" Also spelled {', '.join(aliases)}." if aliases else ""
    return [
        f".SS {name}",
        *_text(f"{summary}.{also}"),
        *_tagged(flags(parser, "")),
        *_tagged(arguments(parser)),
    ]


def _synopsis(rest: str, *, first: bool = False) -> list[str]:
    return [*([] if first else [".br"]), f".B {_escape(PROGRAM)}", *_text(rest)]


def _tagged(rows: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> list[str]:
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
