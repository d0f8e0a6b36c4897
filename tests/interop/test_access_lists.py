"""Access lists as setfacl(1) writes and getfacl(1) reads them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from aws_runas import files
from tests.support.requires import missing, program


def access_list(path: Path) -> str:
    getfacl = program("getfacl", package="acl")
    return subprocess.run([getfacl, "-c", "-n", "-p", path], capture_output=True, check=True, text=True).stdout


@pytest.mark.parametrize("entries", ["u:12345:r", "u:12345:rw,g:54321:r", "u:12345:r,m::rw"])
def test_a_replaced_file_keeps_the_list_that_setfacl_wrote(tmp_path: Path, entries: str) -> None:
    setfacl = program("setfacl", package="acl")
    path = tmp_path / "credentials"
    path.write_text("before")
    if subprocess.run([setfacl, "-m", entries, path], capture_output=True, check=False).returncode:
        missing("needs a file system with access lists")
    before = access_list(path)
    assert "user:12345:" in before
    files.write_atomic(path, b"after")
    assert (path.read_bytes(), access_list(path)) == (b"after", before)


def test_a_default_list_of_the_directory_adds_no_reader(tmp_path: Path) -> None:
    setfacl = program("setfacl", package="acl")
    path = tmp_path / "credentials"
    path.write_text("before")
    path.chmod(0o600)
    if subprocess.run([setfacl, "-d", "-m", "u:12345:rwx", tmp_path], capture_output=True, check=False).returncode:
        missing("needs a file system with access lists")
    before = access_list(path)
    files.write_atomic(path, b"after")
    assert access_list(path) == before
