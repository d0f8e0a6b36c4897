"""Paths of cp on this machine: absolute, and with what the end of the typed path means."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import pytest

from aws_runas.cli.commands import cp
from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing import parser


@pytest.mark.parametrize(
    ("typed", "path"),
    [("file", "file"), ("file/", "file/"), ("dir//", "dir/"), (".", "."), ("./", "."), ("dir/.", "dir/."),
     ("dir/./", "dir/.")],
)  # fmt: skip
def test_the_end_of_a_source_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    env = Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), {"HOME": str(tmp_path)}, tmp_path, time.time)
    parsed = parser.parse(["cp", "-r", "dev", typed, "i-deadbeef:/srv"])
    options = cp.read(parsed.namespace, parsed.flags, env)
    assert cp.copy_request(options, "i-deadbeef").sources == [f"{os.getcwd()}/{path}"]
