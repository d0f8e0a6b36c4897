"""Programs run as if we were not there: their environment, streams, arguments and exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import AWS_RUNAS
from tests.integration.run.conftest import PROFILE, run

ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"
IDENTITY = """
import botocore.session
client = botocore.session.Session().create_client("sts", region_name="us-east-1")
print(client.get_caller_identity()["Arn"])
"""
LYING_AROUND = {
    "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/other",
    "AWS_ROLE_SESSION_NAME": "other",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/other",
    "AWS_CREDENTIAL_EXPIRATION": "2001-01-01T00:00:00Z",
}


def _environment_of(words: list[str], environ: dict[str, str]) -> dict[str, str]:
    ran = run([*words, PROFILE, sys.executable, "-c", ENVIRONMENT], environ)
    assert (ran.returncode, ran.stderr) == (0, b"")
    found = json.loads(ran.stdout)
    assert isinstance(found, dict)
    return found


def test_with_e_the_environment_is_ours_with_keys_and_nothing_else(each_way: dict[str, str]) -> None:
    found = _environment_of(["-E"], each_way | LYING_AROUND)
    added = {name: value for name, value in found.items() if each_way.get(name) != value}
    assert sorted(added) == [
        "AWSRUNAS_PROFILE",
        "AWS_ACCESS_KEY_ID",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECURITY_TOKEN",
        "AWS_SESSION_TOKEN",
    ]
    assert added["AWSRUNAS_PROFILE"] == PROFILE
    assert added["AWS_REGION"] == added["AWS_DEFAULT_REGION"] == "us-east-1"
    assert added["AWS_SESSION_TOKEN"] == added["AWS_SECURITY_TOKEN"]
    assert set(each_way) <= set(found)


def test_by_default_the_environment_is_ours_with_an_endpoint_and_nothing_else(each_way: dict[str, str]) -> None:
    found = _environment_of(
        [], each_way | LYING_AROUND | {"AWS_ACCESS_KEY_ID": "AKIAOTHER", "AWS_SECRET_ACCESS_KEY": "o"}
    )
    added = {name: value for name, value in found.items() if each_way.get(name) != value}
    assert sorted(added) == [
        "AWSRUNAS_PROFILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_SHARED_CREDENTIALS_FILE",
    ]
    assert added["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert added["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith("http://127.0.0.1:")
    assert len(added["AWS_CONTAINER_AUTHORIZATION_TOKEN"]) >= 32
    assert found["AWS_CONFIG_FILE"] == each_way["AWS_CONFIG_FILE"]


def test_the_profile_variable_is_removed_and_tells_the_profile(environ: dict[str, str]) -> None:
    for variable in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        ran = run(["-E", sys.executable, "-c", ENVIRONMENT], environ | {variable: PROFILE})
        found = json.loads(ran.stdout)
        assert variable not in found
        assert found["AWSRUNAS_PROFILE"] == PROFILE


@pytest.mark.parametrize("words", [[], ["-E"], ["-s"], ["-s", "-E"]])
def test_the_program_has_the_identity_of_the_profile(each_way: dict[str, str], words: list[str]) -> None:
    ran = run([*words, PROFILE, sys.executable, "-c", IDENTITY], each_way)
    assert ran.stderr == b""
    assert (b"user/sandbox-user" if "-s" in words else b"assumed-role/my-role/") in ran.stdout


def test_sources_of_the_default_profile_do_not_outrank_the_endpoint(each_way: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "config"
    text = Path(each_way["AWS_CONFIG_FILE"]).read_text()
    config.write_text(
        text.replace("[default]", "[default]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = other")
    )
    (tmp_path / "tmp").mkdir()
    environ = each_way | {"AWS_CONFIG_FILE": str(config), "TMPDIR": str(tmp_path / "tmp")}
    for _ in range(2):  # the second time from the cache
        ran = run(
            [PROFILE, sys.executable, "-c", IDENTITY + "import os; print(os.environ['AWS_CONFIG_FILE'])"], environ
        )
        identity, copy = ran.stdout.decode().split()
        assert "assumed-role/my-role/" in identity
        assert copy != str(config)
        assert not Path(copy).exists()
    assert list((tmp_path / "tmp").iterdir()) == []


STATUSES = (0, 1, 2, 3, 126, 127, 128, 130, 137, 254, 255)


@pytest.mark.parametrize("mode", [["-E"], []])
def test_the_exit_status_of_the_program_is_ours(environ: dict[str, str], mode: list[str]) -> None:
    script = f'for status in {" ".join(map(str, STATUSES))}; do "$@" sh -c "exit $status"; echo $?; done'
    ran = subprocess.run(
        ["sh", "-c", script, "sh", *AWS_RUNAS, *mode, PROFILE],
        env=environ,
        capture_output=True,
        check=True,
        timeout=100,
    )
    assert ran.stdout.split() == [str(status).encode() for status in STATUSES]
    assert ran.stderr == b""


def test_a_program_killed_by_a_signal_gives_128_and_its_number(each_way: dict[str, str]) -> None:
    for number in (1, 2, 3, 6, 9, 13, 15):
        assert run([PROFILE, "sh", "-c", f"ulimit -c 0; kill -{number} $$"], each_way).returncode == 128 + number


def test_with_e_the_signal_itself_is_seen(each_way: dict[str, str]) -> None:
    assert run(["-E", PROFILE, "sh", "-c", "kill -9 $$"], each_way).returncode == -9


@pytest.mark.parametrize("mode", [["-E"], []])
def test_streams_are_the_programs_own(each_way: dict[str, str], mode: list[str]) -> None:
    data = bytes(range(256)) * 4096
    ran = run([*mode, PROFILE, "sh", "-c", "cat; echo remark >&2"], each_way, input=data)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, data, b"remark\n")


@pytest.mark.parametrize("mode", [["-E"], []])
def test_arguments_reach_the_program_byte_by_byte(each_way: dict[str, str], mode: list[str]) -> None:
    words = [b"", b"a b", b"-E", b"--", b"$HOME", b"'\"\\", b"\xff\xfe", "ü".encode(), b"new\nline", b"-"]
    report = "import os, sys; print(repr([os.fsencode(each) for each in sys.argv[1:]]))"
    command = [os.fsencode(each) for each in [*AWS_RUNAS, *mode, PROFILE, sys.executable, "-c", report]]
    ran = subprocess.run([*command, *words], env=each_way, capture_output=True, check=True, timeout=60)
    assert ran.stdout.decode().strip() == repr(words)


def test_with_e_no_process_of_ours_stays(each_way: dict[str, str]) -> None:
    command = [*AWS_RUNAS, "-E", PROFILE, "sh", "-c", "echo $$; read word"]
    with subprocess.Popen(command, env=each_way, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert int(process.stdout.readline()) == process.pid
        process.stdin.close()
    assert process.returncode == 1


@pytest.mark.parametrize("mode", [["-E"], []])
def test_signals_that_python_ignores_are_as_by_default(each_way: dict[str, str], mode: list[str]) -> None:
    ran = run([*mode, PROFILE, "grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"], each_way)
    internal = 0b11 << 31  # 32 and 33, which glibc's posix_spawn ignores for itself; no program can use them
    assert [int(line.split()[1], 16) & ~internal for line in ran.stdout.splitlines()] == [0, 0]


@pytest.mark.parametrize("mode", [["-E"], []])
def test_the_program_inherits_no_descriptor_of_ours(each_way: dict[str, str], mode: list[str]) -> None:
    ran = run([*mode, PROFILE, "sh", "-c", "ls /proc/$$/fd"], each_way)
    assert ran.stdout.split() == [b"0", b"1", b"2"]


@pytest.mark.parametrize("mode", [["-E"], []])
def test_the_locale_that_python_sets_for_itself_does_not_reach_the_program(
    each_way: dict[str, str], mode: list[str]
) -> None:
    bare = {name: value for name, value in each_way.items() if not name.startswith(("LC_", "LANG"))}
    assert run([*mode, PROFILE, "env"], bare).stdout.count(b"LC_CTYPE=") == 0
    assert run([*mode, PROFILE, "env"], bare | {"LC_CTYPE": "C.UTF-8"}).stdout.count(b"LC_CTYPE=C.UTF-8") == 1


@pytest.mark.parametrize("mode", [["-E"], []])
def test_a_program_that_is_not_there_is_127_and_one_that_cannot_be_executed_126(
    each_way: dict[str, str], mode: list[str], tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "plain").write_text("text")
    script = tmp_path / "script"
    script.write_text("echo run by sh: $1\n")
    orphan = tmp_path / "orphan"
    orphan.write_text("#!/nowhere/interpreter\n")
    for path in (script, orphan):
        path.chmod(0o755)
    environ = each_way | {"PATH": f"{tmp_path}/bin:{each_way['PATH']}"}
    environ.pop("SHELL", None)
    for word, status, said in (
        ("no-such-program", 127, b"'no-such-program' was not found"),
        ("", 127, b"'' was not found"),
        ("./no-such-program", 127, b"was not found"),
        ("plain", 126, b"plain' is not executable\naws-runas: chmod +x "),
        (str(tmp_path), 126, b"is a directory\naws-runas: name a program in it"),
        (str(orphan), 126, b"was not found\naws-runas: check the first line of the script"),
    ):
        ran = run([*mode, PROFILE, word], environ)
        assert (ran.returncode, ran.stdout) == (status, b""), word
        assert said in ran.stderr
        assert ran.stderr.count(b"\n") == said.count(b"\n") + 1
    assert run([*mode, PROFILE, str(script), "word"], environ).stdout == b"run by sh: word\n"


def test_a_program_that_is_not_there_costs_no_mfa_code(environ: dict[str, str]) -> None:
    bare = {name: value for name, value in environ.items() if name != "SHELL"}
    ran = run(["my-profile-mfa", "no-such-program"], bare)
    assert (ran.returncode, b"MFA" in ran.stderr) == (127, False)


def test_a_huge_environment_reaches_the_program(each_way: dict[str, str]) -> None:
    environ = each_way | {f"VARIABLE_{number}": "x" * 1000 for number in range(1000)}
    ran = run(["-E", PROFILE, "env"], environ)
    assert ran.stdout.count(b"VARIABLE_") == 1000


def test_the_dashes_after_the_profile_are_dropped(each_way: dict[str, str]) -> None:
    assert run([PROFILE, "--", "echo", "--", "x"], each_way).stdout == b"-- x\n"
    assert run(["--", PROFILE, "echo", "x"], each_way).stdout == b"x\n"
    assert run(["exec", "-E", PROFILE, "echo", "x"], each_way).stdout == b"x\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_remarks_that_cannot_be_written_do_not_keep_a_program_from_running(environ: dict[str, str]) -> None:
    with open("/dev/full", "wb") as full:
        for flags in (["-e"], ["-e", "-E"], ["-v", "-v"]):
            ran = run(
                [*flags, PROFILE, "echo", "ran"], environ, capture_output=False, stdout=subprocess.PIPE, stderr=full
            )
            assert (ran.returncode, ran.stdout) == (0, b"ran\n")
        ran = run(["no-such-profile", "true"], environ, capture_output=False, stderr=full)
        assert ran.returncode == 3
