"""Values that the parts of a fleet run share."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum

from aws_runas.dataclass import dataclass
from aws_runas.errors import SessionError


@dataclass(frozen=True, slots=True, order=True)
class Pair:
    """A profile and a region: one set of credentials, one service endpoint.

    Args:
        profile: name or role ARN.
        region: AWS region.
        account: the caller's account, 12 digits; "" if it is not known.
    """

    profile: str
    region: str
    account: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Host:
    """An instance of a pair."""

    pair: Pair
    instance_id: str
    name: str = ""

    @property
    def label(self) -> str:
        """The displayed name; the id if the instance has no name."""
        return self.name or self.instance_id


class InstancesGoneError(SessionError):
    """SendCommand refused a call because of some instances; nothing was sent to the others either.

    Args:
        message: text for the user.
        instance_ids: ids that the service named; empty if it named none.
    """

    def __init__(self, message: str, instance_ids: Collection[str]) -> None:
        super().__init__(message, code="instances-gone")
        self.instance_ids = frozenset(instance_ids)


class State(Enum):
    """Outcome of a command on a host."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    NOT_DELIVERED = "not-delivered"
    CANCELLED = "cancelled"
    NOT_RUN = "not-run"
    OFFLINE = "offline"
    REFUSED = "refused"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        """True if the state does not change any more."""
        return self not in (State.WAITING, State.RUNNING)


# StatusDetails of an invocation -> state, and whether it counts against --max-errors.
# Source: AWS Systems Manager user guide, "Understanding command statuses". ADR 0907.
FINAL_DETAILS: dict[str, tuple[State, bool]] = {
    "Success": (State.SUCCESS, False),
    "Failed": (State.FAILED, True),
    "Cancelled": (State.CANCELLED, False),
    "TimedOut": (State.TIMED_OUT, True),
    "Execution Timed Out": (State.TIMED_OUT, True),
    "ExecutionTimedOut": (State.TIMED_OUT, True),
    "Delivery Timed Out": (State.NOT_DELIVERED, False),
    "DeliveryTimedOut": (State.NOT_DELIVERED, False),
    "Undeliverable": (State.NOT_DELIVERED, False),
    "Terminated": (State.NOT_RUN, False),
    "InvalidPlatform": (State.REFUSED, False),
    "Invalid Platform": (State.REFUSED, False),
    "AccessDenied": (State.REFUSED, False),
    "Access Denied": (State.REFUSED, False),
}
STARTED_DETAILS = ("InProgress", "In Progress", "Cancelling")  # an agent has received the command


@dataclass(frozen=True, slots=True)
class Invocation:
    """State of a command on one instance, as the service reports it.

    Args:
        details: StatusDetails.
        output: stdout; from ListCommandInvocations, both streams in one text.
        error: stderr; "" from ListCommandInvocations.
        exit_status: ResponseCode; -1 if the command has not run yet.
        whole: output and error came from GetCommandInvocation, so the service has no more of them.
    """

    instance_id: str
    details: str
    output: str = ""
    error: str = ""
    exit_status: int = -1
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a command on a host.

    Args:
        details: StatusDetails, or a reason.
        exit_status: status of the command; None if it did not run or its status is unknown.
        stdout, stderr: output, as far as the service has it.
        truncated: bytes of stdout or stderr are missing.
        missing: number of missing bytes of stdout, if known.
        seconds: time from sending the command to the poll that saw its end.
        command_id: id in Run Command; "" if nothing was sent.
    """

    host: Host
    state: State
    details: str = ""
    exit_status: int | None = None
    stdout: str = ""
    stderr: str = ""
    truncated: bool = False
    missing: int = 0
    seconds: float = 0.0
    command_id: str = ""


@dataclass(frozen=True, slots=True)
class Send:
    """Call SendCommand for these hosts of one pair."""

    pair: Pair
    hosts: tuple[Host, ...]
    max_errors: int


@dataclass(frozen=True, slots=True)
class Poll:
    """Call ListCommandInvocations with Details, all pages."""

    pair: Pair
    command_id: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """Call GetCommandInvocation."""

    host: Host
    command_id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Call CancelCommand."""

    pair: Pair
    command_id: str


Action = Send | Poll | Fetch | Cancel


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a run.

    Args:
        concurrency: number of hosts that run at a time, over all pairs.
        max_errors: the run stops sending once more hosts than this have failed.
        delivery: seconds in which an agent must receive a command.
        execution: seconds that a command may run.
        fetch_all: always fetch the full output, because the script has no counts (PowerShell).
        fetch_ended: fetch the output of each host that was cancelled or timed out and has no output in the list.
            Otherwise, it is only fetched from hosts that were seen running.
    """

    concurrency: int = 50
    max_errors: int = 0
    delivery: float = 120.0
    execution: float = 3600.0
    fetch_all: bool = False
    fetch_ended: bool = False
