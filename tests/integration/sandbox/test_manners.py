"""The official manners of the sandbox's agent: each row of the table in docs/how-to/sandbox.md, one test.

Every test fails with ``agent_manners="kind"``.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from websockets.sync.client import ClientConnection, connect

from aws_runas.sandbox.agent.reading import is_input
from aws_runas.sandbox.fixtures import role_arn
from aws_runas.sandbox.world import Sandbox
from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.events import DataKeyRequested, SessionStarted
from aws_runas.ssm.core.message import INPUT_STREAM_DATA, Message, encode_message
from tests.integration.conftest import AWS_RUNAS, MakeSandbox, RunAs
from tests.integration.forward.support import wait_until

from .clients import client, refusal, user_client

COMMAND = ("shell", "-q", "--document", "AWS-StartNonInteractiveCommand", "--parameter", "separateOutputStream=true")
TARGET = "i-deadbeef"
BURST = 8  # messages that wait in the agent's receive buffer when its connection is cut
TWICE = ["0", "1", *map(str, range(1, BURST))]


def command(text: str) -> tuple[str, ...]:
    return (*COMMAND, "--parameter", f"command={text}", "my-profile", TARGET)


def test_command_is_words_and_not_shell_text(sandbox: Sandbox, runas: RunAs) -> None:
    done = runas(sandbox, *command("echo $HOME | wc -l"))
    assert (done.returncode, done.stdout) == (0, b"$HOME | wc -l\n")


def test_command_that_cannot_be_split_fails_the_session(sandbox: Sandbox, runas: RunAs) -> None:
    done = runas(sandbox, *command("echo 'x"))
    assert done.returncode == 6
    assert b"EOF found when expecting closing quote" in done.stderr


def test_command_runs_in_the_agents_directory_and_not_at_home(sandbox: Sandbox, runas: RunAs) -> None:
    home, directory = runas(sandbox, *command("sh -c 'echo $HOME; pwd'")).stdout.decode().split()
    assert home != directory


def test_missing_program_is_status_one_and_then_a_text(sandbox: Sandbox, runas: RunAs) -> None:
    done = runas(sandbox, *command("no-such-program-anywhere x"))
    assert done.returncode == 1
    assert b"Error occurred starting the command" in done.stderr


def test_program_killed_by_a_signal_has_status_minus_one(sandbox: Sandbox, runas: RunAs) -> None:
    assert runas(sandbox, *command("sh -c 'kill -TERM $$'")).returncode == 255


def test_replacement_character_and_incomplete_tail_are_lost(sandbox: Sandbox, runas: RunAs) -> None:
    script = r"sh -c 'printf \"a\\357\\277\\275b, and a tail: \\377\\376\\375\"'"
    done = runas(sandbox, *command(script.replace('\\"', '"').replace("\\\\", "\\")))
    assert done.stdout == b"a\xefb, and a tail: "


class Started:
    """A command without a terminal that runs."""

    def __init__(self, sandbox: Sandbox, text: str) -> None:
        self.process = subprocess.Popen(
            [*AWS_RUNAS, *command(text)],
            env=sandbox.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def line(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def finish(self) -> tuple[int, bytes, bytes]:
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


def test_status_after_a_signal_cannot_be_trusted(sandbox: Sandbox) -> None:
    started = Started(sandbox, "sh -c 'trap \"exit 9\" INT; echo begun; while :; do sleep 0.05; done'")
    assert started.line() == b"begun\n"
    started.process.send_signal(2)
    assert started.finish()[0] == 1


def test_signal_reaches_one_process_and_not_its_child(sandbox: Sandbox, tmp_path: Path) -> None:
    child = tmp_path / "child"
    child.write_text('trap "echo child" INT; echo begun; for n in 1 2 3 4 5 6 7 8 9; do sleep 0.2; done')
    started = Started(sandbox, f"sh -c 'trap : INT; sh {child}; echo over'")
    assert started.line() == b"begun\n"
    started.process.send_signal(2)
    _, out, _ = started.finish()
    assert out == b"over\n"


def alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_stop_kills_one_process_and_its_children_live(make_sandbox: MakeSandbox) -> None:
    sandbox = make_sandbox()
    started = Started(sandbox, "sh -c 'sleep 600 & echo $$ $!; wait'")
    parent, child = map(int, started.line().split())
    sandbox.end_sessions()
    started.finish()
    wait_until(lambda: not alive(parent), "the end of the command")
    assert alive(child)
    sandbox.close()
    wait_until(lambda: not alive(child), "the end of what the command has left behind")


@pytest.mark.slow
def test_pause_of_a_third_of_a_second_ends_output_and_status(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    sandbox, mark = make_sandbox(), tmp_path / "lines"
    script = f"for n in 1 2 3 4 5 6; do echo $n; echo $n >> {mark}; sleep 0.3; done"
    started = Started(sandbox, f"sh -c '{script}'")
    assert started.line() == b"1\n"
    sandbox.publish("pause", to="agent")
    wait_until(lambda: "6" in mark.read_text(), "the last line of the program")
    sandbox.publish("start", to="agent")
    assert [each["ended"] for each in sandbox.sessions()] == [False]
    sandbox.end_sessions()
    _, out, _ = started.finish()
    assert b"6" not in out


def test_container_starts_words_and_no_shell(sandbox: Sandbox) -> None:
    task = "0123456789abcdef0123456789abcdef"
    reply = user_client(sandbox, "ecs").execute_command(
        cluster="sandbox", task=task, interactive=True, command="echo it-is-$HOME|cat"
    )
    with dial(reply["session"]["streamUrl"]) as connection:
        connection.send(opening(reply["session"]["tokenValue"]))
        assert b"it-is-$HOME|cat" in output_until(connection, b"it-is-")


def dial(url: str) -> ClientConnection:
    return connect(url, compression=None, proxy=None, open_timeout=20)


def opening(token: str) -> str:
    return json.dumps({"MessageSchemaVersion": "1.0", "RequestId": str(uuid.uuid4()), "TokenValue": token})


def output_until(connection: ClientConnection, text: bytes) -> bytes:
    """Frames joined, up to the one that holds a text."""
    received = b""
    while text not in received[116:]:
        frame = connection.recv(timeout=20)
        received += frame if isinstance(frame, bytes) else frame.encode()
    return received


def input_message(number: int, payload: bytes) -> bytes:
    return encode_message(
        Message(
            message_type=INPUT_STREAM_DATA,
            sequence_number=number,
            flags=0,
            message_id=uuid.uuid4().bytes,
            payload_type=1,
            payload=payload,
            created_date=int(time.time() * 1000),
        )
    )


@contextmanager
def shell(sandbox: Sandbox) -> Iterator[tuple[ClientConnection, str]]:
    """A shell that has shown its prompt, without a client of ours: its connection, and the session's id."""
    reply = user_client(sandbox, "ssm").start_session(Target=TARGET)
    with dial(reply["StreamUrl"]) as connection:
        connection.send(opening(reply["TokenValue"]))
        output_until(connection, b"output_stream_data")
        yield connection, reply["SessionId"]


