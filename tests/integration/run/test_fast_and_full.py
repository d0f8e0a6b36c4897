"""One table for both ways: what the fast start does is what the full way does."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from aws_runas.fast import start as fast
from tests.integration.run.conftest import PROFILE, run

SHOW = "import os, sys; print(sys.argv[1:]); [print(f'{n}={v}') for n, v in sorted(os.environ.items())]"
PROGRAM = [sys.executable, "-c", SHOW]
ARN = "arn:aws:iam::123456789012:role/my-role"

# what is typed, the variables, and whether the fast start serves it
TABLE: list[tuple[list[str], dict[str, str], bool]] = [
    (["-E", PROFILE, *PROGRAM, "-l", "--", ""], {}, True),
    ([PROFILE, *PROGRAM], {}, True),
    (["--env", PROFILE, *PROGRAM], {}, True),
    ([PROFILE, *PROGRAM], {"RUNAS_ENV_CREDENTIALS": "Yes"}, True),
    ([PROFILE, *PROGRAM], {"RUNAS_ENV_CREDENTIALS": "0"}, True),
    (["-E", "-s", PROFILE, *PROGRAM], {}, True),
    (["-Es", PROFILE, *PROGRAM], {}, True),
    (["--session", PROFILE, *PROGRAM], {}, True),
    (["-E", PROFILE, *PROGRAM], {"RUNAS_SESSION_CREDENTIALS": "on"}, True),
    (["-E", PROFILE, "--", *PROGRAM, "--"], {}, True),
    (["-E", *PROGRAM], {"AWS_PROFILE": PROFILE}, True),
    (["-E", *PROGRAM], {"AWS_DEFAULT_PROFILE": PROFILE}, True),
    (["-E", *PROGRAM], {"AWS_PROFILE": PROFILE, "AWS_DEFAULT_PROFILE": "nobody"}, True),
    (
        ["-E", PROFILE, *PROGRAM],
        {"AWS_PROFILE": "my-profile-external", "SHELL": "/bin/bash"},
        False,
    ),  # how to name the profile
    (["-E", PROFILE, "--", *PROGRAM], {"AWS_PROFILE": "my-profile-external"}, False),
    (["-E", ARN, *PROGRAM], {"AWS_PROFILE": "my-profile-user"}, False),
    (["-E", PROFILE, *PROGRAM], {"AWS_REGION": "eu-west-1"}, True),
    (["-E", PROFILE, *PROGRAM], {"AWS_DEFAULT_REGION": "eu-west-2"}, True),
    (["-E", PROFILE, *PROGRAM], {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}, True),
    (["-E", PROFILE, *PROGRAM], {"CREDENTIALS_DURATION": "30m"}, True),
    (["-E", PROFILE, *PROGRAM], {"CREDENTIALS_DURATION": "30"}, False),  # an error
    (["-E", PROFILE, *PROGRAM], {"AWS_ROLE_SESSION_NAME": "somebody"}, True),
    (["-E", PROFILE, *PROGRAM], {"EXTERNAL_ID": "some-id"}, True),
    (["-E", PROFILE, *PROGRAM], {"AWS_ACCESS_KEY_ID": "AKIAOTHER", "AWS_SECRET_ACCESS_KEY": "other"}, False),
    (["-E", PROFILE, *PROGRAM], {"RUNAS_OUTPUT_FORMAT": "json"}, True),
    (["-a", "20m", "-E", PROFILE, *PROGRAM], {}, False),
    (["-e", "-E", PROFILE, *PROGRAM], {}, False),
    (["exec", "-E", PROFILE, *PROGRAM], {}, False),
    (["-E", PROFILE, "no-such-program", "word"], {"SHELL": ""}, False),
    (["-E", PROFILE, "/etc"], {}, False),
    (["-E", "my-profile-chained", *PROGRAM], {}, True),
    (["-E", "my-profile-user", *PROGRAM], {}, True),
    (["-E", "nobody", *PROGRAM], {}, False),
    (["-E", PROFILE], {}, True),
    ([PROFILE], {}, True),
    ([], {"AWS_PROFILE": PROFILE}, True),
    (["-s"], {"AWS_PROFILE": PROFILE}, True),
    (["-O", "json", PROFILE], {}, True),
    (["-O", "json", "-s", PROFILE, "--"], {}, True),
    (["-O", "JSON", PROFILE], {}, False),
    (["-O", "json"], {"AWS_PROFILE": PROFILE}, True),
    (
        ["-O", "json", PROFILE],
        {"AWS_PROFILE": "my-profile-external"},
        True,
    ),  # as a credential_process of another profile
    (["-O", "json", "true"], {"AWS_PROFILE": PROFILE}, False),
    (["-O", "json", PROFILE, *PROGRAM], {}, True),
    (["-O", "xml", PROFILE], {}, False),
    (["-O", "xml", "-E", PROFILE, "true"], {}, False),
    (["-E", PROFILE, *PROGRAM], {"RUNAS_OUTPUT_FORMAT": "xml"}, True),
    ([PROFILE], {"RUNAS_OUTPUT_FORMAT": "xml"}, False),
    (["-O", "fish", PROFILE], {}, False),
    ([PROFILE], {"RUNAS_OUTPUT_FORMAT": "fish"}, False),
    ([PROFILE], {"RUNAS_OUTPUT_FORMAT": "json"}, True),
    (["-O", "env", PROFILE], {"RUNAS_OUTPUT_FORMAT": "json"}, True),
    (["--unset", PROFILE], {}, False),
    (["-V"], {}, False),
    (["-E", "--profile", PROFILE, *PROGRAM], {}, True),
    (["--profile", PROFILE], {}, True),
    (["--profile", PROFILE, "-O", "json"], {"AWS_PROFILE": "nobody"}, True),
    (["-E", "--profile", PROFILE, *PROGRAM, "-x"], {"AWS_PROFILE": "nobody"}, True),
    (["-E", f"--profile={PROFILE}", *PROGRAM], {}, False),
    (["-E", "--profile", "", *PROGRAM], {}, False),
    (["--region", "eu-west-1", "-E", PROFILE, *PROGRAM], {}, False),
    (["-E", PROFILE, *PROGRAM], {"RUNAS_VERBOSE": "maybe"}, False),
    ([PROFILE, *PROGRAM], {"RUNAS_ENV_CREDENTIALS": "maybe"}, False),
    (["-e", PROFILE], {}, False),
    (["-q", PROFILE], {}, False),
    ([PROFILE], {"AWSRUNAS_FUNCTION": "1:bash:runas"}, True),
    ([PROFILE], {"AWSRUNAS_FUNCTION": "1:zsh:runas", "AWS_PROFILE": "my-profile-external"}, True),
    ([PROFILE], {"AWSRUNAS_FUNCTION": "1:fish:runas"}, False),
    ([PROFILE], {"AWSRUNAS_FUNCTION": "0:bash:runas"}, False),  # an old function
    ([PROFILE], {"AWSRUNAS_FUNCTION": "1:bash:runas", "RUNAS_OUTPUT_FORMAT": "json"}, True),
    ([PROFILE, *PROGRAM], {"AWSRUNAS_FUNCTION": "1:bash:runas"}, True),  # declined
    (["true"], {"AWSRUNAS_FUNCTION": "1:bash:runas", "AWS_PROFILE": PROFILE}, False),  # declined
    (["-O", "json", PROFILE], {"AWSRUNAS_FUNCTION": "1:bash:runas"}, False),  # declined
    (["-"], {"AWSRUNAS_FUNCTION": "1:bash:runas"}, False),
    (["nobody"], {"AWSRUNAS_FUNCTION": "1:bash:runas"}, False),
]


def _without_chance(text: bytes) -> bytes:
    """Blank what differs from run to run: the endpoint's port and token, and seconds in words."""
    text = re.sub(rb"(FULL_URI=http://127.0.0.1:)\d+", rb"\1PORT", text)
    text = re.sub(rb"(AUTHORIZATION_TOKEN=)\w+", rb"\1TOKEN", text)
    text = re.sub(rb"\(in [^)]*\)", b"(in)", text)
    return re.sub(rb"%s=1\n" % fast.SWITCH.encode(), b"", text)


