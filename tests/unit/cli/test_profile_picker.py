"""Choosing a profile: when the user is asked, what is shown, and the order by use."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pexpect
import pytest

from aws_runas.cli import app
from aws_runas.cli.environment import Environment
from aws_runas.cli.profile_picker import FILE_NAME, HALF_LIFE, MAX_PROFILES, ProfileUses, choice_of, rows_of
from aws_runas.cli.terminal import picker
from aws_runas.config.files import ProfileSection

KEYS = "aws_access_key_id = AKIA{name}\naws_secret_access_key = secret\naws_session_token = token\n"
NOW = 1_800_000_000.0
DAY = 24 * 3600.0
NAMES = ("alpha", "beta", "gamma")


class Stream(io.StringIO):
    def isatty(self) -> bool:
        return True


class World:
    """A home with some profiles, and a user who chooses one."""

    def __init__(self, home: Path, default: str = "region = eu-west-1\n", names: Sequence[str] = NAMES) -> None:
        self.home = home
        (home / ".aws").mkdir()
        (home / "cache").mkdir(mode=0o700)
        sections = "".join(f"[profile {name}]\n{KEYS.format(name=name)}" for name in names)
        (home / ".aws" / "config").write_text(f"[default]\n{default}{sections}")
        self.shown: list[str] = []
        self.choice: int | None = 0

    def pick(self, rows: Sequence[str], _colors: Sequence[str]) -> int | None:
        self.shown = [row.split()[0] for row in rows]
        return self.choice

    def run(
        self, *words: str, environ: Mapping[str, str] = {}, is_terminal: bool = True, function: str = ""
    ) -> tuple[int, str, str]:
        out, err = io.BytesIO(), Stream() if is_terminal else io.StringIO()
        variables = {"PATH": os.environ["PATH"], "HOME": str(self.home), "RUNAS_CACHE_DIR": str(self.home / "cache")}
        env = Environment(io.BytesIO(), out, err, variables | dict(environ), self.home, lambda: NOW, function=function)
        self.shown = []
        return app.main(words, env), out.getvalue().decode(), err.getvalue()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(picker, "row_picker", lambda _: made.pick)
    return made


@pytest.fixture
def by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path, "region = eu-west-1\npick = Yes\n")
    monkeypatch.setattr(picker, "row_picker", lambda _: made.pick)
    return made


def test_the_profile_that_the_user_chose_is_used(world: World) -> None:
    world.choice = 1
    status, printed, _ = world.run("--pick")
    assert (status, world.shown) == (0, list(NAMES))
    assert "export AWSRUNAS_PROFILE=beta\n" in printed


def test_who_chose_none_gets_no_credentials(world: World) -> None:
    world.choice = None
    status, printed, errors = world.run("--pick")
    assert (status, printed, errors) == (3, "", "aws-runas: no profile was chosen\n")


@pytest.mark.parametrize(
    ("words", "environ", "message"),
    [
        (["--pick", "--profile", "alpha"], {}, "--pick and --profile cannot be combined"),
        (["--pick", "alpha"], {}, "--pick chooses the profile, but profile alpha is named"),
        (["--pick", "-w"], {}, "-w and --pick cannot be combined"),
        (["--pick", "list", "roles"], {}, "--pick does not work with list"),
    ],
)
def test_a_profile_cannot_be_named_beside_the_flag(
    world: World, words: list[str], environ: dict[str, str], message: str
) -> None:
    status, printed, errors = world.run(*words, environ=environ)
    assert (status, printed, world.shown) == (2, "", [])
    assert message in errors


def test_the_flag_counts_although_a_variable_names_a_profile(world: World) -> None:
    assert "AWSRUNAS_PROFILE=alpha\n" in world.run("--pick", environ={"AWS_PROFILE": "gamma"})[1]
    assert world.shown == list(NAMES)


def test_the_key_asks_where_nothing_names_a_profile(by_key: World) -> None:
    assert "AWSRUNAS_PROFILE=alpha\n" in by_key.run()[1]
    assert by_key.shown == list(NAMES)
    assert "AWSRUNAS_PROFILE=alpha\n" in by_key.run(function="1:bash:runas")[1]
    assert by_key.shown == list(NAMES)


@pytest.mark.parametrize(
    ("words", "environ", "is_terminal"),
    [
        (["gamma"], {}, True),
        (["--profile", "gamma"], {}, True),
        ([], {"AWS_PROFILE": "gamma"}, True),
        (["-O", "json"], {}, True),  # as a credential_process
        ([], {}, False),
    ],
)
def test_the_key_does_not_ask_elsewhere(
    by_key: World, words: list[str], environ: dict[str, str], is_terminal: bool
) -> None:
    by_key.run(*words, environ=environ, is_terminal=is_terminal)
    assert by_key.shown == []


@pytest.mark.parametrize(("value", "environ", "status"), [("maybe", {}, 3), ("maybe", {"AWS_PROFILE": "alpha"}, 0)])
def test_a_key_that_is_neither_on_nor_off_is_an_error_where_it_counts(
    tmp_path: Path, value: str, environ: dict[str, str], status: int
) -> None:
    found, _, errors = World(tmp_path, f"pick = {value}\n").run(environ=environ)
    assert found == status
    assert (f"pick = {value}" in errors) == bool(status)


def test_a_single_profile_is_no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path, names=("only",))
    monkeypatch.setattr(picker, "row_picker", lambda _: pytest.fail("asked"))
    assert "AWSRUNAS_PROFILE=only\n" in world.run("--pick")[1]


def test_without_a_terminal_the_flag_is_an_error_and_the_key_is_not(
    by_key: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picker, "row_picker", lambda _: None)
    status, printed, errors = by_key.run("--pick")
    assert (status, printed) == (2, "")
    assert "there is no terminal to choose a profile on" in errors
    assert "default" in by_key.run()[2]


def test_a_profile_is_shown_with_account_role_region_and_color() -> None:
    def section(name: str, **values: str) -> ProfileSection:
        return ProfileSection(name, dict(values), {})

    sections = {
        "default": section("default", region="eu-west-1"),
        "me": section("me", region="us-east-2"),
    }
    role = "arn:aws:iam::123456789012:role/team/Admin"
    own = choice_of(section("own", role_arn=role, source_profile="me", color="#0aB1c2"), sections)
    assert (own.account, own.role, own.region, own.color) == ("123456789012", "Admin", "us-east-2", "0ab1c2")
    sso = choice_of(section("sso", sso_account_id="210987654321", sso_role_name="Reader", color="red"), sections)
    assert (sso.account, sso.role, sso.region) == ("210987654321", "Reader", "eu-west-1")
    assert len(bytes.fromhex(sso.color)) == 3
    keys = choice_of(section("keys\x1b[2J", aws_access_key_id="AKIA"), sections)
    assert rows_of([own, keys]) == [
        "own       123456789012  Admin  us-east-2",
        "keys?[2J  -             -      eu-west-1",
    ]


def test_a_menu_marks_each_row_with_its_color() -> None:
    menu = picker.Menu(["one", "two"], ["ff0080", ""])
    first, second = menu.lines(80, 5)[1:3]
    assert first == "\x1b[48;2;255;0;128m \x1b[0m \x1b[7m> one\x1b[0m"
    assert second == "    two"
    assert picker.Menu(["one"], [""]).lines(80, 5)[1] == "\x1b[7m> one\x1b[0m"


def _directory(tmp_path: Path) -> Path:
    directory = tmp_path / "uses"
    directory.mkdir(mode=0o700)
    return directory


def test_profiles_are_ordered_by_use_and_the_rest_as_they_are_written(tmp_path: Path) -> None:
    uses = ProfileUses(_directory(tmp_path))
    for name, times in (("c", 3), ("b", 1)):
        for _ in range(times):
            uses.add(name, NOW)
    assert uses.order(["a", "b", "c", "d"], NOW) == ["c", "b", "a", "d"]


def test_a_use_of_long_ago_counts_less(tmp_path: Path) -> None:
    uses = ProfileUses(_directory(tmp_path))
    for _ in range(3):
        uses.add("old", NOW - 3 * HALF_LIFE)
    uses.add("new", NOW)
    assert uses.order(["old", "new"], NOW) == ["new", "old"]
    assert uses.order(["old", "new"], NOW - DAY)  # a clock that was set back


def test_the_file_is_private_and_holds_counts_and_times_only(tmp_path: Path) -> None:
    directory = _directory(tmp_path)
    uses = ProfileUses(directory)
    uses.add("customer-secret-name", NOW)
    uses.add("customer-secret-name", NOW + 1)
    path = directory / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key, count, last = path.read_text().split()
    assert (int(key, 16) >= 0, count, last) == (True, "2", str(int(NOW) + 1))
    assert [each.name for each in directory.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("content", [b"", b"x", b"\xff\x00", b"0123456789abcdef x y\n", b"0123456789abcdef 1\n"])
def test_a_damaged_file_counts_as_none_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    directory = _directory(tmp_path)
    (directory / FILE_NAME).write_bytes(content)
    uses = ProfileUses(directory)
    assert uses.order(["a", "b"], NOW) == ["a", "b"]
    uses.add("b", NOW)
    assert uses.order(["a", "b"], NOW) == ["b", "a"]


def test_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    directory = _directory(tmp_path)
    lines = "".join(f"{number:016x} 1 {number}\n" for number in range(MAX_PROFILES + 50))
    (directory / FILE_NAME).write_text(lines)
    ProfileUses(directory).add("a", NOW)
    kept = (directory / FILE_NAME).read_text().splitlines()
    assert len(kept) == MAX_PROFILES
    assert kept[0].endswith(f" 1 {int(NOW)}")


def test_a_directory_that_others_can_open_is_not_used(tmp_path: Path) -> None:
    directory = _directory(tmp_path)
    directory.chmod(0o755)
    ProfileUses(directory).add("a", NOW)
    assert list(directory.iterdir()) == []


def test_two_thousand_profiles_on_a_terminal(tmp_path: Path) -> None:
    names = [f"team-{number % 40:02}-{number:04}" for number in range(2000)]
    World(tmp_path, names=names)
    environ = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "TERM": "xterm"}
    environ["RUNAS_CACHE_DIR"] = str(tmp_path / "cache")

    def chosen(keys: str, first: str) -> str:
        child: Any = pexpect.spawn(
            sys.executable, ["-m", "aws_runas", "-E", "--pick", "printenv", "AWSRUNAS_PROFILE"],
            env=environ, encoding="utf-8", timeout=30, dimensions=(24, 100),
        )  # fmt: skip
        child.expect(r"> (team-\S+) .* of 2000; type")
        assert child.match[1] == first
        child.send(keys)
        child.expect(r"\x1b\[J(team-\d\d-\d{4})\r\n")
        found: str = child.match[1]
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0
        return found

    assert chosen("1234\r", names[0]) == "team-34-1234"
    assert chosen("\r", "team-34-1234") == "team-34-1234"
