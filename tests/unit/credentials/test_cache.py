"""The cache: when an entry is used, and that nothing about it can stop the work."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aws_runas.aws.credentials import Credentials
from aws_runas.config.resolve import Overrides
from aws_runas.credentials.cache import DiskCache, cache_directory, decode, encode, entry_name
from aws_runas.credentials.cached import CachedProvider, is_usable, usable_until
from tests.unit.credentials.conftest import World

START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = Credentials("ASIA1", "s", "t", expiration=START + timedelta(hours=1), issued=START)


def _at(minutes: float) -> float:
    return START.timestamp() + minutes * 60


@pytest.mark.parametrize(
    ("minutes", "usable"), [(0, True), (53.9, True), (54, False), (60, False), (-4.9, True), (-5.1, False)]
)
def test_credentials_are_used_until_a_tenth_of_their_life_is_left(minutes: float, usable: bool) -> None:
    assert is_usable(HOUR, _at(minutes)) is usable


def test_credentials_without_end_are_always_usable() -> None:
    assert usable_until(Credentials("AKIA", "s")) is None
    assert is_usable(Credentials("AKIA", "s"), _at(10**6))


def test_an_entry_survives_writing_and_reading() -> None:
    assert decode(encode(HOUR)) == HOUR


def test_files_and_directory_are_private(world: World) -> None:
    before = os.umask(0o000)
    world.access("plainrole").provider.credentials()
    os.umask(before)
    assert stat.S_IMODE(world.cache.stat().st_mode) == 0o700
    for path in world.cache.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_an_entry_near_its_end_is_fetched_anew(world: World) -> None:
    world.access("plainrole").provider.credentials()
    world.offset = 53.5 * 60
    world.access("plainrole").provider.credentials()
    assert world.sts.actions() == ["GetSessionToken", "AssumeRole"]
    world.offset = 54.5 * 60
    world.access("plainrole").provider.credentials()
    assert world.sts.actions() == ["GetSessionToken", "AssumeRole", "AssumeRole"]


def test_one_access_renews_without_being_told(world: World) -> None:
    provider = world.access("plainrole").provider
    first = provider.credentials()
    assert provider.credentials() is first
    world.offset = 55 * 60
    assert provider.credentials() != first


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'{"Version": 2}',
        b'{"Version": 1, "AccessKeyId": 5, "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "x"}',
        b'{"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "2099-01-01"}',
        b"\xff\xfe\x00",
        b"{" * 100_000,
        b"[" * 60_000,
    ],
)
def test_a_damaged_entry_is_a_miss(world: World, content: bytes) -> None:
    world.access("plainrole").provider.credentials()
    for path in [*world.entries("role"), *world.entries("session")]:
        path.write_bytes(content)
    world.access("plainrole").provider.credentials()
    assert world.sts.actions() == ["GetSessionToken", "AssumeRole"] * 2
    assert {warning.partition(":")[0].rpartition("/")[2] for warning in world.warnings} == {
        f"{path.name} is not used" for path in [*world.entries("role"), *world.entries("session")]
    }
    assert len(world.warnings) == 2
    world.warnings.clear()
    world.access("plainrole").provider.credentials()
    assert world.warnings == []


def test_an_entry_that_others_can_read_is_a_miss(world: World) -> None:
    world.access("plainrole").provider.credentials()
    (entry,) = world.entries("role")
    entry.chmod(0o644)
    world.access("plainrole").provider.credentials()
    assert world.sts.actions() == ["GetSessionToken", "AssumeRole", "AssumeRole"]
    assert stat.S_IMODE(world.entries("role")[0].stat().st_mode) == 0o600


def test_an_entry_that_is_a_link_is_a_miss(world: World, tmp_path: Path) -> None:
    world.access("plainrole").provider.credentials()
    (entry,) = world.entries("role")
    entry.rename(tmp_path / "elsewhere")
    entry.symlink_to(tmp_path / "elsewhere")
    world.access("plainrole").provider.credentials()
    assert world.sts.actions().count("AssumeRole") == 2


def test_an_entry_that_is_a_fifo_or_a_directory_is_a_miss(world: World) -> None:
    world.access("plainrole").provider.credentials()
    (role,), (session,) = world.entries("role"), world.entries("session")
    role.unlink()
    os.mkfifo(role)
    session.unlink()
    session.mkdir()
    world.access("plainrole").provider.credentials()
    assert world.sts.actions() == ["GetSessionToken", "AssumeRole"] * 2


def test_the_variable_moves_the_cache(world: World, tmp_path: Path) -> None:
    world.access("plainrole", RUNAS_CACHE_DIR=str(tmp_path / "a" / "b")).provider.credentials()
    assert not world.cache.exists()
    assert sorted(path.name.partition("-")[0] for path in (tmp_path / "a" / "b").glob("*.json")) == ["role", "session"]
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700


def test_a_config_file_without_a_place_leaves_the_cache_at_home(tmp_path: Path) -> None:
    home = tmp_path / "home"
    at_home = home / ".aws" / "aws-runas" / "cache"
    assert cache_directory({}, Path("/dev/null"), home) == at_home
    assert cache_directory({}, Path("/proc/self/fd/3"), home) == at_home
    assert cache_directory({}, tmp_path / "config", home) == tmp_path / "aws-runas" / "cache"


def test_a_file_in_the_caches_place_is_warned_about_once_and_borne(world: World) -> None:
    world.cache.parent.mkdir()
    world.cache.write_text("")
    world.access("plainrole").provider.credentials()
    assert len(world.warnings) == 1
    assert str(world.cache) in world.warnings[0]
    assert world.cache.read_text() == ""


def test_a_directory_of_another_user_is_not_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    user = os.geteuid()
    world.cache.mkdir(parents=True)
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    world.access("plainrole").provider.credentials()
    assert "belongs to another user" in world.warnings[0]
    assert list(world.cache.iterdir()) == []


def test_a_full_disk_is_warned_about_and_borne(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object, **_named: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.replace", full)
    found = world.access("plainrole").provider.credentials()
    assert found.access_key_id.startswith("ASIAROLE")
    assert len(world.warnings) == 1
    assert "no space left" in world.warnings[0]
    assert not [path for path in world.cache.iterdir() if path.suffix != ".lock"]


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o1777])
def test_a_directory_open_to_others_is_not_used_and_not_changed(world: World, mode: int) -> None:
    world.cache.mkdir(parents=True)
    world.cache.chmod(mode)
    world.access("plainrole").provider.credentials()
    assert stat.S_IMODE(world.cache.stat().st_mode) == mode
    assert "open to other users" in world.warnings[0]
    assert len(world.warnings) == 1
    assert list(world.cache.iterdir()) == []


@pytest.mark.parametrize("kind", ["device", "pipe", "file"])
def test_what_is_no_directory_is_not_changed(world: World, tmp_path: Path, kind: str) -> None:
    """Each of these stands for /dev/null; with the real one, a failure of this test would close it for everybody."""
    path = tmp_path / kind
    if kind == "device":
        try:
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("only root makes devices")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("")
    path.chmod(0o666)
    before = path.stat()
    for place in (path, path / "cache"):
        world.access("plainrole", RUNAS_CACHE_DIR=str(place)).provider.credentials()
    assert path.stat() == before
    assert len(world.warnings) == 2
    assert all(str(path) in warning for warning in world.warnings)


def test_what_a_killed_process_left_is_removed_at_the_next_start(world: World) -> None:
    world.access("plainrole").provider.credentials()
    old, young, foreign = (world.cache / name for name in (f".role-x.json.{'a' * 12}.tmp", f".b.{'b' * 12}.tmp", ".rc"))
    for path in (old, young, foreign):
        path.write_text("secret")
    for path in (old, foreign):
        os.utime(path, (0, 0))
    world.access("plainrole").provider.credentials()
    assert [path.exists() for path in (old, young, foreign)] == [False, True, True]


_DIFFERENT: list[tuple[Overrides, dict[str, str]]] = [
    (Overrides(external_id="ext"), {}),
    (Overrides(role_duration=1800), {}),
    (Overrides(role_session_name="bob"), {}),
    (Overrides(mfa_serial="arn:aws:iam::123456789012:mfa/me", otp="123456"), {}),
    (Overrides(session_tags=(("a", "b"),)), {}),
    (Overrides(source_identity="me"), {}),
    (Overrides(policy="{}"), {}),
    (Overrides(policy_arns=("arn:aws:iam::aws:policy/ReadOnlyAccess",)), {}),
    (Overrides(), {"AWS_REGION": "eu-west-3"}),
]


@pytest.mark.parametrize(("overrides", "environ"), _DIFFERENT)
def test_whatever_changes_the_answer_is_an_entry_of_its_own(
    world: World, overrides: Overrides, environ: dict[str, str]
) -> None:
    world.access("plainrole").provider.credentials()
    world.access("plainrole", overrides, **environ).provider.credentials()
    assert len(world.entries("role")) == 2


def test_other_keys_and_other_endpoints_are_entries_of_their_own(world: World) -> None:
    world.access("plainrole").provider.credentials()
    path = world.home / ".aws" / "credentials"
    path.write_text(path.read_text().replace("AKIAPLAINEXAMPLE", "AKIAROTATED"))
    world.access("plainrole").provider.credentials()
    world.access("plainrole", AWS_ENDPOINT_URL_STS=world.sts.url + "/").provider.credentials()
    assert len(world.entries("session")) == 3
    assert len(world.entries("role")) == 3


def test_a_longer_session_token_is_an_entry_of_its_own(world: World) -> None:
    world.access("plainrole").provider.credentials()
    world.access("plain", Overrides(session_token_duration=900)).provider.credentials()
    assert len(world.entries("session")) == 2


def test_names_of_entries_tell_nothing() -> None:
    name = entry_name("role", {"roles": [["arn:aws:iam::1:role/Admin"]]})
    assert "Admin" not in name
    assert name == entry_name("role", {"roles": [["arn:aws:iam::1:role/Admin"]]})
    assert name != entry_name("session", {"roles": [["arn:aws:iam::1:role/Admin"]]})


def test_entries_that_ended_long_ago_are_removed(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, warn=pytest.fail)
    for name in ("role-old.json", "role-old.json.lock", "fast-r-old", "keep.txt"):
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (0, 0))
    cache.write("role-new.json", HOUR)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keep.txt", "role-new.json"]


def test_what_a_process_gives_is_not_kept_on_disk(world_with: Callable[[str], World]) -> None:
    document = json.dumps(
        {
            "Version": 1,
            "AccessKeyId": "ASIAP",
            "SecretAccessKey": "s",
            "SessionToken": "t",
            "Expiration": "2099-01-01T00:00:00Z",
        }
    )
    world = world_with(f"[profile process]\ncredential_process = echo '{document}'\n")
    world.access("process").provider.credentials()
    assert not world.cache.exists()


def test_a_process_that_waits_sees_the_entry_before_the_lock_is_free(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache", pytest.fail)
    provider = CachedProvider(Refusing(), cache, "role-x.json", lambda: _at(1))
    found: list[Credentials] = []
    with cache.lock("role-x.json", lambda: False):  # as the process that fetches does
        waiting = threading.Thread(target=lambda: found.append(provider.credentials()))
        waiting.start()
        cache.write("role-x.json", HOUR)
        waiting.join(30)
        assert found == [HOUR]


class Refusing:
    def credentials(self, *, refresh: bool = False) -> Credentials:
        raise AssertionError(f"asked, refresh={refresh}")
