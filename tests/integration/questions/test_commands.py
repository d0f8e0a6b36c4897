"""The informational commands and flags, typed as a user types them, against moto."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import pytest

from aws_runas.cli import app
from aws_runas.cli.environment import Environment
from tests.support.moto_world import ACCOUNT, MotoWorld

ADMIN = "arn:aws:iam::111111111111:role/Admin"
READER = "arn:aws:iam::222222222222:role/Reader"
ANY = "arn:aws:iam::*:role/Any"


class Ann:
    """A user of moto's IAM, and a home directory with her profiles."""

    def __init__(self, world: MotoWorld) -> None:
        self.world = world
        self.iam = world.client("iam")
        self.iam.create_user(UserName="ann")
        self.key = self.iam.create_access_key(UserName="ann")["AccessKey"]
        statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": [READER, ADMIN, ANY]}
        self.iam.put_user_policy(
            UserName="ann",
            PolicyName="assume",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": statement}),
        )
        device = self.iam.create_virtual_mfa_device(VirtualMFADeviceName="ann")["VirtualMFADevice"]
        self.serial = device["SerialNumber"]
        self.iam.enable_mfa_device(
            UserName="ann", SerialNumber=self.serial, AuthenticationCode1="123456", AuthenticationCode2="654321"
        )
        folder = world.home / ".aws"
        folder.mkdir()
        (folder / "config").write_text(
            f"[profile ann]\nregion = eu-west-1\n[profile admin]\nrole_arn = {ADMIN}\nsource_profile = ann\n"
            "region = eu-central-1\n"
        )
        (folder / "credentials").write_text(
            f"[ann]\naws_access_key_id = {self.key['AccessKeyId']}\n"
            f"aws_secret_access_key = {self.key['SecretAccessKey']}\n"
        )

    def environ(self, **more: str) -> dict[str, str]:
        variables = {"PATH": os.environ["PATH"], **self.world.environ(), **more}
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"):
            variables.pop(name, None)
        return variables

    def run(self, *words: str, **environ: str) -> Answer:
        """Run a command line in this process, which spares loading botocore dozens of times."""
        out, err = io.BytesIO(), io.StringIO()
        env = Environment(io.BytesIO(), out, err, self.environ(**environ), self.world.home)
        status = app.main(words, env)
        return Answer(status, out.getvalue().decode(), err.getvalue())


