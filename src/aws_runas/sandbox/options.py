"""Options of a sandbox, and the faults that it can simulate (spec 13.9)."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import field

from aws_runas.dataclass import dataclass

PUBLICATION_FORMS = ("json", "wrong-digest", "text", "empty")
SIGNATURE_RULES = ("optional", "required", "refused")
MANNERS = ("official", "kind")
PACES = ("official", "none")

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_time(text: str, *, negative: bool = False) -> float:
    """Parse ``20ms``, ``1.5s``, ``10m`` or ``1h`` and return seconds.

    Args:
        text: from the command line.
        negative: accept a minus sign.

    Raises:
        ValueError: the text is not a duration; the message is for users.
    """
    match = re.fullmatch(r"(-?)(\d+(?:\.\d+)?)(ms|s|m|h)", text.strip(), re.ASCII)
    if match is None or (match[1] and not negative):
        raise ValueError("must be a time like 20ms, 5s or 10m")
    return float(match[1] + match[2]) * UNITS[match[3]]


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults of the service, each off by default. Times are seconds of the sandbox's clock.

    Args:
        close_after: the service closes every data channel's connection (1000 "Bye") this long after it was opened.
        new_cell: each resume returns another stream address, and the old one is refused.
        signature: the signature of the WebSocket request: optional (checked if present), required or refused.
        presign: the stream address is signed by the service (``X-Amz-Signature``) and needs no other signature.
        frame_limit: frames per second; after two seconds above it, the service pauses the agent, then cuts the
            connection.
        pause_undeliverable: send a pause_publication for each message that cannot be delivered.
        publication: format of the body of start_publication and pause_publication.
        start_after_output: send start_publication only after the first output; "never" is ``no_start``.
        no_start: never send start_publication.
        away: seconds after the start of a session during which the agent is not connected.
        leave_after: seconds after which an agent that has joined disconnects; it is back after `away`, or 1 second.
        loss, duplicate, reorder: probability of each for a relayed frame, in both directions.
        delay: seconds by which each relayed frame is delayed.
        seed: the seed for the random numbers of the probabilities.
        end_after: seconds after which the service ends the session, with end_output as the reason.
        start_slow, end_slow, sts_slow: seconds by which StartSession, TerminateSession, or every STS call, is delayed.
        start_fails, resume_fails: error code that StartSession, or ResumeSession, returns.
        signin_fails: the error that the sign-in service returns, for instance TOKEN_EXPIRED or server_error.
        federation_get_only: the console's federation endpoint refuses POST.
        single_use_tokens: a token is valid for one connection.
        sso_token_life: lifetime of an access token of single sign-on, in seconds.
        sso_rate: list calls per second above which the portal answers TooManyRequestsException; 0 refuses every
            call but Logout.
        sso_accounts: additional accounts in the portal.
        start_rate: calls of StartSession per second above which they are throttled; the real quota is about 3.
    """

    close_after: float | None = None
    new_cell: bool = False
    signature: str = "optional"
    presign: bool = False
    frame_limit: float | None = None
    pause_undeliverable: bool = False
    publication: str = "json"
    start_after_output: bool = False
    no_start: bool = False
    away: float = 0.0
    leave_after: float | None = None
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay: float = 0.0
    seed: int = 0
    end_after: float | None = None
    end_output: str = ""
    start_slow: float = 0.0
    end_slow: float = 0.0
    sts_slow: float = 0.0
    start_fails: str = ""
    resume_fails: str = ""
    signin_fails: str = ""
    federation_get_only: bool = False
    single_use_tokens: bool = True
    start_rate: float | None = None
    sso_token_life: float = 8 * 3600.0
    sso_rate: float = 20.0
    sso_accounts: int = 0

    def changed(self, values: Mapping[str, object]) -> Faults:
        """Return these faults with other values for some fields.

        Args:
            values: by field name, with JSON types.

        Raises:
            TypeError: there is no such field.
        """
        return Faults(**json.loads(json.dumps(dataclasses.asdict(self) | {**values})))


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """Settings of a sandbox.

    Args:
        port: the port of the AWS endpoint on 127.0.0.1; 0 lets the system pick.
        faults: see Faults.
        agent_version: version that the agents report and behave like.
        agent_rate: maximum number of frames per second that an agent sends; official agents reach about 650.
        agent_manners: "official": with the quirks of official agents (docs/how-to/sandbox.md); "kind": without them.
        agent_pace: "official": the agent sleeps as official agents do, 1 s before its first read of a terminal and 1 ms
            after each read. It also writes each acknowledgement by itself, so that each can wake the client.
        shell_profile: commands of the account's preferences, typed into each shell before the client's input.
        run_as: RunAs user name in the preferences; "" for ssm-user.
        log_group: CloudWatch log group of the preferences.
        kms: sessions of shells and commands are encrypted with the sandbox's KMS key.
        clock_offset: seconds by which the service's clock is ahead of this machine's.
        clock_speed: seconds of the service per second of this machine; lifetimes are divided by it.
        region: the region of all profiles.
        instances: number of additional instances for Run Command, named fleet-000 and so on, with the tag Fleet=yes.
        eventual: seconds until a new command of Run Command is visible.
        ssm_rate: calls of ListCommandInvocations and GetCommandInvocation per second above which they are throttled.
        external_agents: instances without an agent of the sandbox; external agents may connect to their data channels.
    """

    port: int = 0
    faults: Faults = field(default_factory=Faults)
    agent_version: str = "3.3.0.0"
    agent_rate: float | None = None
    agent_manners: str = "official"
    agent_pace: str = "none"
    shell_profile: str = ""
    run_as: str = ""
    log_group: str = ""
    kms: bool = False
    clock_offset: float = 0.0
    clock_speed: float = 1.0
    region: str = "us-east-1"
    external_agents: tuple[str, ...] = ()
    instances: int = 0
    eventual: float = 0.0
    ssm_rate: float | None = None

    def to_json(self) -> str:
        """Return the options as JSON, for another process."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SandboxOptions:
        """Read the result of `to_json`."""
        values = json.loads(text)
        values["faults"] = Faults(**values["faults"])
        values["external_agents"] = tuple(values["external_agents"])
        return cls(**values)
