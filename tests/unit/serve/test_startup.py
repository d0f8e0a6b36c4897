"""As whom a credential server runs once it is ready."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aws_runas.serve import privileges, startup

NOBODY = 65534  # a user that every system has, by name


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_root_without_sudo_becomes_the_owner_of_the_file_that_is_read(tmp_path: Path) -> None:
    folder = tmp_path / ".aws"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    assert startup._owner_of_configuration({}, tmp_path) is None
    config = folder / "config"
    config.write_text("")
    assert startup._owner_of_configuration({}, tmp_path) is None  # root's file in the directory of another
    os.chown(config, NOBODY, NOBODY)
    os.chown(folder, 0, 0)
    user = startup._owner_of_configuration({}, tmp_path)
    assert user is not None
    assert user.uid == NOBODY
    elsewhere = tmp_path / "config"
    elsewhere.write_text("")
    assert startup._owner_of_configuration({"AWS_CONFIG_FILE": str(elsewhere)}, tmp_path) is None


def test_the_group_of_sudo_counts_for_sudo_only() -> None:
    sudo = privileges.user_behind({"SUDO_UID": "65534", "SUDO_GID": "12"}, uid=0)
    assert sudo is not None
    assert (sudo.uid, sudo.gid) == (65534, 12)
    pkexec = privileges.user_behind({"PKEXEC_UID": "65534", "SUDO_GID": "12"}, uid=0)
    assert pkexec is not None
    assert pkexec.gid != 12
    assert privileges.user_behind({"SUDO_UID": "65534"}, uid=1000) is None
