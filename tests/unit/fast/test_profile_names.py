"""The quick scan for profile names agrees with the parser, and loads next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aws_runas.config.files import load_files
from aws_runas.fast.profile_names import profile_names

CONFIGS = [
    "",
    "[default]\nregion = x\n[profile a]\n[profile  b]\n[profile\tc]\n",
    '[profile "with space"]\n[profile \'quoted\']\n[profile a b]\n[profile unended"]\n',
    "# [profile comment]\n; [profile comment]\n[sso-session s]\n[services x]\n[other]\n[profile z]\n",
    "[profile nested]\ns3 =\n  addressing_style = path\n  x = [profile not-this]\n",
    "\ufeff[default]\n[profile bom]\n",
    "[profile a] # comment\n[profile b]trailing\n",
    "[profile umlaut-ä]\n[profile arn:aws:iam::1:role/x]\n",
    "[profiles]\n[profile]\n[defaults]\n[profile ]\n",
]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("credentials", ["", "[default]\naws_access_key_id=A\n[keys]\naws_access_key_id=A\n"])
def test_the_names_are_those_of_the_parser(tmp_path: Path, config: str, credentials: str) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(config, encoding="utf-8")
    (tmp_path / ".aws" / "credentials").write_text(credentials, encoding="utf-8")
    environ = {
        "AWS_CONFIG_FILE": str(tmp_path / ".aws" / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / ".aws" / "credentials"),
    }
    assert profile_names(environ) == load_files(environ, tmp_path).profile_names()


def test_files_that_cannot_be_read_have_no_names(tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(b"\xff\xfe[profile x]\n[profile y]\n")
    environ = {"AWS_CONFIG_FILE": str(tmp_path), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "missing")}
    assert profile_names(environ) == []
    assert profile_names({**environ, "AWS_CONFIG_FILE": str(tmp_path / "damaged")}) == ["y"]


def test_asking_for_them_loads_no_parser(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("[profile a]\n")
    script = (
        "import sys; from aws_runas.__main__ import main; main(['completion', '--profiles']);"
        "heavy = {'argparse', 're', 'json', 'typing', 'dataclasses', 'botocore'} & set(sys.modules);"
        "print(' '.join(heavy), file=sys.stderr)"
    )
    found = subprocess.run(
        [sys.executable, "-S", "-c", script],
        env={
            "PATH": os.environ["PATH"],
            "AWS_CONFIG_FILE": str(tmp_path / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
            "PYTHONPATH": str(Path(__file__).parents[3] / "src"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert (found.stdout, found.stderr.strip()) == ("a\n", "")


def test_names_are_utf_8_in_any_locale_and_a_full_disk_is_named(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes("[profile caf\u00e9]\n".encode())
    words = [sys.executable, "-m", "aws_runas", "completion", "--profiles"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_CONFIG_FILE": str(tmp_path / "config")}
    environ |= {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    found = subprocess.run(words, env=environ, capture_output=True, check=True)
    assert (found.stdout, found.stderr) == ("caf\u00e9\n".encode(), b"")
    with open("/dev/full", "wb") as full:
        found = subprocess.run(words, env=environ, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (found.returncode, found.stderr) == (
        1, b"aws-runas: standard output cannot be written: no space left on device\n"
    )  # fmt: skip


def test_a_device_is_not_read_for_ever(tmp_path: Path) -> None:
    environ = {"AWS_CONFIG_FILE": "/dev/zero", "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "missing")}
    assert profile_names(environ) == []
