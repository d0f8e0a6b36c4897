"""Answers of identity providers on disk: until they end, for this user alone."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from aws_runas.credentials.kept_answers import RESERVE, KeptAnswers

NOW = 1_800_000_000.0


@pytest.fixture
def kept(tmp_path: Path) -> KeptAnswers:
    return KeptAnswers(tmp_path / "cache", ("saml", "https://idp.example/", "jane"))


def test_an_answer_is_used_until_its_end_and_then_removed(kept: KeptAnswers, tmp_path: Path) -> None:
    kept.write("canary", NOW + 300)
    assert kept.read(NOW) == "canary"
    assert kept.read(NOW + 300 - RESERVE) is None
    assert not (tmp_path / "cache" / kept.name).exists()


def test_its_file_is_private(kept: KeptAnswers, tmp_path: Path) -> None:
    kept.write("canary", NOW + 300)
    assert stat.S_IMODE((tmp_path / "cache" / kept.name).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700


def test_what_others_can_read_or_damage_is_not_used(kept: KeptAnswers, tmp_path: Path) -> None:
    path = tmp_path / "cache" / kept.name
    kept.write("canary", NOW + 300)
    path.chmod(0o644)
    assert kept.read(NOW) is None
    for content in ("", "{", "[]", '{"Version": 1}', '{"Version": 2, "Answer": "a", "Until": 9e99}', "[" * 9999):
        path.write_text(content)
        path.chmod(0o600)
        assert kept.read(NOW) is None, content


def test_users_and_addresses_have_answers_of_their_own(tmp_path: Path) -> None:
    names = {
        KeptAnswers(tmp_path, identity).name
        for identity in (("saml", "a", "b"), ("saml", "a", "c"), ("oidc", "a", "b"), ("saml", "ab", ""))
    }
    assert len(names) == 4
    assert not any("saml" in name or "oidc" in name for name in names)


def test_a_cache_that_cannot_be_used_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    kept = KeptAnswers(tmp_path / "file" / "cache", ("x",))
    kept.write("canary", NOW + 300)
    assert kept.read(NOW) is None
    kept.remove()
