"""`keys rotate` with a fault before and after each of its calls: what is said is what IAM has, and no key is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from aws_runas.aws.iam import AccessKey, LastUse
from aws_runas.config.files import load_files
from aws_runas.credentials.key_lines import plain_keys
from aws_runas.credentials.key_places import FilePlace, KeyPlace, KeyringPlace
from aws_runas.credentials.rotation import PATIENCE, Clock, Journal, KeyServices, Rotated, Rotation, Settings
from aws_runas.errors import AwsRunasError, CredentialsError
from aws_runas.store.items import KeyPair, StoredKeys, write_keys

T = TypeVar("T")

OLD = KeyPair("AKIAOLD", "canary-old")
COMMAND = "aws-runas keys rotate dev"


class KilledError(BaseException):
    """The process ends here: nothing of ours runs any more but finally blocks that Python runs in a test."""


@dataclass
class Faults:
    """Fails one call: number `at`, counted over everything that is called, before or after it had its effect."""

    at: int = -1
    after: bool = False
    error: Callable[[], BaseException] = lambda: CredentialsError("the cable is cut", code="endpoint-unreachable")
    calls: list[str] = field(default_factory=list)
    dead: bool = False
    all: bool = False

    def call(self, name: str, effect: Callable[[], T]) -> T:
        if self.dead:
            raise KilledError  # a killed process calls nobody
        number = len(self.calls)
        self.calls.append(name)
        if number != self.at and not self.all:
            return effect()
        if self.after:
            effect()
        error = self.error()
        self.dead = isinstance(error, KilledError)
        raise error


class ScriptedIam:
    """IAM and STS for one user: two keys at most, and a new key is known after a while only."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.secrets = {OLD.access_key_id: OLD.secret_access_key}
        self.active = {OLD.access_key_id: True}
        self.used = {OLD.access_key_id}
        self.made = 0
        self.unknown_for = 0  # checks that a new key fails

    def list(self) -> list[AccessKey]:
        day = datetime(2026, 1, 1, tzinfo=UTC)
        return self.faults.call("list", lambda: [AccessKey(key, on, day) for key, on in self.active.items()])

    def last_use(self, key_id: str) -> LastUse:
        used = datetime(2026, 2, 3, tzinfo=UTC) if key_id in self.used else None
        return self.faults.call("last_use", lambda: LastUse(used, "s3" if used else ""))

    def create(self) -> KeyPair:
        def effect() -> KeyPair:
            assert len(self.secrets) < 2, "AWS allows two keys"
            self.made += 1
            pair = KeyPair(f"AKIANEW{self.made}", f"canary-new-{self.made}")
            self.secrets[pair.access_key_id] = pair.secret_access_key
            self.active[pair.access_key_id] = True
            return pair

        return self.faults.call("create", effect)

    def deactivate(self, key_id: str) -> None:
        self.faults.call("deactivate", lambda: self.active.__setitem__(key_id, False))

    def delete(self, key_id: str) -> None:
        def effect() -> None:
            del self.secrets[key_id], self.active[key_id]

        self.faults.call("delete", effect)

    def check(self, pair: KeyPair) -> None:
        def effect() -> None:
            if self.unknown_for:
                self.unknown_for -= 1
                raise CredentialsError("AWS does not know the key", code="access-key-unknown")
            assert self.works(pair)

        self.faults.call("check", effect)

    def works(self, pair: KeyPair) -> bool:
        return self.secrets.get(pair.access_key_id) == pair.secret_access_key and self.active[pair.access_key_id]


class FaultyPlace:
    """A real place whose changes may fail."""

    def __init__(self, place: KeyPlace, faults: Faults) -> None:
        self._place = place
        self._faults = faults
        self.label = place.label
        self.in_use = place.in_use
        self.find = place.find

    def keep(self, new: KeyPair) -> None:
        self._faults.call("keep", lambda: self._place.keep(new))

    def adopt(self, new: KeyPair) -> None:
        self._faults.call("adopt", lambda: self._place.adopt(new))

    def drop(self, key_id: str) -> None:
        self._faults.call("drop", lambda: self._place.drop(key_id))


