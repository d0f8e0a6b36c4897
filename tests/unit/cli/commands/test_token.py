"""Which words of `token` are the profile, and what is said about missing ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_runas.cli import app
from aws_runas.cli.commands import token
from aws_runas.cli.commands.token import Options, exec_version
from aws_runas.cli.environment import Environment
from aws_runas.errors import CredentialsError, UsageError


def _read(tmp_path: Path, *words: str) -> Options:
    options = app.understand(["token", *words], Environment(environ={"HOME": str(tmp_path)}, home=tmp_path))
    assert isinstance(options, Options)
    return options


def test_a_forgotten_user_is_named_and_the_profile_is_not_taken_for_the_host(tmp_path: Path) -> None:
    host = "orders.abc.eu-west-1.rds.amazonaws.com:5432"
    with pytest.raises(UsageError, match="the user of the database is missing after") as caught:
        _read(tmp_path, "rds", "my-profile", host)
    assert host in caught.value.message


def test_a_forgotten_cluster_is_named_where_the_word_is_a_profile(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile prod]\nrole_arn = arn:aws:iam::123456789012:role/r\n")
    env = Environment(environ={"HOME": str(tmp_path)}, home=tmp_path)
    options = app.understand(["token", "eks", "prod"], env)
    assert isinstance(options, Options)
    with pytest.raises(UsageError, match="the name of the cluster is missing after 'prod'"):
        token.run(options, env)
    other = app.understand(["token", "eks", "other"], env)
    assert isinstance(other, Options)
    with pytest.raises(CredentialsError, match="no profile is named"):
        token.run(other, env)


def test_a_flag_behind_the_profile_is_told_its_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        _read(tmp_path, "rds", "my-profile", "--region", "us-east-1", "db.example.com", "app")
    assert caught.value.hint == "flags go before the profile"


def test_the_number_of_words_tells_the_profile(tmp_path: Path) -> None:
    assert _read(tmp_path, "rds", "db.example.com", "jane.doe").profile is None
    assert _read(tmp_path, "rds", "prof", "db.example.com", "jane.doe").profile == "prof"
    assert _read(tmp_path, "eks", "cluster").arguments == ("cluster",)


@pytest.mark.parametrize("text", ["nope", "[]", "[" * 100_000])
def test_exec_info_that_is_not_an_object_is_named(text: str) -> None:
    version, note = exec_version(text)
    assert version == "v1beta1"
    assert note.startswith("aws-runas: warning: KUBERNETES_EXEC_INFO is not a JSON object; answering ")
