"""Flags that shell, forward and ssh share: settings of the SSM session and its stream, and the choice of client."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from aws_runas.cli.environment import Environment
from aws_runas.dataclass import dataclass
from aws_runas.errors import UsageError

if TYPE_CHECKING:
    from aws_runas.aws.access import Access
    from aws_runas.ssm.transport.data_channel import StreamOptions

MAX_PAYLOAD: Final = 32 * 1024  # bytes; the largest payload that the service was seen to accept (spec 13.2)
MIN_PAYLOAD: Final = 64
MAX_RATE: Final = 1_000_000
REASON_LENGTH: Final = 256  # characters, AWS API reference, StartSession


@dataclass(frozen=True, slots=True)
class SessionFlags:
    """The session flags; None for each that was not given.

    Args:
        plugin: use the external session-manager-plugin instead of our own client.
        quiet: print only errors.
        reason: shown in the session history of the service.
        rate: frames a second, 0 for no limit.
        window: unacknowledged bytes, 0 for no limit.
        payload_size: bytes in a message.
        stream_host: host to connect to instead of the host in the StreamUrl.
        pick: let the user choose if several instances match.
    """

    plugin: bool = False
    quiet: bool = False
    reason: str | None = None
    rate: int | None = None
    window: int | None = None
    payload_size: int | None = None
    stream_host: str | None = None
    pick: bool = False


def add_session_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags that all session commands have.

    Args:
        parser: parser of a command.
    """
    parser.add_argument(
        "--plugin", action="store_true", help="Use the external session-manager-plugin instead of the native client"
    )
    parser.add_argument(
        "--reason", metavar="TEXT", help="Reason stored in the service's session history, up to 256 characters"
    )
    add_pick_flag(parser)
    add_channel_flags(parser)
    parser.add_argument(
        "--stream-host", metavar="HOST", help="Connect the stream to this host[:port], such as an interface endpoint"
    )


def check_picker(usage: str, env: Environment) -> None:
    """Check that a command line without a target can ask for it on the terminal.

    Args:
        usage: how to write the target, for the error.
        env: its TERM says what the terminal can do.

    Raises:
        UsageError: there is no terminal.
    """
    from aws_runas.cli.terminal.picker import picker

    if picker(env.environ) is None:
        raise UsageError("no target given", code="target-missing", hint=f"{usage}, or choose with --pick on a terminal")


def add_pick_flag(parser: argparse.ArgumentParser) -> None:
    """Declare the flag of the picker.

    Args:
        parser: parser of a command.
    """
    parser.add_argument("--pick", action="store_true", help="Choose the target from a list on the terminal")


def add_channel_flags(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of the data channel.

    Args:
        parser: parser of a command.
    """
    add = parser.add_argument
    add("--rate", metavar="FRAMES|off", help="Maximum messages per second of one session (default 925)")
    add("--window", metavar="BYTES|off", help="Maximum unacknowledged bytes of one session (default 262144)")
    add("--payload-size", metavar="BYTES", help="Data bytes per message, 64 to 32768 (default 1024)")


def read_session_flags(namespace: argparse.Namespace) -> SessionFlags:
    """Check the values of the session flags.

    Args:
        namespace: parsed arguments.

    Raises:
        UsageError: a value is invalid.
    """
    reason = namespace.reason
    if reason is not None and not 1 <= len(reason) <= REASON_LENGTH:
        raise UsageError(f"--reason takes 1 to {REASON_LENGTH} characters, not {len(reason)}", code="reason-invalid")
    payload_size = _number("--payload-size", namespace.payload_size, MIN_PAYLOAD, MAX_PAYLOAD)
    window = _number("--window", namespace.window, 0, 1 << 30)
    if window and window < (payload_size or 1024):
        raise UsageError(f"--window {window} is less than one message", code="window-invalid")
    return SessionFlags(
        plugin=namespace.plugin,
        quiet=namespace.quiet,
        reason=reason,
        rate=_number("--rate", namespace.rate, 0, MAX_RATE),
        window=window,
        payload_size=payload_size,
        stream_host=namespace.stream_host,
        pick=namespace.pick,
    )


def stream_options(flags: SessionFlags, access: Access, env: Environment) -> StreamOptions:
    """Return the options of the data channel, from flags, profile and environment.

    Args:
        flags: session flags.
        access: the profile.
        env: its proxy variables and RUNAS_STREAM_HOST.

    Raises:
        ConfigError: the certificates named by AWS_CA_BUNDLE cannot be used.
    """
    from aws_runas.ssm.core.settings import ChannelSettings
    from aws_runas.ssm.transport.data_channel import StreamOptions
    from aws_runas.ssm.transport.dialling import Dialling

    standard = ChannelSettings()
    unlimited = flags.rate == 0
    window = flags.window if flags.window is not None else (0 if unlimited else standard.window_bytes)
    return StreamOptions(
        settings=ChannelSettings(
            payload_size=flags.payload_size or standard.payload_size,
            frame_rate=None if unlimited else float(flags.rate or standard.frame_rate or 0),
            window_bytes=window or None,
        ),
        dialling=Dialling(
            stream_host=flags.stream_host or env.environ.get("RUNAS_STREAM_HOST") or None,
            ca_bundle=ca_bundle(access, env),
            environ=env.environ,
        ),
    )


def ca_bundle(access: Access, env: Environment) -> str | None:
    """Return the file of trusted certificates: AWS_CA_BUNDLE, else ``ca_bundle`` of the profile, as in botocore.

    Args:
        access: the profile.
        env: the variables.
    """
    section = access.profile.sections.get(access.profile.section or "")
    from_profile = section.text("ca_bundle") if section is not None else None
    return env.environ.get("AWS_CA_BUNDLE") or from_profile or env.environ.get("REQUESTS_CA_BUNDLE") or None


def _number(name: str, text: str | None, least: int, most: int) -> int | None:
    if text is None:
        return None
    if text == "off" and least == 0:
        return 0
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise UsageError(f"{name} takes a whole number from {least} to {most}, not {text!r}", code="number-invalid")
    return int(text)


def parse_parameters(words: Iterable[str]) -> dict[str, list[str]]:
    """Read ``--parameter NAME=VALUE``. A repeated name gets one more value.

    Raises:
        UsageError: a word does not have that form.
    """
    parameters: dict[str, list[str]] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not name or not separator:
            raise UsageError(
                f"--parameter takes NAME=VALUE, not {word!r}",
                code="document-parameter-invalid",
                hint="for instance --parameter command='df -h'",
            )
        parameters.setdefault(name, []).append(value)
    return parameters
