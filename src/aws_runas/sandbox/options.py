"""Options of a sandbox, and the faults that it can play (spec 13.9)."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

PUBLICATION_FORMS = ("json", "wrong-digest", "text", "empty")
SIGNATURE_RULES = ("optional", "required", "refused")
MANNERS = ("official", "kind")
PACES = ("official", "none")

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_time(text: str, *, negative: bool = False) -> float:
    """Read ``20ms``, ``1.5s``, ``10m`` or ``1h``.

    Returns:
        Seconds.

    Raises:
        ValueError: it is none; the message can be shown.
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
        new_cell: each resume names another stream address, and the old one is refused.
        signature: of the WebSocket request: checked when present (optional), demanded, or not served at all (refused).
        presign: the stream address carries a signature of its own (``X-Amz-Signature``) and needs no other.
        frame_limit: frames a second, above which for two seconds the service pauses the agent and cuts the connection.
        pause_undeliverable: a pause_publication for each message that cannot be delivered.
        publication: form of the body of start_publication and pause_publication.
        start_after_output: send start_publication only after the first output; "never" is ``no_start``.
        no_start: never send start_publication.
        away: the agent is away (not connected) for so long after the session has started.
        leave_after: the agent leaves so long after it has joined, for a second or as long as away says, and comes back.
        loss, duplicate, reorder: probability of each for a relayed frame, both ways.
        delay: seconds that each relayed frame is under way.
        seed: of the random numbers behind the probabilities.
        end_after: the service ends the session after so long, with end_output as its reason.
        start_slow, sts_slow: seconds by which StartSession, and every STS call, is late.
        start_fails, resume_fails: an error code that StartSession, or ResumeSession, answers.
        signin_fails: the error that the sign-in service answers, for instance TOKEN_EXPIRED or server_error.
        federation_get_only: the console's federation endpoint does not take POST.
        single_use_tokens: a token is good for one connection.
        sso_token_life: seconds that an access token of single sign-on lives.
        sso_rate: list calls of the portal a second, above which they answer TooManyRequestsException; 0 refuses every
            call but Logout.
        sso_accounts: further accounts in the portal.
        start_rate: calls of StartSession a second, above which they are throttled; the real quota is about 3.
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
            values: by name of the field, as JSON has them.

        Raises:
            TypeError: there is no such field.
        """
        return Faults(**json.loads(json.dumps(dataclasses.asdict(self) | {**values})))


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """One sandbox.

    Args:
        port: of the AWS endpoint on 127.0.0.1; 0 lets the system pick.
        faults: see Faults.
        agent_version: what the agents say they are, and behave like.
        agent_rate: frames a second that an agent sends at most; official ones manage about 650.
        agent_manners: "official": as awkward as official agents (docs/how-to/sandbox.md); "kind": nothing of that.
        agent_pace: "official": the agent sleeps as official ones do, 1 s before its first read of a terminal and 1 ms
            after each read.
        shell_profile: typed into each shell before the client's input, as the account's preferences say.
        run_as: user name of the preferences' RunAs; "" for ssm-user.
        log_group: CloudWatch log group of the preferences.
        kms: sessions of shells and commands are encrypted with the sandbox's KMS key.
        clock_offset: seconds by which the service's clock is ahead of this machine's.
        clock_speed: how much faster than ours the service's time runs: lifetimes are divided by it.
        region: of all profiles.
        instances: further instances for Run Command, named fleet-000 and so on, with the tag Fleet=yes.
        eventual: seconds until a command of Run Command can be seen.
        ssm_rate: calls of ListCommandInvocations and GetCommandInvocation a second, then they are throttled.
        external_agents: instances whose agent is not ours: they wait for one to connect to the data channel.
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
        """Write the options for another process."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SandboxOptions:
        """Read what to_json wrote."""
        values = json.loads(text)
        values["faults"] = Faults(**values["faults"])
        values["external_agents"] = tuple(values["external_agents"])
        return cls(**values)