def send_in_one_write(connection: ClientConnection, frames: list[bytes]) -> None:
    """Let all frames arrive in one read."""
    with connection.protocol_mutex:
        for frame in frames:
            connection.protocol.send_binary(frame)
        connection.socket.sendall(b"".join(connection.protocol.data_to_send()))


@pytest.mark.slow
def test_cut_with_messages_in_the_buffer_executes_one_of_them_twice(sandbox: Sandbox, tmp_path: Path) -> None:
    """Trap 12.16. The messages are resent by hand, as a client does that saw no acknowledgement."""
    log = tmp_path / "log"
    with shell(sandbox) as (connection, session_id):
        burst = [input_message(n, f"echo {n} >> {log}\n".encode()) for n in range(BURST)]
        cut_with_messages_in_the_buffer(sandbox, connection, session_id, burst)
        send_in_one_write(connection, burst)
        wait_until(lambda: log.exists() and str(BURST - 1) in log.read_text(), "the last message")
    assert log.read_text().split() == TWICE


def test_cut_in_the_resent_messages_executes_nothing_that_was_counted(sandbox: Sandbox, tmp_path: Path) -> None:
    """The first acknowledgement, which is still written, is that of a repeated message: then the next new one fails."""
    log = tmp_path / "log"
    with shell(sandbox) as (connection, session_id):
        burst = [input_message(n, f"echo {n} >> {log}\n".encode()) for n in range(BURST)]
        send_in_one_write(connection, burst[:3])
        wait_until(lambda: log.exists() and "2" in log.read_text(), "three messages")
        cut_with_messages_in_the_buffer(sandbox, connection, session_id, burst)
        send_in_one_write(connection, burst)
        wait_until(lambda: str(BURST - 1) in log.read_text(), "the last message")
    assert log.read_text().split() == ["0", "1", "2", "3", *map(str, range(3, BURST))]


