"""What a fleet run prints, without a terminal."""

from __future__ import annotations

import errno
import io
import json
from pathlib import Path

import pytest

from aws_runas.cli.commands.fleet.report import FleetReport, exit_status, to_json
from aws_runas.cli.environment import Environment
from aws_runas.fleet.model import Host, Outcome, Pair, State

PAIR = Pair("p", "us-east-1", "123456789012")


def host(number: int = 0) -> Host:
    return Host(PAIR, f"i-0000000{number}", f"web-{number}")


class FullDisk(io.BytesIO):
    def write(self, _data: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class Fixture:
    def __init__(self, output: str = "jsonl", directory: Path | None = None, stdout: io.BytesIO | None = None) -> None:
        self.stdout, self.stderr = stdout or io.BytesIO(), io.StringIO()
        env = Environment(io.BytesIO(), self.stdout, self.stderr, {}, Path("/nowhere"), lambda: 0.0)
        self.report = FleetReport(
            env, output=output, total=20, quiet=False, is_terminal=False, directory=directory, live=False
        )

    def status(self) -> int:
        return self.report.exit_status(skip_offline=False, interrupted=False)


def test_without_a_terminal_there_is_a_line_at_each_tenth() -> None:
    made = Fixture()
    for number in range(20):
        made.report.progress(20 - number, 0)
        made.report.outcome(Outcome(host(number), State.SUCCESS))
    made.report.progress(0, 0)
    lines = made.stderr.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == [str(number) for number in range(2, 21, 2)]
    assert lines[0] == "aws-runas: 2 of 20 done, 18 running, 0 failed, 0 waiting"


def test_outputs_to_fetch_are_not_also_waiting() -> None:
    made = Fixture()
    for number in range(2):
        made.report.outcome(Outcome(host(number), State.SUCCESS))
    made.report.progress(3, 5)
    assert made.stderr.getvalue() == ("aws-runas: 2 of 20 done, 3 running, 0 failed, 10 waiting, 5 outputs to fetch\n")


def test_a_full_disk_behind_stdout_is_said_once_and_makes_a_failure() -> None:
    made = Fixture(stdout=FullDisk())
    for number in range(3):
        made.report.outcome(Outcome(host(number), State.SUCCESS))
    assert made.stderr.getvalue() == (
        "aws-runas: cannot write to standard output: no space left on device; results are missing there\n"
    )
    assert made.status() == 1


def test_files_have_the_exact_bytes_and_are_private(tmp_path: Path) -> None:
    made = Fixture(directory=tmp_path)
    made.report.outcome(Outcome(host(), State.FAILED, exit_status=3, stdout="a\r\n\udcff\0", stderr="\ud800"))
    made.report.unreached(Outcome(host(1), State.OFFLINE, "gone"))
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert files["web-0.i-00000000.out"] == b"a\r\n\xff\0"
    assert files["web-0.i-00000000.err"] == b"?"
    assert files["web-0.i-00000000.status"] == b"3\n"
    assert files["web-1.i-00000001.status"] == b"offline\n"
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["x" * 256, "ü" * 256, "\N{SNOWMAN}" * 256, "a" * 199 + "ü"])
def test_the_longest_name_that_a_tag_can_have_is_no_obstacle_to_its_files(tmp_path: Path, name: str) -> None:
    made = Fixture(directory=tmp_path)
    for instance_id in ("i-0123456789abcdef0", "mi-0123456789abcdef0"):
        made.report.outcome(Outcome(Host(PAIR, instance_id, name), State.SUCCESS, exit_status=0))
    assert (len(list(tmp_path.iterdir())), made.stderr.getvalue().count("cannot write")) == (6, 0)


def test_a_file_that_cannot_be_written_is_said_once_and_the_results_go_on(tmp_path: Path) -> None:
    (tmp_path / "web-0.i-00000000.out").mkdir()
    made = Fixture(directory=tmp_path)
    for number in range(2):
        made.report.outcome(Outcome(host(number), State.SUCCESS))
    assert made.stderr.getvalue().count("cannot write to --dir") == 1
    assert len(made.stdout.getvalue().splitlines()) == 2
    assert (tmp_path / "web-1.i-00000001.out").exists()
    assert made.status() == 1


@pytest.mark.parametrize("text", ["\0\r\f\x1b[2J\x85\u2028", "\U000e0041tag", "\udcff\ud800", "\N{SNOWMAN}"])
def test_json_gives_the_text_back_and_controls_no_terminal(text: str) -> None:
    line = to_json({"stdout": text})
    assert json.loads(line) == {"stdout": text}
    assert line.isprintable()


def test_a_form_feed_or_a_carriage_return_ends_no_line() -> None:
    made = Fixture("text")
    made.report.outcome(Outcome(host(), State.SUCCESS, stdout="one\ftwo\r\n50 %\r100 %\n"))
    assert made.stdout.getvalue() == b"web-0: one\\x0ctwo\nweb-0: 50 %\\r100 %\n"


SUCCESS, FAILED, OFFLINE = State.SUCCESS, State.FAILED, State.OFFLINE


@pytest.mark.parametrize(
    ("states", "unreached", "skip", "interrupted", "status"),
    [
        ((SUCCESS, SUCCESS), (), False, False, 0),
        ((SUCCESS, FAILED), (), False, False, 1),
        ((SUCCESS, State.TIMED_OUT), (), True, False, 1),
        ((SUCCESS, State.NOT_RUN), (), False, False, 1),
        ((SUCCESS, State.UNKNOWN), (), True, False, 1),
        ((SUCCESS,), (OFFLINE,), False, False, 1),
        ((SUCCESS,), (OFFLINE,), True, False, 0),
        ((SUCCESS, State.NOT_DELIVERED), (OFFLINE,), False, False, 1),
        ((SUCCESS, State.NOT_DELIVERED), (OFFLINE,), True, False, 0),
        ((SUCCESS,), (State.REFUSED,), True, False, 1),
        ((State.NOT_DELIVERED,), (), True, False, 5),
        ((State.REFUSED, State.REFUSED), (), False, False, 6),
        ((State.REFUSED, SUCCESS), (), False, False, 1),
        ((SUCCESS,), (), False, True, 130),
    ],
)
def test_status_rule(
    states: tuple[State, ...], unreached: tuple[State, ...], skip: bool, interrupted: bool, status: int
) -> None:
    asked = [Outcome(host(), state) for state in states]
    others = [Outcome(host(1), state) for state in unreached]
    assert exit_status(asked, others, skip_offline=skip, interrupted=interrupted) == status
