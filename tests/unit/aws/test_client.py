"""Clients of profiles whose settings only some calls need."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_runas.aws.client import Clients
from aws_runas.aws.credentials import Credentials
from aws_runas.aws.errors import translate
from aws_runas.config.overrides import Overrides
from aws_runas.config.resolve import load_files, resolve
from aws_runas.errors import ConfigError


@pytest.mark.parametrize("section", ["", "[sso-session corp]\nsso_region = us-east-1\n"])
def test_client_leaves_a_broken_sso_session_to_our_provider(tmp_path: Path, section: str) -> None:
    (tmp_path / "config").write_text(
        f"[profile p]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Dev\n{section}"
    )
    environ = {"HOME": str(tmp_path), "AWS_CONFIG_FILE": str(tmp_path / "config")}
    profile = resolve(load_files(environ, tmp_path), "p", Overrides(), environ)

    def fetch() -> Credentials:
        raise ConfigError("sso-session corp does not exist", code="sso-session-not-found")

    client = Clients(profile).client("sts", "us-east-1", fetch)
    with pytest.raises(ConfigError) as caught, translate("sts", "GetCallerIdentity"):
        client.get_caller_identity()
    assert caught.value.code == "sso-session-not-found"
