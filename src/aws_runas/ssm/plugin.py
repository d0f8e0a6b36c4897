"""Find the external session-manager-plugin, check its version, and build its command line.

The plugin gets the token of the session in an environment variable. A plugin that is too old for that gets the token
as an argument, which every user of the machine can read while the session runs. The user is then warned.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import field
from typing import Final

from aws_runas.aws.session import StartedSession
from aws_runas.dataclass import dataclass
from aws_runas.errors import SessionError

PROGRAM: Final = "session-manager-plugin"
Version = tuple[int, int, int, int]
MIN_VERSION: Final[Version] = (1, 1, 26, 0)  # the first version that forwards ports
LAST_WITHOUT_VARIABLE: Final[Version] = (1, 2, 497, 0)  # Source: AWS CLI, customizations/sessionmanager.py
RECOMMENDED: Final[Version] = (1, 2, 764, 0)  # the first version that signs its request (spec 13.1)
RESPONSE_VARIABLE: Final = "AWS_SSM_START_SESSION_RESPONSE"
VERSION_TIMEOUT: Final = 10.0  # seconds
_WHERE: Final = (
    "see https://docs.aws.amazon.com/systems-manager/latest/userguide/"
    "session-manager-working-with-install-plugin.html, or leave --plugin out"
)


@dataclass(frozen=True, slots=True)
class PluginCall:
    """Command line and environment variables of the plugin for one session.

    Args:
        arguments: the program and its arguments.
        variables: added to its environment; they hold the token.
        warnings: lines for the user.
    """

    arguments: tuple[str, ...] = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plugin.

    Args:
        path: path of the program.
        version: version that it reports.
    """

    path: str
    version: Version

    def call(
        self, started: StartedSession, request: Mapping[str, object], region: str, endpoint_url: str
    ) -> PluginCall:
        """Return the call that starts the plugin, with the same arguments as the AWS CLI.

        Args:
            started: reply of StartSession.
            request: parameters of StartSession.
            region, endpoint_url: where the plugin calls ResumeSession and TerminateSession.
        """
        response = json.dumps(
            {"SessionId": started.session_id, "TokenValue": started.token, "StreamUrl": started.stream_url}
        )
        warnings = []
        if self.version < RECOMMENDED:
            warnings.append(
                f"{PROGRAM} {render_version(self.version)} does not sign its request; the service may refuse it "
                f"(update to {render_version(RECOMMENDED)} or later)"
            )
        variables = {}
        if self.version > LAST_WITHOUT_VARIABLE:
            variables[RESPONSE_VARIABLE] = response
            response = RESPONSE_VARIABLE
        else:
            warnings.append(
                "it takes the session's token as an argument only, which other users of this machine can see"
            )
        profile = ""  # the plugin then uses the credentials in its environment
        arguments = (self.path, response, region, "StartSession", profile, json.dumps(dict(request)), endpoint_url)
        return PluginCall(arguments, variables, tuple(warnings))


def find_plugin(environ: Mapping[str, str]) -> Plugin:
    """Find the plugin in PATH and query its version.

    Args:
        environ: environment variables.

    Raises:
        SessionError: the plugin is not installed, does not answer, or is too old.
    """
    path = shutil.which(PROGRAM, path=environ.get("PATH"))
    if path is None:
        raise SessionError(f"{PROGRAM} is not in PATH", code="plugin-not-found", hint=_WHERE)
    try:
        answer = subprocess.run(
            [path, "--version"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_TIMEOUT,
            check=False,
        ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SessionError(f"{path} does not report its version: {error}", code="plugin-broken", hint=_WHERE) from None
    version = parse_version(answer)
    if version is None:
        raise SessionError(
            f"{path} says that its version is {answer.strip()[:40]!r}", code="plugin-broken", hint=_WHERE
        )
    if version < MIN_VERSION:
        raise SessionError(
            f"{path} is version {render_version(version)}; {render_version(MIN_VERSION)} or later is needed",
            code="plugin-too-old",
            hint=_WHERE,
        )
    return Plugin(path, version)


def parse_version(text: str) -> Version | None:
    """Read one to four dotted numbers; missing ones count as 0. Return None for any other text."""
    parts = text.strip().split(".")
    if not 1 <= len(parts) <= 4 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        return None
    a, b, c, d = [*(int(part) for part in parts), 0, 0, 0][:4]
    return a, b, c, d


def render_version(version: Version) -> str:
    """Return a version as text, for example ``1.2.764.0``."""
    return ".".join(map(str, version))
