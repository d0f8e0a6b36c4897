"""The shortcut: used when nothing has changed, and at no other time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aws_runas.aws.credentials import Credentials
from aws_runas.cli.shortcut import shortcut_facts, write_shortcut
from aws_runas.config.resolve import Overrides, load_files, resolve
from aws_runas.fast import shortcut as fast
from tests.support.sts_server import ROLE, write_home


class Home:
    """A home with config files that are old enough to be trusted."""

    def __init__(self, path: Path, more: str = "") -> None:
        self.path = path
        self.environ = write_home(path, "http://127.0.0.1:1", more=more)
        (path / ".aws" / "aws-runas" / "cache").mkdir(parents=True, mode=0o700)
        self.settle()

    def settle(self) -> None:
        """Wait until the files are older than a tick of the clock."""
        deadline = time.monotonic() + 10
        while any(
            time.time_ns() - os.stat(self.path / ".aws" / name).st_ctime_ns < 50_000_000
            for name in ("config", "credentials")
        ):
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def write_shortcut(
        self, name: str | None = "role", environ: dict[str, str] | None = None, *, life: float = 3600, age: float = 0
    ) -> None:
        variables = self.environ | (environ or {})
        before = fast.header(variables)
        profile = resolve(load_files(variables, self.path), name, Overrides(), variables)
        issued = datetime.now(UTC) - timedelta(seconds=age)
        credentials = Credentials("ASIAX", "s%\n", "t", expiration=issued + timedelta(seconds=life), issued=issued)
        facts = {"fact": "a fact"} | shortcut_facts(profile, variables, self.path)
        write_shortcut(name, profile, credentials, variables, before=before, facts=facts)

    def read(
        self, name: str = "role", environ: dict[str, str] | None = None, *, session: bool = False
    ) -> dict[str, str] | None:
        return fast.read(name, self.environ | (environ or {}), use_session_token=session)

    def file(self, name: str = "role") -> Path:
        return self.path / ".aws" / "aws-runas" / "cache" / f"fast-r-{name}"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_what_was_written_is_read(home: Home) -> None:
    home.write_shortcut()
    found = home.read()
    assert found is not None
    assert (found["profile"], found["region"], found["fact"]) == ("role", "us-east-1", "a fact")
    assert (found["key"], found["secret"], found["token"]) == ("ASIAX", "s%\n", "t")


@pytest.mark.parametrize(
    "environ",
    [
        {"AWS_REGION": "eu-west-1"},
        {"AWS_PROFILE": "other"},
        {"CREDENTIALS_DURATION": "30m"},
        {"EXTERNAL_ID": "x"},
        {"MFA_SERIAL": "x"},
        {"MFA_CODE": "123456"},
        {"LOGNAME": "another"},
        {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s"},
        {"RUNAS_VERBOSE": "1"},
        {"AWS_CONFIG_FILE": "relative"},
        {"AWS_SHARED_CREDENTIALS_FILE": "/dev/null"},
        {"HOME": "/nowhere"},
        {"HOME": ""},
    ],
)
def test_another_variable_is_a_miss(home: Home, environ: dict[str, str]) -> None:
    home.write_shortcut()
    assert home.read(environ=environ) is None
    assert home.read() is not None
    assert home.read(environ={"PATH": "/elsewhere"}) is not None


def test_another_name_or_mode_is_a_miss(home: Home) -> None:
    home.write_shortcut()
    assert home.read("other") is None
    assert home.read("") is None
    assert home.read(session=True) is None


def _append(path: Path) -> None:
    path.write_text(path.read_text() + "\n")


def _rewrite_in_place(path: Path) -> None:
    before = path.stat()
    path.write_text(path.read_text().replace("role", "r0le"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text(path.read_text())
    new.replace(path)


@pytest.mark.parametrize("change", [_append, _rewrite_in_place, _replace, Path.unlink])
@pytest.mark.parametrize("name", ["config", "credentials"])
def test_a_changed_file_is_a_miss(home: Home, name: str, change: Callable[[Path], None]) -> None:
    home.write_shortcut()
    change(home.path / ".aws" / name)
    assert home.read() is None


def test_credentials_near_their_end_are_a_miss(home: Home) -> None:
    home.write_shortcut(age=3600 * 0.91)
    assert home.read() is None
    home.write_shortcut(age=3600 * 0.85)
    assert home.read() is not None


def test_credentials_of_the_future_are_a_miss(home: Home) -> None:
    home.write_shortcut(age=-400)
    assert home.read() is None


def test_a_file_that_others_may_read_is_a_miss(home: Home) -> None:
    home.write_shortcut()
    home.file().chmod(0o640)
    assert home.read() is None


def test_a_link_is_a_miss(home: Home) -> None:
    home.write_shortcut()
    home.file().rename(home.path / "moved")
    home.file().symlink_to(home.path / "moved")
    assert home.read() is None


@pytest.mark.parametrize("length", [0, 1, 50, -1, -5])
def test_a_damaged_file_is_a_miss(home: Home, length: int) -> None:
    home.write_shortcut()
    home.file().write_bytes(home.file().read_bytes()[:length])
    assert home.read() is None
    home.file().write_bytes(b"\xff" * 100)
    assert home.read() is None


def test_odd_names_are_files_of_their_own(tmp_path: Path) -> None:
    arns = (ROLE + "A/B", ROLE + "A%2fB", ROLE + "é")
    home = Home(tmp_path, "[profile ../x]\naws_access_key_id = A\naws_secret_access_key = s\n")
    for name in (*arns[:2], "../x"):
        if name in arns:
            home.write_shortcut(name, {"AWS_PROFILE": "plain"})
            assert home.read(name, {"AWS_PROFILE": "plain"}) is not None
        else:
            home.write_shortcut(name)
            assert home.read(name) is not None
    assert {path.name for path in home.file().parent.iterdir()} == {
        "fast-r-arn%3aaws%3aiam%3a%3a123456789012%3arole%2f%41%2f%42",
        "fast-r-arn%3aaws%3aiam%3a%3a123456789012%3arole%2f%41%252f%42",
        "fast-r-..%2fx",
    }


def test_a_file_system_that_folds_case_does_not_give_one_profile_the_keys_of_another(home: Home) -> None:
    home.write_shortcut("plain")
    other = fast.file_path("Plain", home.environ, "r")
    assert other is not None
    Path(other).write_bytes(home.file("plain").read_bytes())  # what is found under the other name
    Path(other).chmod(0o600)
    assert home.read("plain") is not None
    assert home.read("Plain") is None


def test_the_file_of_the_session_token_is_not_read_for_the_role(home: Home) -> None:
    home.write_shortcut("plain")
    other = fast.file_path("plain", home.environ, "s")
    assert other is not None
    home.file("plain").rename(other)
    assert fast.read("plain", home.environ, use_session_token=True) is None


def test_names_of_other_bytes_are_files_of_their_own(home: Home) -> None:
    names = ["plain\udce9", "plain\udcea", "Plain", "plain"]
    assert len({(fast.file_path(name, home.environ, "r") or "").lower() for name in names}) == len(names)


def test_no_secret_of_the_environment_is_written(home: Home) -> None:
    for variables in (
        {"AWS_SECRET_ACCESS_KEY": "my-secret", "AWS_ACCESS_KEY_ID": "AKIA"},
        {"AWS_SESSION_TOKEN": "my-secret"},
        {"MFA_CODE": "my-secret"},
        {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "my-secret"},
    ):
        home.write_shortcut(environ=variables)
        assert list(home.file().parent.iterdir()) == []


@pytest.mark.parametrize("name", ["AWS_BEARER_TOKEN_BEDROCK", "AWS_SECRET_KEY", "RUNAS_PASSWORD", "AWS_API_KEY"])
def test_what_is_named_like_a_secret_is_not_written_either(home: Home, name: str) -> None:
    home.write_shortcut(environ={name: "my-secret"})
    assert not home.file().exists()
    home.write_shortcut()
    assert home.read(environ={name: "my-secret"}) is None
    assert home.read(environ={name: ""}) is None


def test_addresses_and_paths_are_no_secrets(home: Home) -> None:
    harmless = {"AWS_ENDPOINT_URL_KEYSPACES": "http://127.0.0.1:2", "AWS_WEB_IDENTITY_TOKEN_FILE": "/none"}
    home.write_shortcut(environ=harmless)
    assert home.read(environ=harmless) is not None


def test_a_file_changed_in_this_very_moment_is_not_trusted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    config = home.path / ".aws" / "config"
    config.write_text(config.read_text())
    monkeypatch.setattr("time.time_ns", lambda: config.stat().st_ctime_ns + 1_000_000)
    home.write_shortcut()
    assert not home.file().exists()


@pytest.mark.parametrize("looks", [1, 2, 3])
def test_a_file_that_another_process_removes_meanwhile_leaves_no_valid_shortcut(
    home: Home, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    before = fast.header(home.environ)
    credentials = str(home.path / ".aws" / "credentials")
    seen = 0
    look = os.stat

    def late(path: str, **values: object) -> os.stat_result:
        nonlocal seen
        status = look(path, **values)  # type: ignore[arg-type]
        if path == credentials:
            seen += 1
            if seen == looks:
                os.unlink(path)  # the other process, right after this look
        return status

    monkeypatch.setattr(os, "stat", late)
    fast.write("role", home.environ, before, {"key": "k"})
    assert home.read() is None


def test_a_source_that_files_and_variables_do_not_settle_leaves_no_shortcut(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    home = Home(
        tmp_path,
        f"[profile web]\nrole_arn = {ROLE}W\nweb_identity_token_file = {tmp_path}/token\n"
        "[profile process]\ncredential_process = false\n"
        "[profile temporary]\naws_access_key_id = ASIA\naws_secret_access_key = s\naws_session_token = t\n"
        f"[profile machine]\nrole_arn = {ROLE}M\ncredential_source = Ec2InstanceMetadata\n"
        f"[profile less]\nrole_arn = {ROLE}L\nsource_profile = plain\nsession_policy = file://{tmp_path}/policy\n",
    )
    (tmp_path / "policy").write_text("{}")
    for name in ("web", "process", "temporary", "machine", "less"):
        home.write_shortcut(name)
        assert home.read(name) is None


def test_nothing_is_left_in_a_directory_that_is_not_ours_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.file().parent.chmod(0o750)
    home.write_shortcut()
    assert not home.file().exists()
    home.file().parent.chmod(0o700)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    home.write_shortcut()
    assert not home.file().exists()


def test_a_read_only_cache_is_no_error(home: Home) -> None:
    home.file().parent.rmdir()
    home.file().parent.write_text("")
    home.write_shortcut()
    assert home.read() is None


def test_reading_imports_nothing_heavy() -> None:
    script = (
        "import sys; before = set(sys.modules); from aws_runas.fast import shortcut; shortcut.read('x', {'HOME': '/'});"
        " print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "['aws_runas', 'aws_runas.fast', 'aws_runas.fast.shortcut']"


@pytest.mark.parametrize(
    "name", ["JUMP_ROLE_ARN", "SAML_AUTH_URL", "WEB_CLIENT_ID", "FEDERATED_USERNAME", "AUTH_BROWSER", "MFA_TYPE",
             "DURATION_SECONDS"],
)  # fmt: skip
def test_a_variable_of_sign_in_makes_another_answer(home: Home, name: str) -> None:
    values = {"SAML_AUTH_URL": "https://idp.example/", "JUMP_ROLE_ARN": f"{ROLE}Jump"}
    environ = {name: values.get(name, "x")}
    home.write_shortcut()
    assert home.read(environ=environ) is None
    home.write_shortcut(environ=environ)
    assert home.read(environ=environ) is not None
    assert home.read() is None


@pytest.mark.parametrize("name", ["SAML_PASSWORD", "WEB_PASSWORD", "WEB_IDENTITY_PASSWORD", "RUNAS_PASSWORD",
                                  "RUNAS_KEYRING_PASSPHRASE"])  # fmt: skip
def test_a_password_uses_the_full_path_and_is_written_nowhere(home: Home, name: str) -> None:
    home.write_shortcut(environ={name: "canary"})
    assert not home.file().exists()
    home.write_shortcut()
    assert home.read(environ={name: "canary"}) is None


def test_no_shortcut_survives_an_invalidation(home: Home) -> None:
    directory = home.file().parent
    home.write_shortcut()
    kept = home.file().read_bytes()
    before = fast.header(home.environ)
    fast.invalidate(directory)
    assert not home.file().exists()
    home.file().write_bytes(kept)  # as if it could not be removed
    home.file().chmod(0o600)
    assert home.read() is None
    home.file().unlink()
    fields = dict.fromkeys(fast.FIELDS, "1")
    fast.write("role", home.environ, before, fields)  # by a process that had started before
    assert not home.file().exists()
    home.write_shortcut()
    assert home.read() is not None
    fast.invalidate(directory)
    assert home.read() is None


def test_shortcuts_are_removed_where_nothing_can_be_written(home: Home) -> None:
    home.write_shortcut()
    (home.file().parent / fast.EPOCH).mkdir()  # nothing can be written there, as on a full disk
    with pytest.raises(OSError):
        fast.invalidate(home.file().parent)
    assert not home.file().exists()


def test_invalidating_a_cache_that_is_not_there_makes_none(tmp_path: Path) -> None:
    fast.invalidate(tmp_path / "none")
    assert not (tmp_path / "none").exists()
