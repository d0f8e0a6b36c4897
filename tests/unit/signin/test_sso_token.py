"""The token file: its name, its content, and files that others write or damage."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aws_runas.config.sso import SsoSession
from aws_runas.errors import CredentialsError
from aws_runas.signin.sso_token import Registration, SsoToken, TokenFiles, make_token, read_time, write_time

SESSION = SsoSession("corp", "https://corp.awsapps.com/start", "eu-west-1")
REFRESH: dict[str, object] = {"refreshToken": "r", "clientId": "i", "clientSecret": "s"}
NOW = datetime(2026, 11, 27, 12, tzinfo=UTC).timestamp()


def test_the_name_is_the_sha1_of_the_session_or_of_the_start_url(tmp_path: Path) -> None:
    token_files = TokenFiles(tmp_path)
    assert token_files.path(SESSION).name == hashlib.sha1(b"corp").hexdigest() + ".json"
    names = {
        token_files.path(SsoSession("", url, "eu-west-1")).name
        for url in (
            "https://corp.awsapps.com/start",
            "https://corp.awsapps.com/start/",
            "https://corp.awsapps.com/start#/",
        )
    }
    assert len(names) == 3
    assert hashlib.sha1(b"https://corp.awsapps.com/start").hexdigest() + ".json" in names


def test_what_is_written_is_read_and_private(tmp_path: Path) -> None:
    token_files = TokenFiles(tmp_path)
    made = make_token(SESSION, "token", NOW + 3600, "refresh", registration=Registration("id", "secret", NOW + 86400))
    token_files.write(SESSION, made)
    path = token_files.path(SESSION)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert json.loads(path.read_bytes()) == {
        "startUrl": "https://corp.awsapps.com/start",
        "region": "eu-west-1",
        "accessToken": "token",
        "expiresAt": "2026-11-27T13:00:00Z",
        "clientId": "id",
        "clientSecret": "secret",
        "registrationExpiresAt": "2026-11-28T12:00:00Z",
        "refreshToken": "refresh",
    }
    assert token_files.read(SESSION) == made


def test_an_existing_directory_keeps_its_mode_and_a_readable_file_becomes_private(tmp_path: Path) -> None:
    token_files = TokenFiles(tmp_path)
    token_files.directory.mkdir(parents=True)
    token_files.directory.chmod(0o755)
    token_files.path(SESSION).write_text("{}")
    token_files.path(SESSION).chmod(0o644)
    token_files.write(SESSION, make_token(SESSION, "token", NOW, "", registration=None))
    assert token_files.directory.stat().st_mode & 0o777 == 0o755
    assert token_files.path(SESSION).stat().st_mode & 0o777 == 0o600


def test_unknown_members_survive_and_a_lost_refresh_token_does_not(tmp_path: Path) -> None:
    before = SsoToken("old", NOW, {"other": {"a": 1}, "refreshToken": "old", "clientId": "id"})
    after = make_token(SESSION, "new", NOW, "", registration=None, before=before)
    assert after.members["other"] == {"a": 1}
    assert after.members["clientId"] == "id"
    assert "refreshToken" not in after.members


def test_a_file_that_is_being_written_is_read_again(tmp_path: Path) -> None:
    whole = json.dumps(dict(make_token(SESSION, "token", NOW, "", registration=None).members))
    token_files = TokenFiles(tmp_path)
    pauses: list[float] = []

    def finish(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            token_files.path(SESSION).write_text(whole)

    token_files = TokenFiles(tmp_path, finish)
    token_files.directory.mkdir(parents=True)
    token_files.path(SESSION).write_text(whole[:20])
    found = token_files.read(SESSION)
    assert found is not None
    assert found.access_token == "token"
    assert pauses == [0.02] * 3


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "null", "[]", "{}", '{"accessToken": "t"}', '{"accessToken": 5, "expiresAt": "2026-11-27T12:00:00Z"}',
        '{"accessToken": "t", "expiresAt": "soon"}', '{"accessToken": "a\\nb", "expiresAt": "2026-11-27T12:00:00Z"}',
    ],
)  # fmt: skip
def test_a_damaged_file_is_a_miss(tmp_path: Path, content: str) -> None:
    token_files = TokenFiles(tmp_path, lambda _: None)
    token_files.directory.mkdir(parents=True)
    token_files.path(SESSION).write_text(content)
    assert token_files.read(SESSION) is None


def test_a_pipe_in_place_of_a_file_is_a_miss_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    token_files = TokenFiles(tmp_path, lambda _: None)
    token_files.directory.mkdir(parents=True)
    os.mkfifo(token_files.path(SESSION))
    assert token_files.read(SESSION) is None


@pytest.mark.parametrize(
    "text", ["2026-11-27T12:00:00Z", "2026-11-27T12:00:00UTC", "2026-11-27T12:00:00+00:00", "2026-11-27T13:00:00+01:00"]
)
def test_times_of_older_tools_are_read(text: str) -> None:
    assert read_time(text) == NOW


def test_a_time_that_is_none_is_an_error_of_the_service() -> None:
    with pytest.raises(CredentialsError) as caught:
        write_time(1e20)
    assert caught.value.code == "endpoint-not-aws"


@pytest.mark.parametrize(
    ("left", "members", "valid", "due", "refreshable"),
    [
        (3600.0, {}, True, False, False),
        (899.0, {}, True, True, False),
        (-1.0, {}, False, True, False),
        (-1.0, REFRESH | {"registrationExpiresAt": "2026-11-27T12:00:01Z"}, False, True, True),
        (-1.0, REFRESH | {"registrationExpiresAt": "2026-11-27T11:00:00Z"}, False, True, False),
        (-1.0, REFRESH, False, True, False),
    ],
)  # fmt: skip
def test_what_can_be_done_with_a_token(
    left: float, members: dict[str, object], valid: bool, due: bool, refreshable: bool
) -> None:
    token = SsoToken("t", NOW + left, members)
    assert (token.is_valid(NOW), token.is_due(NOW), token.is_refreshable(NOW)) == (valid, due, refreshable)


def test_the_registrations_of_both_flows_and_of_the_aws_cli_have_files_of_their_own(tmp_path: Path) -> None:
    token_files = TokenFiles(tmp_path)
    made = Registration("id", "secret", NOW + 86400)
    token_files.write_registration(SESSION, "browser", SESSION.start_url, made)
    token_files.write_registration(SESSION, "device", SESSION.start_url, Registration("id2", "secret", NOW + 86400))
    theirs = json.dumps(
        {"region": "eu-west-1", "scopes": ["sso:account:access"], "session_name": "corp",
         "startUrl": SESSION.start_url, "tool": "botocore"}, sort_keys=True,
    )  # fmt: skip
    names = {path.name for path in token_files.directory.iterdir()}
    assert len(names) == 2
    assert hashlib.sha1(theirs.encode()).hexdigest() + ".json" not in names
    assert token_files.read_registration(SESSION, "browser", SESSION.start_url, NOW) == made
    assert token_files.read_registration(SESSION, "browser", SESSION.start_url, NOW + 86400 - 899) is None
    assert token_files.read_registration(SESSION, "browser", "https://other.awsapps.com/start", NOW) is None


def test_every_token_is_found_also_of_sessions_in_no_config(tmp_path: Path) -> None:
    token_files = TokenFiles(tmp_path)
    token_files.write(SESSION, make_token(SESSION, "one", NOW, "", registration=None))
    token_files.write_registration(SESSION, "device", SESSION.start_url, Registration("id", "secret", NOW + 86400))
    (token_files.directory / "other.json").write_text(os.environ.get("NOTHING", "not json"))
    assert [token.access_token for _, token in TokenFiles(tmp_path, lambda _: None).all()] == ["one"]


def test_no_secret_is_in_a_repr() -> None:
    token = make_token(SESSION, "canary", NOW, "canary", registration=Registration("id", "canary", NOW))
    assert "canary" not in repr(token)
    assert "canary" not in repr(Registration("id", "canary", NOW))