@dataclass
class Answer:
    """What came of a command line."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def ann(world: MotoWorld) -> Ann:
    return Ann(world)


@pytest.mark.parametrize(
    "words",
    [("-l", "ann"), ("--list-roles", "ann"), ("list", "roles", "ann"), ("ls", "roles", "ann"), ("-l", "admin"),
     ("--profile", "ann", "-l"), ("shell", "-l", "ann"), ("list", "--profile=ann", "roles")],
)  # fmt: skip
def test_roles_are_sorted_on_stdout_and_patterns_named_on_stderr(ann: Ann, words: tuple[str, ...]) -> None:
    found = ann.run(*words)
    assert (found.returncode, found.stdout) == (0, f"{ADMIN}\n{READER}\n")
    assert found.stderr == f"aws-runas: not listed, since it is a pattern: {ANY} (in user ann: assume)\n"


def test_roles_in_json_are_for_programs(ann: Ann) -> None:
    found = ann.run("-l", "-O", "json", "ann")
    assert json.loads(found.stdout) == {"roles": [ADMIN, READER]}
    assert ANY in found.stderr


def test_a_profile_in_the_environment_is_used_and_one_on_the_line_wins(ann: Ann) -> None:
    assert ann.run("-l", AWS_PROFILE="ann").stdout == f"{ADMIN}\n{READER}\n"
    assert ann.run("list", "roles", "ann", AWS_PROFILE="nosuch").stdout == f"{ADMIN}\n{READER}\n"


@pytest.mark.parametrize("words", [("-m", "ann"), ("list", "mfa", "ann"), ("--list-mfa", "admin")])
def test_devices_are_listed(ann: Ann, words: tuple[str, ...]) -> None:
    found = ann.run(*words)
    assert (found.returncode, found.stdout, found.stderr) == (0, f"{ann.serial}\n", "")
    assert json.loads(ann.run(*words[:1], *words[1:-1], "-O", "json", words[-1]).stdout) == {
        "mfa_devices": [ann.serial]
    }


@pytest.mark.parametrize("words", [("-w",), ("whoami",)])
def test_the_identity_is_that_of_the_role(ann: Ann, words: tuple[str, ...]) -> None:
    found = ann.run(*words, "admin")
    assert found.returncode == 0
    assert "arn      arn:aws:sts::111111111111:assumed-role/Admin/" in found.stdout
    answer = json.loads(ann.run(*words, "-O", "json", "ann").stdout)
    assert answer["Account"] == ACCOUNT
    assert answer["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/ann" or answer["Arn"].startswith("arn:aws:sts::")


def test_the_switch_roles_configuration_carries_name_region_and_source(ann: Ann) -> None:
    found = ann.run("-c", "ann")
    assert found.returncode == 0
    assert f"[ann]\naws_account_id = {ACCOUNT}\n" in found.stdout
    assert f"[admin]\nrole_arn = {ADMIN}\nsource_profile = ann\nregion = eu-central-1\ncolor = " in found.stdout
    assert f"[222222222222-Reader]\nrole_arn = {READER}\nsource_profile = ann\nregion = eu-west-1\n" in found.stdout
    assert ANY in found.stderr
    assert ann.run("--make-conf", "admin").stdout.count("role_arn") == 2


def test_the_alias_of_the_account_is_written(ann: Ann) -> None:
    ann.iam.create_account_alias(AccountAlias="my-company")
    try:
        assert f"[ann]\naws_account_id = {ACCOUNT}\naws_account_alias = my-company\n" in ann.run("-c", "ann").stdout
    finally:
        ann.iam.delete_account_alias(AccountAlias="my-company")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("whoami", "ann", "-O", "json"), "unexpected argument '-O'; flags go before the profile"),
        (("list", "roles", "ann", "more"), "unexpected argument 'more'; leave it out"),
        (("password", "ann", "secret"), "unexpected argument 'secret'; leave it out"),
        (("diagnose", "ann", "--ntp"), "unexpected argument '--ntp'; flags go before the profile"),
        (("list",), "list needs something to list; use: aws-runas list roles|mfa|profiles|instances [profile]"),
        (("list", "users"), "'users' cannot be listed; use: aws-runas list roles|mfa|profiles|instances [profile]"),
        (
            ("-w", "-O", "yaml", "ann"),
            "there is no output format 'yaml'; choose one of env, json, fish, powershell, dotenv",
        ),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(world: MotoWorld, words: tuple[str, ...], message: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "aws_runas", *words],
        env={"PATH": os.environ["PATH"], **world.environ()},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (2, "", f"aws-runas: {message}\n")


def test_several_questions_are_answered_in_one_go(ann: Ann) -> None:
    found = ann.run("-lm", "ann")
    assert found.stdout == f"{ADMIN}\n{READER}\n{ann.serial}\n"


def test_a_user_without_roles_is_told_so(ann: Ann) -> None:
    ann.iam.delete_user_policy(UserName="ann", PolicyName="assume")
    found = ann.run("-l", "ann")
    assert (found.returncode, found.stdout) == (0, "")
    assert found.stderr == "aws-runas: no policy lets this user assume a role\n"
    assert ann.run("-c", "ann").stdout == ""


def typed(ann: Ann, *answers: str) -> Any:
    child = pexpect.spawn(
        sys.executable, ["-m", "aws_runas", "passwd", "ann"], env=ann.environ(TERM="dumb"), encoding="utf-8", timeout=30
    )
    for question, line in zip(
        ("Current password of ann", "New password:", "New password again"), answers, strict=False
    ):
        child.expect(question)
        child.waitnoecho(10)
        child.sendline(line)
    child.expect(pexpect.EOF)
    child.close()
    return child


def test_a_password_is_asked_for_on_the_terminal_and_not_shown(ann: Ann) -> None:
    ann.iam.create_login_profile(UserName="ann", Password="Old-password-1")
    child = typed(ann, "Old-password-1", "New-password-1", "New-password-2")
    assert child.exitstatus == 4
    assert "the new passwords differ; nothing was changed" in child.before
    assert "assword-1" not in child.before


def test_the_password_that_was_typed_reaches_iam(ann: Ann) -> None:
    child = typed(ann, "Old-password-1", "New-password-1", "New-password-1")
    # moto has no ChangePassword: that it was asked for it is what shows here; tests/unit judges what is sent
    assert child.exitstatus == 4
    assert "iam ChangePassword" in child.before
    assert "assword-1" not in child.before


def test_a_password_is_not_read_from_a_pipe(ann: Ann) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "aws_runas", "password", "ann"],
        env=ann.environ(),
        input="a\nb\nb\n",
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
    )
    assert found.returncode == 4
    assert "there is no terminal" in found.stderr


def test_the_page_of_the_manual_names_the_commands(tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "aws_runas", "--help-man"], capture_output=True, text=True, check=True, timeout=60
    )
    for word in ("whoami", "diagnose", "password", "completion", "list"):
        assert word in found.stdout
