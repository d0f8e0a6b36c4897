"""Every case of the folder `cases`: config, credentials and environment go in, a profile or an error comes out.

Where AWS's own rules decide, botocore is given the same and must agree; where it must not, the case says why.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions

from aws_runas.config.profile import KeyringSource, KeySource, NoSource, Profile, ResolverSource
from aws_runas.config.resolve import Overrides, load_files, resolve
from aws_runas.errors import AwsRunasError
from tests.unit.config import botocore_oracle

CASES = sorted((Path(__file__).parent / "cases").iterdir())


class Case:
    """A folder, unpacked into a home of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.expected: dict[str, Any] = json.loads((folder / "expected.json").read_text())
        self.home = home
        (home / ".aws").mkdir()
        for name in ("config", "credentials"):
            if (folder / name).exists():
                shutil.copy(folder / name, home / ".aws" / name)
        self.environ: dict[str, str] = {"HOME": str(home)}
        if (folder / "environment").exists():
            for line in (folder / "environment").read_text().splitlines():
                key, _, value = line.partition("=")
                self.environ[key] = value

    def resolve(self) -> Profile:
        overrides = Overrides(**self.expected.get("overrides", {}))
        return resolve(load_files(self.environ, self.home), self.expected["name"], overrides, self.environ)


@pytest.fixture(params=CASES, ids=lambda folder: folder.name)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return Case(request.param, tmp_path)


def test_case_resolves_as_expected(case: Case) -> None:
    if "error" in case.expected:
        _check_error(case, case.expected["error"])
        return
    profile = case.resolve()
    _check_profile(profile, case.expected["profile"])


def test_botocore_agrees(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = case.expected["botocore"]
    if verdict != "agrees":
        assert verdict.startswith(("differs: ", "not asked: "))
        return
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in case.environ.items():
        monkeypatch.setenv(name, value)
    name = case.expected["name"]
    if "error" in case.expected:
        with pytest.raises(exceptions.BotoCoreError):
            botocore_oracle.ask(name)
        return
    expected = case.expected["profile"]
    seen = botocore_oracle.ask(name)
    profile = case.resolve()
    assert seen.key == expected["key"]
    assert [call["RoleArn"] for call in seen.calls] == [role.arn for role in profile.roles]
    for call, role in zip(seen.calls, profile.roles, strict=True):
        assert call.get("ExternalId") == role.external_id
        assert int(call.get("DurationSeconds", 3600)) == role.duration.value
    for call, wanted in zip(seen.calls, expected["roles"], strict=True):
        if "session_name" in wanted:
            assert call["RoleSessionName"] == wanted["session_name"]
    if profile.roles and profile.mfa_serial:
        assert seen.calls[-1]["SerialNumber"] == profile.mfa_serial.value
    if isinstance(profile.source, KeySource) and not profile.roles:
        assert (seen.secret, seen.token) == (profile.source.secret_access_key, profile.source.session_token)
    assert seen.region == (profile.region.value if profile.region else None)
    for service in expected.get("endpoints", {}):
        assert botocore_oracle.endpoint(name, service) == profile.endpoint_url(service)


def _check_error(case: Case, expected: Mapping[str, Any]) -> None:
    with pytest.raises(AwsRunasError) as caught:
        case.resolve()
    assert caught.value.code == expected["code"]
    for text in expected["contains"]:
        assert text in caught.value.message
    for text in expected.get("hint", []):
        assert text in (caught.value.hint or "")
    assert "\n" not in caught.value.message


def _check_profile(profile: Profile, expected: dict[str, Any]) -> None:
    expected = dict(expected)
    kind, key = expected.pop("kind", None), expected.pop("key")
    if kind:
        assert isinstance(profile.source, ResolverSource)
        assert profile.source.kind == kind
    elif "keyring" in expected:
        assert isinstance(profile.source, KeyringSource)
        assert (profile.source.name, profile.source.access_key_id) == (expected.pop("keyring"), key)
    elif key is None:
        assert isinstance(profile.source, NoSource)
    else:
        assert isinstance(profile.source, KeySource)
        assert profile.source.access_key_id == key
        if "token" in expected:
            assert profile.source.session_token == expected.pop("token")
        if "secret" in expected:
            assert profile.source.secret_access_key == expected.pop("secret")
    if "roles" in expected:
        _check_roles(profile, expected.pop("roles"))
    for service, url in expected.pop("endpoints", {}).items():
        assert profile.endpoint_url(service) == url
    for setting, origin in expected.pop("origins", {}).items():
        assert origin in getattr(profile, setting).origin
    if "sts_region" in expected:
        assert profile.sts_region == expected.pop("sts_region")
    for setting, value in expected.items():
        found = getattr(profile, setting)
        assert (found.value if found else None) == value, setting


def _check_roles(profile: Profile, roles: list[dict[str, Any]]) -> None:
    assert [role.arn for role in profile.roles] == [role["arn"] for role in roles]
    for found, wanted in zip(profile.roles, roles, strict=True):
        for key, value in wanted.items():
            actual = getattr(found, key)
            actual = actual.value if key == "duration" else actual
            assert json.loads(json.dumps(actual)) == value, key
