"""The limits and suffixes of the sandbox's Run Command, each measured at the service."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aws_runas.sandbox.services.errors import ServiceError
from aws_runas.sandbox.services.principals import ACCOUNT, Key, Principal
from aws_runas.sandbox.services.run_command import LIMITS, FleetInstance, RunCommand

REGION = "us-east-1"
KEY = Key("AKIAX", "secret", Principal(f"arn:aws:iam::{ACCOUNT}:user/ann", "AIDAX", "ann"))
DEADLINE = 30.0  # seconds


class Service:
    """Run Command with as many instances as are asked for."""

    def __init__(self, home: Path) -> None:
        self.service = RunCommand(lambda _account, _region, one: FleetInstance(one, home, hangs=one == "i-hangs"))

    def call(self, action: str, **values: Any) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self.service.call(action, values, KEY, REGION).body)
        return reply

    def send(self, script: str = "true", *, count: int = 1, execution: str | None = None, **values: Any) -> str:
        parameters = {"commands": [script]} | ({"executionTimeout": [execution]} if execution else {})
        ids = values.pop("InstanceIds", [f"i-{number}" for number in range(count)])
        more = {"InstanceIds": ids, "DocumentName": "AWS-RunShellScript", "Parameters": parameters}
        return str(self.call("SendCommand", **more, **values)["Command"]["CommandId"])

    def rows(self, command_id: str) -> list[dict[str, Any]]:
        """Return all rows once every instance has ended."""
        until = time.monotonic() + DEADLINE
        while True:
            rows: list[dict[str, Any]] = []
            more: dict[str, str] = {}
            while True:
                page = self.call("ListCommandInvocations", CommandId=command_id, Details=True, **more)
                rows += page["CommandInvocations"]
                if "NextToken" not in page:
                    break
                more = {"NextToken": page["NextToken"]}
            if all(row["Status"] not in ("Pending", "InProgress") for row in rows):
                return rows
            assert time.monotonic() < until

    def invocation(self, script: str) -> tuple[dict[str, Any], str]:
        """Run a script; return GetCommandInvocation, and the output of the list."""
        command_id = self.send(script)
        (row,) = self.rows(command_id)
        reply = self.call("GetCommandInvocation", CommandId=command_id, InstanceId="i-0")
        return reply, str(row["CommandPlugins"][0]["Output"])

    def takes(self, **values: Any) -> bool:
        try:
            self.send(**values)
        except ServiceError as error:
            if error.code not in ("ValidationException", "InvalidParameters"):
                raise
            return False
        return True


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.service.stop()


def most(takes: Callable[[int], bool], expected: int) -> int:
    """Return the most that is taken, if that is what is expected, and something else otherwise."""
    return expected if takes(expected) and not takes(expected + 1) else -1


def least(takes: Callable[[int], bool], expected: int) -> int:
    return expected if takes(expected) and not takes(expected - 1) else -1


def fill(size: int, stream: str = "") -> str:
    return f"head -c {size} /dev/zero | tr '\\0' x{stream}"


def longest(service: Service, expected: int, field: str, stream: str = "") -> int:
    """Return the length at which a stream is still whole, and one character more is cut to the same length."""
    whole, cut = (service.invocation(fill(expected + more, stream))[0][field] for more in (0, 1))
    return expected if whole == "x" * expected and cut != whole and len(cut) == expected else -1


def first_page(service: Service) -> int:
    """Return how many of 60 commands come at once, where no number is asked for."""
    for _ in range(60):
        service.send(InstanceIds=["i-0"])
    page = service.call("ListCommands")
    assert "NextToken" in page
    return len(page["Commands"])


def list_limit(service: Service) -> int:
    _, output = service.invocation(f"{fill(1_300)}; {fill(1_300, ' >&2')}")
    return len(output)


def between(service: Service) -> str:
    _, output = service.invocation("printf out; printf err >&2")
    assert output.startswith("out")
    return output.removeprefix("out").removesuffix("err")


def errors_before_it_stops(service: Service) -> int:
    command_id = service.send("exit 1", count=3, MaxConcurrency="1")
    details = [row["StatusDetails"] for row in service.rows(command_id)]
    assert set(details[1:]) == {"Terminated"}
    return details.count("Failed") - 1


def code_before_the_end(service: Service) -> int:
    command_id = service.send(InstanceIds=["i-hangs"])
    reply = service.call("GetCommandInvocation", CommandId=command_id, InstanceId="i-hangs")
    code: int = reply["ResponseCode"]
    return code


def end_of(text: str) -> str:
    return text.lstrip("x")


def delivery(service: Service) -> Callable[[int], bool]:
    return lambda seconds: service.takes(TimeoutSeconds=seconds)


def execution(service: Service) -> Callable[[int], bool]:
    return lambda seconds: service.takes(execution=str(seconds))


# name in LIMITS -> the value of the specification, and what measures it
TABLE: dict[str, tuple[int | str, Callable[[Service], int | str]]] = {
    "instance ids of SendCommand": (50, lambda it: most(lambda count: it.takes(count=count), 50)),
    "rows of an answer": (50, first_page),
    "characters of stdout": (24_000, lambda it: longest(it, 24_000, "StandardOutputContent")),
    "characters of stderr": (8_000, lambda it: longest(it, 8_000, "StandardErrorContent", " >&2")),
    "characters of both streams in a list": (2_500, list_limit),
    "mark of the agent": (
        "--output truncated--",
        lambda it: end_of(it.invocation(fill(24_001))[0]["StandardOutputContent"]),
    ),
    "mark of the service": ("---Output truncated---", lambda it: end_of(it.invocation(fill(2_501))[1])),
    "line between the streams": ("\n----------ERROR-------\n", between),
    "characters of a comment": (100, lambda it: most(lambda size: it.takes(Comment="c" * size), 100)),
    "shortest delivery time-out": (30, lambda it: least(delivery(it), 30)),
    "longest delivery time-out": (2_592_000, lambda it: most(delivery(it), 2_592_000)),
    "shortest execution time-out": (1, lambda it: least(execution(it), 1)),
    "longest execution time-out": (172_800, lambda it: most(execution(it), 172_800)),
    "default execution time-out": (3_600, lambda it: int(it.service.execution_of(it.send()))),
    "default of MaxErrors": (0, errors_before_it_stops),
    "response code before the end": (-1, code_before_the_end),
}


def test_the_table_is_that_of_the_sandbox() -> None:
    assert {name: value for name, (value, _) in TABLE.items()} == LIMITS


@pytest.mark.parametrize("name", TABLE)
def test_the_service_has_the_limit_of_the_specification(service: Service, name: str) -> None:
    value, measure = TABLE[name]
    assert measure(service) == value


@pytest.mark.parametrize("size", [23_999, 24_000, 24_001])
def test_a_stream_is_cut_where_the_agent_cuts_it(service: Service, size: int) -> None:
    output = service.invocation(fill(size))[0]["StandardOutputContent"]
    assert len(output) == min(size, 24_000)
    assert ("truncated" in output) == (size > 24_000)


def test_output_of_what_was_cancelled_is_in_the_invocation_alone(service: Service, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    command_id = service.send(f"echo partial; touch {gate}; sleep 1000")
    until = time.monotonic() + DEADLINE
    while not gate.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    service.call("CancelCommand", CommandId=command_id)
    (row,) = service.rows(command_id)
    reply = service.call("GetCommandInvocation", CommandId=command_id, InstanceId="i-0")
    assert (reply["StatusDetails"], reply["StandardOutputContent"]) == ("Cancelled", "partial\n")
    assert row["CommandPlugins"][0]["Output"] == ""


def test_cancelling_while_the_program_starts_keeps_its_output(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, cancelled, start = tmp_path / "gate", threading.Event(), subprocess.Popen

    def start_slowly(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = start(*args, **options)
        assert cancelled.wait(DEADLINE)
        return process

    monkeypatch.setattr(subprocess, "Popen", start_slowly)
    command_id = service.send(f"echo partial; touch {gate}; sleep 1000")
    until = time.monotonic() + DEADLINE
    while not gate.exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    service.call("CancelCommand", CommandId=command_id)
    cancelled.set()
    service.rows(command_id)
    reply = service.call("GetCommandInvocation", CommandId=command_id, InstanceId="i-0")
    assert (reply["StatusDetails"], reply["StandardOutputContent"]) == ("Cancelled", "partial\n")


def test_one_instance_that_has_vanished_spoils_the_whole_call(tmp_path: Path) -> None:
    known = {"i-1", "i-2"}
    service = RunCommand(lambda _account, _region, one: FleetInstance(one, tmp_path) if one in known else None)
    request = {"InstanceIds": ["i-1", "i-3", "i-2", "i-4"], "DocumentName": "AWS-RunShellScript"}
    with pytest.raises(ServiceError) as caught:
        service.call("SendCommand", request, KEY, REGION)
    assert caught.value.code == "InvalidInstanceId"
    assert caught.value.message == f"Instances [[i-3, i-4]] not in a valid state for account {ACCOUNT}"
    assert json.loads(service.call("ListCommands", {}, KEY, REGION).body)["Commands"] == []


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are looked up in /proc")
def test_a_script_that_starts_while_the_sandbox_ends_is_ended_too(tmp_path: Path) -> None:
    for _ in range(20):
        service = Service(tmp_path)
        service.send(InstanceIds=["i-hangs"])
        service.service.stop()
    until = time.monotonic() + DEADLINE
    while scripts_in(tmp_path):
        assert time.monotonic() < until, "a script runs although its sandbox has ended"


def scripts_in(folder: Path) -> list[str]:
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace"))
    return [line for line in lines if str(folder) in line]