def cut_with_messages_in_the_buffer(
    sandbox: Sandbox, connection: ClientConnection, session_id: str, messages: list[bytes]
) -> None:
    """Have the agent lose its connection while these messages wait; returns when it is back."""
    assert sandbox.agents_leave(0.01, session_id, waiting=len(messages)) == 1
    send_in_one_write(connection, messages)
    output_until(connection, b"pause_publication")
    output_until(connection, b"start_publication")


@pytest.mark.slow
def test_cut_of_an_encrypted_session_executes_one_message_twice_too(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    """Trap 12.16 with KMS: the agent decrypts and executes, and counts after the acknowledgement as ever."""
    sandbox, log = make_sandbox(kms=True), tmp_path / "log"
    reply = user_client(sandbox, "ssm").start_session(Target=TARGET)
    with dial(reply["StreamUrl"]) as connection:
        channel = open_encrypted(sandbox, connection, reply)
        now = time.monotonic()
        burst: list[bytes] = []
        for number in range(BURST):
            channel.send_message(f"echo {number} >> {log}\n".encode(), now)
            burst += [each for each in channel.messages_to_send(now) if isinstance(each, bytes) and is_input(each)]
        assert not any(b"echo" in each for each in burst)
        assert len(burst) == BURST
        cut_with_messages_in_the_buffer(sandbox, connection, reply["SessionId"], burst)
        send_in_one_write(connection, burst)
        wait_until(lambda: log.exists() and str(BURST - 1) in log.read_text(), "the last message")
    assert log.read_text().split() == TWICE


def open_encrypted(sandbox: Sandbox, connection: ClientConnection, reply: dict[str, str]) -> Channel:
    """Shake hands over KMS; returns the client's channel, which may send."""
    channel = Channel(
        Role.CLIENT,
        session_id=reply["SessionId"],
        target=TARGET,
        settings=ChannelSettings(frame_rate=None),
        random_bytes=os.urandom,
        wall_clock=lambda: time.time_ns() // 1_000_000,
    )
    channel.connect(reply["TokenValue"], time.monotonic())
    while True:
        for frame in channel.messages_to_send(time.monotonic()):
            connection.send(frame)
        channel.receive_message(connection.recv(timeout=20), time.monotonic())
        for event in channel.events(time.monotonic()):
            if isinstance(event, SessionStarted):
                return channel
            if isinstance(event, DataKeyRequested):
                key = user_client(sandbox, "kms").generate_data_key(
                    KeyId=event.kms_key_id, NumberOfBytes=64, EncryptionContext=event.encryption_context
                )
                channel.provide_data_key(key["Plaintext"], key["CiphertextBlob"], time.monotonic())


def test_single_message_in_the_buffer_is_executed_once(sandbox: Sandbox, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with shell(sandbox) as (connection, session_id):
        frame = input_message(0, f"echo 0 >> {log}\n".encode())
        cut_with_messages_in_the_buffer(sandbox, connection, session_id, [frame])
        send_in_one_write(connection, [frame, input_message(1, f"echo 1 >> {log}\n".encode())])
        wait_until(lambda: log.exists() and "1" in log.read_text(), "the last message")
    assert log.read_text().split() == ["0", "1"]


def test_start_session_is_throttled_above_the_rate(make_sandbox: MakeSandbox) -> None:
    ssm = user_client(make_sandbox(start_rate=3), "ssm")

    def start_twenty() -> None:
        for _ in range(20):
            ssm.start_session(Target=TARGET)

    with pytest.raises(ClientError) as caught:
        start_twenty()
    assert refusal(caught.value) == ("ThrottlingException", "Rate exceeded")


def restricted(sandbox: Sandbox, *statements: dict[str, object]) -> dict[str, str]:
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **each} for each in statements]})
    sts = user_client(sandbox, "sts")
    reply = sts.assume_role(RoleArn=role_arn("my-role"), RoleSessionName="restricted", Policy=policy)
    keys: dict[str, str] = reply["Credentials"]
    return keys


