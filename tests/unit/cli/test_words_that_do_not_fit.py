"""Empty words, unknown names and flags without an effect: one line, which names the value and the fix."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from aws_runas.cli import app
from aws_runas.cli.environment import Environment

CONFIG = """
[profile prof]
region = us-east-1
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = us-east-1
"""
ARN = "arn:aws:iam::123456789012:role/r\n"
ROLE = f"source_profile = prof\nrole_arn = {ARN}"
SAML = f"[profile x]\nsaml_auth_url = https://idp.example/\nsaml_provider = z\nrole_arn = {ARN}"
FLOW = """[profile x]
sso_session = other
sso_account_id = 123456789012
sso_role_name = r
[sso-session other]
sso_start_url = https://corp.awsapps.com/start
sso_region = us-east-1
sso_login_flow = z
"""


def _run(home: Path, *words: str, **environ: str) -> tuple[int, str]:
    (home / ".aws").mkdir(exist_ok=True)
    (home / ".aws" / "config").write_text(CONFIG)
    stderr = io.StringIO()
    env = Environment(
        stdin=io.BytesIO(),
        stdout=io.BytesIO(),
        stderr=stderr,
        environ={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(home), **environ},
        home=home,
    )
    return app.main(words, env), stderr.getvalue()


@pytest.mark.parametrize(
    ("words", "status", "says", "fix"),
    [
        (["login", "--sso-session", ""], 2, "--sso-session ''", "give it a name"),
        (["logout", "--sso-session", ""], 2, "--sso-session ''", "give it a name"),
        (["login", "--sso-session", "x", "--start-url", "https://x", "--sso-region", "a b"], 2, "'a b'", "eu-west-1"),
        (["login", "--browser", "", "prof"], 2, "--browser ''", "leave it out"),
        (["login", "--device-code", "--redirect-port", "80", "prof"], 2, "--redirect-port has no effect", "leave one"),
        (["console", "--browser", "", "prof"], 2, "--browser ''", "leave it out"),
        (["console", "--print", "prof", ""], 2, "destination is empty", "home page"),
        (["sso", "list", "--sso-session", "corp", "--account", ""], 2, "--account ''", "pattern"),
        (["sso", "list", "--sso-session", "corp", "--role", ""], 2, "--role ''", "pattern"),
        (["token", "eks", "prof"], 2, "the name of the cluster is missing", "aws-runas token eks prof CLUSTER"),
        (["token", "rds", "prof", "host"], 2, "the user of the database", "aws-runas token rds prof HOST[:PORT] USER"),
        (["fleet", "list", "x"], 2, "unexpected argument 'x'", "aws-runas fleet list"),
        (["fleet", "--on", "all", "prof", "uptime"], 2, "'uptime' is not behind --", "[profile] -- command"),
        (["sessions", "lst", "prof"], 2, "'lst' is neither an action", "list, show or end"),
        (["sessions", "list", "nobody"], 3, "profile nobody does not exist", ""),
        (["sessions", "end", "prof", "", ""], 2, "a session id is empty", "sessions list"),
        (["cp", "prof", "", "web:x"], 2, "an empty argument names no file", "write ."),
        (["cp", "-O", "env", "prof", "f", "web:x"], 2, "-O env is a format for credentials", "-O json"),
        (["forward", "nosuch"], 2, "'nosuch' is neither a tunnel nor a profile", "forward --list"),
        (["run", "--via", "x", "prof", "web", "true"], 2, "--via 'x' is not one of", "auto, shell, document"),
        (["tunnels", "up"], 3, "there are no tunnels in", 'target = "web"'),
        (["run", "prof", "i-deadbeef"], 2, "no command given", "aws-runas shell [profile] target"),
        (["run", "prof", "ecs:c/s", "true"], 5, "does not work with ECS containers yet: ecs:c/s", "aws-runas shell"),
        (["run", "-l", "a b", "prof", "i-deadbeef", "true"], 2, "'a b' is not a user name", "-l USER or user@target"),
        (["run", "--pace", "x", "prof", "i-deadbeef", "true"], 2, "not 'x'", "a number from 1000 to"),
        (["cp", "prof", "-", "a", "web:/x"], 2, "- is one file", "copy the other files separately"),
        (["cp", "prof", "a:/x", "b:/y"], 2, "both sides are on an instance", "copy to this machine first"),
        (["cp", "--mode", "999", "prof", "a", "web:/x"], 2, "not '999'", "an octal number up to 777"),
        (["shell", "prof", "rds:x"], 5, "'rds:x' is a database", "aws-runas forward rds:x"),
        (["shell", "--parameter", "a=b", "prof", "i-deadbeef"], 2, "--parameter", "needs --document"),
        (
            ["shell", "--document", "X", "--parameter", "ab", "prof", "i-deadbeef"],
            2,
            "not 'ab'",
            "--parameter command=",
        ),
        (["shell", "--rate", "x", "prof", "i-deadbeef"], 2, "not 'x'", "a whole number from 0 to"),
        (["shell", "--window", "1", "prof", "i-deadbeef"], 2, "--window 1", "less than one message"),
        (["shell", "--reason", "", "prof", "i-deadbeef"], 2, "not 0", "1 to 256 characters"),
        (["ssh", "--ec2ic", "prof", "i-deadbeef"], 2, "no public key to push", "ssh-keygen -t ed25519"),
        (["ssh", "--ec2ic", "--identity", "/nonexistent", "prof", "u@i-deadbeef"], 2, "/nonexistent.pub", "--identity"),
        (["forward", "--sessions", "99", "prof", "i-deadbeef:80"], 2, "'99'", "auto nor a number from 1 to 8"),
        (
            ["forward", "--plugin", "-L", "0:a:1", "-L", "0:b:2", "prof", "i-deadbeef"],
            2,
            "--plugin",
            "leave --plugin out",
        ),
        (["keys", "add"], 2, "keys add needs a profile", "aws-runas keys add PROFILE"),
        (["keys", "add", ARN.strip()], 2, f"not to {ARN.strip()}", "keys belong to a profile"),
        (["ssm", "x"], 2, "not 'x'", "shell, forward or ssh"),
        (["sso", "x"], 2, "not 'x'", "list or profiles"),
        (["sandbox", "otp"], 2, "otp works only inside a sandbox", "the shell that aws-runas sandbox opens"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_word_that_cannot_be_used_is_named_with_the_fix(
    words: list[str], status: int, says: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found, text = _run(tmp_path, *words)
    assert found == status, text
    assert says in text
    assert fix in text
    assert len(text.splitlines()) <= 2
    assert "internal error" not in text


def test_a_secret_without_its_key_id_is_named(tmp_path: Path) -> None:
    status, text = _run(tmp_path, "whoami", AWS_SECRET_ACCESS_KEY="x")
    assert status == 4
    assert "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is not" in text
    assert "set both" in text


def test_a_device_in_place_of_the_config_file_is_not_read_for_ever(tmp_path: Path) -> None:
    status, text = _run(tmp_path, "whoami", "prof", AWS_CONFIG_FILE="/dev/zero")
    assert status == 3
    assert "/dev/zero is larger than 16 MiB" in text
    assert "AWS_CONFIG_FILE" in text


@pytest.mark.parametrize("variable", ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "RUNAS_CACHE_DIR"])
def test_the_home_of_a_user_who_does_not_exist_is_a_plain_name(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, text = _run(tmp_path, "whoami", "prof", **{variable: "~nobody-of-that-name/x"})
    assert status in (3, 4)
    assert "internal error" not in text


@pytest.mark.parametrize(
    ("lines", "words", "status", "says", "fix"),
    [
        ("[profile x\n", ["whoami", "x"], 3, "line", "correct that line"),
        ("[profile x]\nrole_session_name = a!\n" + ROLE, ["whoami", "x"], 3, "a!", "correct it in [profile x]"),
        ("[profile x]\ncredential_process = echo 'open\n", ["whoami", "x"], 3, "quot", "check its quotes"),
        ("[profile x]\nsource_profile = gone\nrole_arn = " + ARN, ["whoami", "x"], 3, "gone", "correct it in"),
        ("[profile x]\nsso_session = corp\n", ["whoami", "x"], 3, "sso_account_id", "add sso_account_id = ... to"),
        (FLOW, ["login", "x"], 3, "sign-in flow 'z'", "auto, browser or device"),
        (SAML, ["login", "x"], 3, "'z'", "use one of: "),
        ("", ["token", "rds", "prof", "a b", "u"], 2, "'a b'", "write HOST or HOST:PORT"),
        ("", ["run", "--env", "UNSET_HERE", "prof", "web", "true"], 2, "UNSET_HERE", "NAME=VALUE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_setting_that_cannot_be_used_is_named_with_the_fix(
    lines: str, words: list[str], status: int, says: str, fix: str, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(CONFIG + lines)
    found, text = _run(tmp_path, *words, AWS_CONFIG_FILE=str(tmp_path / "config"))
    assert found == status, text
    assert says in text
    assert fix in text


def test_a_token_that_no_client_can_send_is_refused_by_a_server(tmp_path: Path) -> None:
    status, text = _run(tmp_path, "serve", "ecs", "prof", AWS_CONTAINER_AUTHORIZATION_TOKEN=" x ")
    assert status == 3
    assert "unset it to get a random one" in text
