"""StartSession for a command: throttling, refusals and instances that are not connected, in time that is passed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from aws_runas.aws.session import StartedSession
from aws_runas.errors import AwsRunasError, SessionError, TargetError, UsageError
from aws_runas.ssm.command.carrier import DOCUMENT, Carrier, SessionStarter, carrier_for_agent, choose_carrier
from aws_runas.ssm.command.guardian import sessions_left
from aws_runas.ssm.command.request import CommandRequest

THROTTLED = SessionError("slow down", code="throttled")
DENIED = SessionError("no", code="session-denied")
OFFLINE = TargetError("i-x is not connected", code="target-not-connected")


class Refused:
    """Implements Refusals in memory."""

    def __init__(self, *documents: str) -> None:
        self.documents = set(documents)

    def is_refused(self, document: str) -> bool:
        return document in self.documents

    def add(self, document: str) -> None:
        self.documents.add(document)


class Service:
    """Implements SessionApi with answers in order, and a clock that sleeps move."""

    def __init__(self, *answers: AwsRunasError | None) -> None:
        self.answers = list(answers)
        self.documents: list[str | None] = []
        self.now = 0.0

    def start_session(
        self,
        target: str,
        document: str | None = None,
        parameters: Mapping[str, Sequence[str]] | None = None,
        reason: str | None = None,
    ) -> StartedSession:
        self.documents.append(document)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            raise answer
        return StartedSession("s", "wss://x", "t", target)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _starter(service: Service, said: list[str], *, wait: float = 0.0, fallback: bool = True) -> SessionStarter:
    return SessionStarter(
        service,
        "i-x",
        Carrier.DOCUMENT,
        {"command": ["x"]},
        Refused(),
        said.append,
        lambda: 1.0,
        fallback=fallback,
        wait=wait,
        clock=lambda: service.now,
        sleep=service.sleep,
    )


def test_a_throttled_call_is_repeated_and_the_user_is_told_after_three_seconds() -> None:
    service, said = Service(THROTTLED, None), list[str]()
    _starter(service, said).start()
    assert (service.now, said) == (1.0, [])
    service = Service(THROTTLED, THROTTLED, THROTTLED, None)
    _starter(service, said).start()
    assert service.now == 7.0
    assert len(said) == 1


def test_after_a_minute_of_throttling_the_call_fails() -> None:
    service = Service(THROTTLED)
    with pytest.raises(SessionError) as caught:
        _starter(service, []).start()
    assert caught.value.code == "start-throttled"
    assert 45 <= service.now <= 60


def test_a_refused_document_is_replaced_by_the_shell_and_remembered() -> None:
    service = Service(DENIED, None)
    starter = _starter(service, [])
    starter.start()
    assert service.documents == [DOCUMENT, None]
    assert starter.carrier is Carrier.SHELL
    assert starter.refusals.is_refused(DOCUMENT)
    with pytest.raises(SessionError) as caught:
        _starter(Service(DENIED), [], fallback=False).start()
    assert caught.value.code == "document-not-allowed"


def test_an_instance_that_is_not_connected_is_waited_for_only_on_demand() -> None:
    with pytest.raises(TargetError):
        _starter(Service(OFFLINE), []).start()
    service, said = Service(OFFLINE, OFFLINE, None), list[str]()
    _starter(service, said, wait=60).start()
    assert service.now == 6.0
    assert len(said) == 1
    service = Service(OFFLINE)
    with pytest.raises(TargetError):
        _starter(service, [], wait=10).start()
    assert service.now == 10.0


@pytest.mark.parametrize(
    ("request_", "via", "refused", "carrier"),
    [
        (CommandRequest("true"), "auto", False, Carrier.DOCUMENT),
        (CommandRequest("true"), "shell", False, Carrier.SHELL),
        (CommandRequest("true"), "auto", True, Carrier.SHELL),
        (CommandRequest("true"), "document", True, Carrier.DOCUMENT),
        (CommandRequest("true", wants_input=True), "auto", False, Carrier.SHELL),
        (CommandRequest("true", env={"SECRET": "x"}), "auto", False, Carrier.SHELL),
        (CommandRequest("x" * 60_000), "auto", False, Carrier.SHELL),
    ],
)
def test_the_carrier_follows_the_command(request_: CommandRequest, via: str, refused: bool, carrier: Carrier) -> None:
    refusals = Refused(*([DOCUMENT] if refused else []))
    assert choose_carrier(request_, via, refusals) is carrier


@pytest.mark.parametrize("request_", [CommandRequest("true", wants_input=True), CommandRequest("x" * 60_000)])
def test_what_the_document_cannot_carry_is_an_error(request_: CommandRequest) -> None:
    with pytest.raises(UsageError):
        choose_carrier(request_, "document", Refused())


def test_the_guardian_ends_what_was_not_released() -> None:
    assert sessions_left(["+a", "+b", "-a"]) == ["b"]
    assert sessions_left(["+a", "bye"]) == []
    assert sessions_left([]) == []


@pytest.mark.parametrize(
    ("version", "carrier"),
    [
        ("3.1.1511.0", Carrier.DOCUMENT),
        ("3.1.1510.9", Carrier.SHELL),
        ("2.3.50.0", Carrier.SHELL),
        ("", Carrier.DOCUMENT),
        ("unknown", Carrier.DOCUMENT),
    ],
)
def test_old_agents_get_the_shell(version: str, carrier: Carrier) -> None:
    assert carrier_for_agent(Carrier.DOCUMENT, "auto", version) is carrier
    assert carrier_for_agent(Carrier.SHELL, "shell", version) is Carrier.SHELL


def test_an_old_agent_refuses_the_document_that_was_asked_for() -> None:
    with pytest.raises(SessionError) as caught:
        carrier_for_agent(Carrier.DOCUMENT, "document", "3.1.1000.0")
    assert (caught.value.code, caught.value.exit_status) == ("agent-too-old", 6)