INSTANCE = {"Action": "ssm:StartSession", "Resource": "arn:aws:ec2:*:*:instance/*"}
CHECKED = {**INSTANCE, "Condition": {"BoolIfExists": {"ssm:SessionDocumentAccessCheck": "true"}}}
NAMED = "AWS-StartNonInteractiveCommand"
DOCUMENT = {"Action": "ssm:StartSession", "Resource": f"arn:aws:ssm:us-east-1::document/{NAMED}"}
DEFAULT = {"Action": "ssm:StartSession", "Resource": "arn:aws:ssm:*:*:document/SSM-SessionManagerRunShell"}


@pytest.mark.parametrize(
    ("statements", "document", "refused"),
    [
        ([INSTANCE], None, ""),
        ([INSTANCE], NAMED, f"document/{NAMED}"),
        ([INSTANCE, DOCUMENT], NAMED, ""),
        ([CHECKED], None, "document/SSM-SessionManagerRunShell"),
        ([CHECKED, DEFAULT], None, ""),
        ([DOCUMENT], NAMED, "instance/i-deadbeef"),
    ],
)
def test_documents_need_a_permission_of_their_own(
    sandbox: Sandbox, statements: list[dict[str, object]], document: str | None, refused: str
) -> None:
    ssm = client(sandbox, "ssm", keys=restricted(sandbox, *statements))
    more = {} if document is None else {"DocumentName": document, "Parameters": {"command": ["true"]}}
    if not refused:
        assert ssm.start_session(Target=TARGET, **more)["SessionId"]
        return
    with pytest.raises(ClientError) as caught:
        ssm.start_session(Target=TARGET, **more)
    assert refusal(caught.value)[0] == "AccessDeniedException"
    assert refused in refusal(caught.value)[1]


def test_session_preferences_are_in_the_default_document(make_sandbox: MakeSandbox, runas: RunAs) -> None:
    sandbox = make_sandbox(shell_profile="echo from-$((6*7))", run_as="deploy", log_group="/sessions")
    content = user_client(sandbox, "ssm").get_document(Name="SSM-SessionManagerRunShell")["Content"]
    inputs = json.loads(content)["inputs"]
    assert (inputs["runAsEnabled"], inputs["runAsDefaultUser"]) == (True, "deploy")
    assert inputs["cloudWatchLogGroupName"] == "/sessions"
    assert inputs["shellProfile"]["linux"] == "echo from-$((6*7))"
    done = runas(sandbox, "shell", "-q", "my-profile", TARGET, input=b"echo $USER\n")
    assert b"from-42" in done.stdout
    assert b"deploy" in done.stdout


PROGRAMS: dict[str, tuple[str, str]] = {
    "i-0ddddddddddddddd1": ("ls -l $(command -v dd)", "busybox"),
    "i-0ddddddddddddddd2": ("command -v dash dd base64 && ! command -v busybox && echo plain", "plain"),
}


@pytest.mark.parametrize("target", PROGRAMS)
def test_instances_without_python(target: str, sandbox: Sandbox, runas: RunAs) -> None:
    script, expected = PROGRAMS[target]
    text = f"{script}; command -v python3 || echo no-$((1+1))python\n"
    done = runas(sandbox, "shell", "-q", "my-profile", target, input=text.encode())
    assert expected.encode() in done.stdout
    assert b"no-2python" in done.stdout


def test_distroless_instance_has_no_shell(sandbox: Sandbox, runas: RunAs) -> None:
    done = runas(sandbox, "shell", "-q", "my-profile", "i-0ddddddddddddddd3", input=b"true\n")
    assert done.returncode == 6
    assert b"executable file not found in $PATH" in done.stderr


def test_official_pace_reads_no_output_in_the_first_second(make_sandbox: MakeSandbox, runas: RunAs) -> None:
    sandbox = make_sandbox(agent_pace="official")
    began = time.monotonic()
    done = runas(sandbox, "shell", "-q", "my-profile", TARGET, input=b"seq 2000 | tail -1\n")
    assert b"2000" in done.stdout
    assert time.monotonic() - began >= 1.0  # at least: the sleep cannot be shorter