def _took_the_fast_start(words: list[str], environ: dict[str, str]) -> bool:
    """Whether the start imports no module of the full way.

    The endpoint that is loaded beside the program does, as an import inside another one, if the program gives it time.
    """
    ran = run(words, environ | {"PYTHONPROFILEIMPORTTIME": "1"})
    return b"| aws_runas.cli.app\n" not in ran.stderr  # one blank: no import around it


@pytest.mark.parametrize(("words", "variables", "is_fast"), TABLE, ids=[" ".join(row[0])[:30] for row in TABLE])
def test_both_ways_agree(words: list[str], variables: dict[str, str], is_fast: bool, environ: dict[str, str]) -> None:
    environ |= variables
    if is_fast:
        run(words, environ)  # fills the cache for these inputs
    quick = run(words, environ)
    full = run(words, environ | {fast.SWITCH: "1"})
    assert quick.returncode == full.returncode
    assert _without_chance(quick.stdout) == _without_chance(full.stdout)
    assert _without_chance(quick.stderr) == _without_chance(full.stderr)
    assert _took_the_fast_start(words, environ) == is_fast


def _token(environ: dict[str, str], *flags: str) -> bytes:
    ran = run(["-E", *flags, PROFILE, "printenv", "AWS_SESSION_TOKEN"], environ)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_refresh_is_seen_by_the_next_fast_start(environ: dict[str, str]) -> None:
    before = _token(environ)
    assert _token(environ) == before
    fresh = _token(environ, "-r")
    assert fresh != before
    assert _token(environ) == fresh


def test_a_changed_config_file_is_seen_at_once(environ: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "config"
    text = Path(environ["AWS_CONFIG_FILE"]).read_text()
    config.write_text(text)
    environ |= {"AWS_CONFIG_FILE": str(config)}
    for _ in range(3):
        _token(environ)
    section = text.index("[profile my-profile]")
    changed = text[:section] + text[section:].replace("us-east-1", "us-west-2", 1)
    before = config.stat()
    config.write_text(changed)
    os.utime(config, ns=(before.st_atime_ns, before.st_mtime_ns))  # as cp -p leaves it
    assert run(["-E", PROFILE, "printenv", "AWS_REGION"], environ).stdout == b"us-west-2\n"
    config.unlink()
    assert run(["-E", PROFILE, "true"], environ).returncode == 3


@pytest.mark.parametrize("damage", ["empty", "half", "bytes", "mode", "directory"])
def test_a_damaged_shortcut_is_a_miss(environ: dict[str, str], damage: str) -> None:
    run(["-E", PROFILE, "true"], environ)
    path = Path(environ["RUNAS_CACHE_DIR"]) / f"fast-r-{PROFILE}"
    content = path.read_bytes()
    if damage == "mode":
        path.chmod(0o644)
    elif damage == "directory":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "bytes": bytes(range(256)) * 8}[damage])
    ran = run(["-E", PROFILE, "printenv", "AWSRUNAS_PROFILE"], environ)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{PROFILE}\n".encode(), b"")
    if path.is_dir():
        path.rmdir()