class Memory:
    label = "the test keyring"

    def __init__(self) -> None:
        self.items: dict[str, str] = {}

    def read(self, user: str) -> str | None:
        return self.items.get(user)

    def write(self, user: str, value: str) -> None:
        self.items[user] = value

    def remove(self, user: str) -> bool:
        return self.items.pop(user, None) is not None


class World:
    """A user with one key, kept in a keyring or in the credentials file."""

    def __init__(self, kind: str, home: Path) -> None:
        self.kind = kind
        self.home = home
        self.faults = Faults()
        self.iam = ScriptedIam(self.faults)
        self.store = Memory()
        self.said: list[str] = []
        self.dropped: list[str] = []
        self.time = 0.0
        config, credentials = home / "config", home / "credentials"
        self.environ = {"AWS_CONFIG_FILE": str(config), "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
        if kind == "keyring":
            config.write_text(
                "# mine\n[profile dev]\nkeyring = personal\nkeyring_key_id = AKIAOLD\nregion = eu-west-1\n"
            )
            write_keys(self.store, "personal", StoredKeys(OLD))
        else:
            credentials.write_text(
                "# mine\n[dev]\naws_access_key_id = AKIAOLD\naws_secret_access_key = canary-old\n\n[other]\n"
            )

    def place(self) -> KeyPlace:
        if self.kind == "keyring":
            return KeyringPlace(self.store, "personal", "dev", lambda: load_files(self.environ, self.home))
        keys = plain_keys(load_files(self.environ, self.home), "dev")
        assert keys is not None
        return FilePlace(keys, "dev")

    def rotation(self, settings: Settings) -> Rotation:
        return Rotation(
            FaultyPlace(self.place(), self.faults),
            KeyServices(self.iam, lambda _: self.iam, self.iam.check),
            settings,
            journal=Journal(self.home / "rotation.json"),
            drop_sessions=lambda key_id: self.faults.call("drop_sessions", lambda: self.dropped.append(key_id)),
            say=self.said.append,
            clock=Clock(lambda: self.time, self._sleep),
        )

    def _sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds

    def run(self, *, delete: bool = False, finish: bool = False, replace_inactive: bool = False) -> Rotated | None:
        rotation = self.rotation(Settings(COMMAND, replace_inactive=replace_inactive, delete=delete or finish))
        return rotation.finish() if finish else rotation.run()

    def fail_at(self, at: int, *, after: bool, error: Callable[[], BaseException] | None = None) -> None:
        self.faults.calls.clear()
        self.faults.at, self.faults.after, self.faults.dead = at, after, False
        if error:
            self.faults.error = error

    def repair(self) -> None:
        self.fail_at(-1, after=False)

    def check_nothing_is_lost(self) -> None:
        """The keys that the profile uses are here with their secret, and AWS accepts them."""
        assert self.iam.works(self.place().in_use())

    def check_message(self, error: AwsRunasError) -> None:
        """What the details say is what IAM has."""
        in_use = self.place().in_use().access_key_id
        for key_id, active in self.iam.active.items():
            line = next(line for line in error.details if line.startswith(key_id + ":"))
            assert f" {'active' if active else 'inactive'} at AWS" in line
            assert ("in use here" in line) == (key_id == in_use)
            assert ("its secret is not here" in line) == (self.place().find(key_id) is None)
        assert len(error.details) == len(self.iam.active)
        assert COMMAND in (error.hint or "")
        assert "canary" not in f"{error.message}{error.hint}{error.details}"

    def check_complete(self, *, deleted: bool) -> None:
        in_use = self.place().in_use()
        assert in_use.access_key_id.startswith("AKIANEW")
        assert self.iam.works(in_use)
        wanted = {in_use.access_key_id: True} if deleted else {in_use.access_key_id: True, "AKIAOLD": False}
        assert self.iam.active == wanted
        assert not (self.home / "rotation.json").exists()
        assert "AKIAOLD" in self.dropped


@pytest.fixture(params=["keyring", "file"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


def calls_of(kind: str, home: Path) -> list[str]:
    home.mkdir()
    world = World(kind, home)
    world.run(delete=True)
    return list(world.faults.calls)


def test_a_rotation_leaves_the_old_key_inactive_and_finish_deletes_it(world: World) -> None:
    assert world.run() == Rotated("AKIANEW1", "AKIAOLD", deleted=False)
    world.check_complete(deleted=False)
    assert world.run(finish=True) == Rotated("AKIANEW1", "AKIAOLD", deleted=True)
    world.check_complete(deleted=True)
    assert world.run(finish=True) is None


def test_delete_does_it_all_at_once(world: World) -> None:
    assert world.run(delete=True) == Rotated("AKIANEW1", "AKIAOLD", deleted=True)
    world.check_complete(deleted=True)


def test_only_the_lines_of_the_keys_change(world: World) -> None:
    world.run(delete=True)
    name = "config" if world.kind == "keyring" else "credentials"
    text = (world.home / name).read_text()
    assert "AKIAOLD" not in text
    assert "awsrunas" not in text
    expected = (
        "# mine\n[profile dev]\nkeyring = personal\nregion = eu-west-1\nkeyring_key_id = AKIANEW1\n"
        if world.kind == "keyring"
        else "# mine\n[dev]\naws_access_key_id = AKIANEW1\naws_secret_access_key = canary-new-1\n\n[other]\n"
    )
    assert text == expected


def test_the_old_secret_is_kept_until_the_old_key_is_deleted_in_a_keyring(tmp_path: Path) -> None:
    world = World("keyring", tmp_path)
    world.run()
    assert world.place().find("AKIAOLD") == OLD
    world.run(finish=True)
    assert world.place().find("AKIAOLD") is None


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["keyring", "file"])
def test_a_fault_at_each_call_is_told_truly_and_can_be_continued(tmp_path: Path, kind: str, after: bool) -> None:
    calls = calls_of(kind, tmp_path / "count")
    assert {"list", "create", "keep", "check", "adopt", "deactivate", "delete", "drop", "drop_sessions"} <= set(calls)
    for at, name in enumerate(calls):
        home = tmp_path / str(at)
        home.mkdir()
        world = World(kind, home)
        world.fail_at(at, after=after)
        with pytest.raises(AwsRunasError) as caught:
            world.run(delete=True)
        assert world.faults.calls[at] == name
        world.repair()
        world.check_message(caught.value)
        world.check_nothing_is_lost()
        finish = "--finish" in (caught.value.hint or "")
        world.run(finish=finish, delete=not finish)
        world.check_complete(deleted=True)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("kind", ["keyring", "file"])
def test_a_process_killed_at_each_call_loses_nothing_and_the_next_one_continues(
    tmp_path: Path, kind: str, after: bool
) -> None:
    for at in range(len(calls_of(kind, tmp_path / "count"))):
        home = tmp_path / str(at)
        home.mkdir()
        world = World(kind, home)
        world.fail_at(at, after=after, error=KilledError)
        with pytest.raises(KilledError):
            world.run(delete=True)
        world.repair()
        world.check_nothing_is_lost()
        if world.run(finish=True) is None and "AKIAOLD" in world.iam.active:
            world.run(delete=True)  # it had not begun
        world.check_nothing_is_lost()
        assert "AKIAOLD" not in world.iam.active
        assert len(world.iam.active) == 1


@pytest.mark.parametrize("kind", ["keyring", "file"])
def test_ctrl_c_says_what_holds(tmp_path: Path, kind: str) -> None:
    world = World(kind, tmp_path)
    world.fail_at([*calls_of(kind, tmp_path / "count")].index("check"), after=False, error=KeyboardInterrupt)
    with pytest.raises(AwsRunasError) as caught:
        world.run()
    assert caught.value.exit_status == 130
    world.repair()
    world.check_message(caught.value)


def test_ctrl_c_at_the_first_question_asks_nothing_more(world: World) -> None:
    world.fail_at(0, after=False, error=KeyboardInterrupt)
    with pytest.raises(AwsRunasError) as caught:
        world.run()
    assert (caught.value.exit_status, caught.value.message) == (130, "interrupted")
    assert world.faults.calls == ["list"]  # a second one would ask for the MFA code again


def test_an_unreachable_iam_is_not_guessed_at(world: World) -> None:
    world.fail_at(0, after=False)
    world.faults.all = True
    with pytest.raises(AwsRunasError) as caught:
        world.run()
    assert caught.value.details == ("AKIAOLD: in use here; AWS cannot be asked which keys are active now",)


def test_a_new_key_is_waited_for_with_growing_delays(world: World) -> None:
    world.iam.unknown_for = 5
    world.run()
    assert world.faults.calls.count("check") == 6
    assert 0 < world.time < PATIENCE
    world.check_complete(deleted=False)


def test_a_key_that_stays_unknown_is_kept_and_the_old_one_used(world: World) -> None:
    world.iam.unknown_for = 1000
    with pytest.raises(AwsRunasError) as caught:
        world.run()
    assert world.time == PATIENCE
    assert caught.value.code == "access-key-unknown"
    world.check_message(caught.value)
    assert world.place().in_use() == OLD
    world.iam.unknown_for = 0
    world.run()
    assert world.iam.made == 1  # the same new key
    world.check_complete(deleted=False)


def test_two_keys_are_listed_and_an_inactive_one_makes_room_if_asked(world: World) -> None:
    world.iam.secrets["AKIAELSE"], world.iam.active["AKIAELSE"] = "x", False
    with pytest.raises(AwsRunasError) as caught:
        world.run()
    assert caught.value.code == "keys-limit"
    first, second = caught.value.details
    assert first.startswith("AKIAOLD: older, created 2026-01-01, last used 2026-02-03 by s3, active, in use here")
    assert second.startswith("AKIAELSE: newer, created 2026-01-01, never used, inactive")
    assert "--replace-inactive" in (caught.value.hint or "")
    world.run(replace_inactive=True)
    world.check_complete(deleted=False)


def test_no_key_is_deleted_where_the_rotation_cannot_be_noted(world: World) -> None:
    world.iam.secrets["AKIAELSE"], world.iam.active["AKIAELSE"] = "x", False
    (world.home / "rotation.json").mkdir()  # stands for a disk that takes nothing
    with pytest.raises((AwsRunasError, OSError)):
        world.run(replace_inactive=True)
    assert world.iam.active == {"AKIAOLD": True, "AKIAELSE": False}


def test_a_second_active_key_is_never_deleted(world: World) -> None:
    world.iam.secrets["AKIAELSE"], world.iam.active["AKIAELSE"] = "x", True
    for finish in (False, True):
        with pytest.raises(AwsRunasError) as caught:
            world.run(replace_inactive=True, finish=finish)
        assert caught.value.code == ("key-still-active" if finish else "keys-limit")
    assert world.iam.active == {"AKIAOLD": True, "AKIAELSE": True}
    assert world.iam.made == 0


def test_a_key_that_somebody_uses_is_not_taken_for_a_leftover(world: World) -> None:
    calls = ["list", "list", "create"]
    world.fail_at(calls.index("create"), after=True, error=KilledError)
    with pytest.raises(KilledError):
        world.run()
    world.repair()
    world.iam.used.add("AKIANEW1")
    with pytest.raises(AwsRunasError) as caught:
        world.run()
    assert caught.value.code == "keys-limit"
    assert "AKIANEW1" in world.iam.active


def test_a_damaged_journal_is_none(tmp_path: Path) -> None:
    for content in (b"", b"[]", b"{}", b"\xff", b'{"OldKeyId": 1}'):
        (tmp_path / "j").write_bytes(content)
        assert Journal(tmp_path / "j").read() is None


def test_the_settings_are_frozen() -> None:
    assert replace(Settings("x"), delete=True).delete
