"""Signing in with SAML at SimpleSAMLphp; the sandbox's STS checks every signature."""

from __future__ import annotations

import contextlib
import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from aws_runas.sandbox.world import Sandbox
from tests.interop import simplesaml
from tests.interop.federated import MANY, Home, iam_client, make_role
from tests.interop.simplesaml import PROVIDER, ROLES, SimpleSaml
from tests.support import saml


@contextlib.contextmanager
def running_provider(folder: Path, sandbox: Sandbox) -> Iterator[SimpleSaml]:
    """Start the provider, which the sandbox's IAM knows with its roles; it ends with the block."""
    with simplesaml.running(folder) as running:
        iam = iam_client(sandbox)
        key = simplesaml.private_key()
        iam.create_saml_provider(Name="idp", SAMLMetadataDocument=running.metadata, AddPrivateKey=key)
        condition = {"StringEquals": {"SAML:aud": saml.RECIPIENT}}
        for arn in ROLES:
            make_role(iam, arn.rpartition("/")[2], "sts:AssumeRoleWithSAML", PROVIDER, condition)
        yield running


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[SimpleSaml]:
    with running_provider(tmp_path_factory.mktemp("simplesaml"), sandbox) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, sandbox: Sandbox, idp: SimpleSaml) -> Home:
    made = Home(sandbox, tmp_path)
    made.write(config(idp))
    return made


def config(idp: SimpleSaml, *, more: str = "") -> str:
    """Profiles as the Go tool has them: settings in [default], a role each."""
    return f"""[default]
region = us-east-1
saml_auth_url = {idp.sign_in_address()}
saml_provider = keycloak
saml_username = jane
[profile admin]
role_arn = {ROLES[0]}
[profile reader]
role_arn = {ROLES[1]}
[profile john]
saml_username = john
role_arn = {ROLES[1]}
[profile otto]
saml_username = otto
role_arn = {ROLES[0]}
[profile slow]
saml_username = slow
role_arn = {ROLES[0]}
[profile nemo]
saml_username = nemo
[profile open]
saml_username = jane
[profile foreign]
role_arn = {saml.role("nobody-offers-this")}
[profile chained]
role_arn = {saml.role("my-role-short")}
jump_role_arn = {ROLES[0]}
[profile elsewhere]
saml_auth_url = {idp.sign_in_address("urn:elsewhere")}
role_arn = {ROLES[0]}
[profile encrypted]
saml_auth_url = {idp.sign_in_address("urn:encrypted")}
role_arn = {ROLES[0]}
[profile decrypted]
saml_auth_url = {idp.sign_in_address(simplesaml.ENCRYPTED[1])}
saml_principal_arn = {PROVIDER}
role_arn = {ROLES[0]}
{more}"""


def password(user: str) -> dict[str, str]:
    return {"RUNAS_PASSWORD": f"secret-of-{user}"}


def test_a_profile_of_the_go_tool_gets_its_role_by_the_forms_of_the_provider(home: Home, idp: SimpleSaml) -> None:
    before = idp.logins()
    assert home.caller(home.run("-O", "json", "admin", **password("jane"))).endswith(":assumed-role/idp-admin/jane")
    # the second role costs no second sign-in, and needs no password
    assert home.caller(home.run("-O", "json", "reader")).endswith(":assumed-role/idp-reader/jane")
    assert idp.logins() == before + 1
    kept = [path for path in home.files() if path.name.startswith("assertion-") and path.suffix == ".json"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o600]


def test_roles_are_read_in_either_order_and_listed(home: Home) -> None:
    listed = home.run("list", "roles", "-O", "json", "john", **password("john"))
    assert json.loads(listed.stdout)["roles"] == list(ROLES), listed.stderr
    assert home.caller(home.run("-O", "json", "john")).endswith(":assumed-role/idp-reader/john")


def test_a_slow_page_is_waited_for(home: Home) -> None:
    assert home.caller(home.run("-O", "json", "slow", **password("slow"))).endswith("/slow")


def test_a_one_time_code_is_asked_for_on_a_page_of_its_own(home: Home) -> None:
    run = home.run("-O", "json", "-o", simplesaml.CODE, "otto", **password("otto"))
    assert home.caller(run).endswith("/otto")


def test_a_wrong_password_is_asked_for_three_times_and_no_more(home: Home, idp: SimpleSaml) -> None:
    before = idp.logins()
    child = home.at_terminal("-O", "json", "admin", RUNAS_PASSWORD="wrong-canary")
    for wrong in ("second-canary", "third-canary"):
        child.expect_exact("the password was refused")
        child.expect(r"Password of jane at [\d.:]+: ")
        child.sendline(wrong)
    child.expect_exact("the identity provider refused the password of jane")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 4
    assert idp.logins() == before + 3
    for path in home.files():
        assert b"canary" not in path.read_bytes(), path


def test_without_a_terminal_a_wrong_password_is_tried_once(home: Home, idp: SimpleSaml) -> None:
    before = idp.logins()
    run = home.run("-vv", "-O", "json", "admin", RUNAS_PASSWORD="wrong-canary")
    assert run.returncode == 4
    assert "the identity provider refused the password of jane (RUNAS_PASSWORD)" in run.stderr
    assert "canary" not in run.stderr + run.stdout
    assert idp.logins() == before + 1


def test_nobody_can_be_asked_without_a_terminal(home: Home, idp: SimpleSaml) -> None:
    before = idp.logins()
    run = home.run("-O", "json", "admin")
    assert (run.returncode, run.stdout) == (4, "")
    assert "needs a sign-in" in run.stderr
    assert "aws-runas login admin" in run.stderr
    assert idp.logins() == before


@pytest.mark.parametrize(
    ("profile", "user", "words"),
    [
        ("foreign", "jane", ["does not offer arn:aws:iam::123456789012:role/nobody-offers-this", ROLES[0], ROLES[1]]),
        ("nemo", "nemo", ["offers no AWS role"]),
        ("open", "jane", ["offers 2 roles", ROLES[0], ROLES[1]]),
        ("elsewhere", "jane", ["AWS does not accept the SAML response", "audience urn:elsewhere"]),
        ("encrypted", "jane", ["encrypted", "saml_principal_arn"]),
    ],
)
def test_what_does_not_work_is_explained(home: Home, profile: str, user: str, words: list[str]) -> None:
    run = home.run("-O", "json", profile, **password(user))
    assert (run.returncode, run.stdout) == (4, "")
    for word in words:
        assert word in run.stderr
    assert "Traceback" not in run.stderr


def test_an_encrypted_assertion_is_decrypted_by_sts(home: Home) -> None:
    """SimpleSAMLphp encrypts it for the key that the provider in IAM has; we can read nothing in it."""
    run = home.run("-vv", "-O", "json", "decrypted", **password("jane"))
    assert home.caller(run).endswith(":assumed-role/idp-admin/jane")


def test_one_of_several_roles_is_chosen_at_the_terminal(home: Home) -> None:
    child = home.at_terminal("whoami", "open", TERM="dumb", **password("jane"))
    child.expect_exact("role/idp-reader")
    child.expect_exact("Which one, 1 to 2? ")
    child.sendline("2")
    child.expect_exact("assumed-role/idp-reader/jane")
    child.expect(pexpect.EOF)


def test_the_jump_role_is_assumed_first_and_the_role_with_it(home: Home, sandbox: Sandbox) -> None:
    run = home.run("-O", "json", "-a", "1h", "chained", **password("jane"))
    assert home.caller(run).endswith(":assumed-role/my-role-short/" + home.caller(run).rpartition("/")[2])
    calls = [call for call in sandbox.calls if call["action"] == "AssumeRole"]
    assert calls[-1]["arn"].endswith(":assumed-role/idp-admin/jane")


def test_a_duration_that_the_role_forbids_is_explained(home: Home) -> None:
    run = home.run("-O", "json", "-a", "8h", "admin", **password("jane"))
    assert run.returncode == 4
    assert "does not allow 8h (flag -a)" in run.stderr


def test_the_password_of_the_credentials_file_is_used(home: Home, idp: SimpleSaml) -> None:
    home.write(config(idp), f"[{idp.sign_in_address()}]\nsaml_password = secret-of-jane\n")
    assert home.caller(home.run("-O", "json", "admin")).endswith("/jane")
    assert idp.url not in home.run("list", "profiles").stdout


def test_a_password_in_the_keyring_is_not_asked_for(home: Home) -> None:
    child = home.at_terminal("password", "admin", RUNAS_KEYRING_PASSPHRASE="phrase")
    for question in ("Password of jane: ", "The same again: "):
        child.expect_exact(question)
        child.sendline("secret-of-jane")
    child.expect(pexpect.EOF)
    child = home.at_terminal("whoami", "admin", RUNAS_KEYRING_PASSPHRASE="phrase")
    child.expect(pexpect.EOF)
    shown = str(child.before)
    assert "Password" not in shown
    assert "assumed-role/idp-admin/jane" in shown


def test_flags_alone_sign_in_and_a_password_among_them_is_warned_about(home: Home, idp: SimpleSaml) -> None:
    home.write("[default]\nregion = us-east-1\n")
    words = ["-S", idp.sign_in_address(), "-R", "form", "-U", "jane", "-P", "secret-of-jane", "-O", "json", ROLES[0]]
    run = home.run(*words)
    assert home.caller(run).endswith(":assumed-role/idp-admin/jane")
    assert "warning: -P shows the password" in run.stderr
    assert "secret-of-jane" not in run.stderr


def test_a_program_may_give_the_response(home: Home, idp: SimpleSaml) -> None:
    program = home.path / "program"
    program.write_text('#!/bin/sh\ncat "$HOME/response"\n')
    program.chmod(0o755)
    home.write(f"[profile p]\nregion = us-east-1\nsaml_process = {program}\nrole_arn = {ROLES[0]}\n")
    (home.path / "response").write_text("not base64 at all!")
    refused = home.run("-O", "json", "p")
    assert (refused.returncode, "it is not base64" in refused.stderr) == (4, True)
    key = "simplesaml"
    issuer = f"{idp.url}/saml2/idp/metadata.php"
    pairs = [f"{arn},{PROVIDER}" for arn in ROLES]
    good = saml.response(pairs, issuer=issuer, common_name=key)
    (home.path / "response").write_text(saml.changed(good, ">jane<", ">john<"))
    changed = home.run("-O", "json", "p")
    assert (changed.returncode, "AWS does not accept" in changed.stderr) == (4, True)
    (home.path / ".aws" / "aws-runas" / "cache").rename(home.path / "old-cache")
    (home.path / "response").write_text(good)
    assert home.caller(home.run("-O", "json", "p")).endswith(":assumed-role/idp-admin/jane")


def test_login_fetches_the_role_for_later_commands_and_logout_forgets_it(home: Home, idp: SimpleSaml) -> None:
    before = idp.logins()
    login = home.run("login", "admin", **password("jane"))
    assert (login.returncode, "signed in as admin until" in login.stderr) == (0, True), login.stderr
    cache = home.path / ".aws" / "aws-runas" / "cache"
    for path in cache.glob("assertion-*"):
        path.unlink()  # five minutes later
    assert home.caller(home.run("-O", "json", "admin")).endswith(":assumed-role/idp-admin/jane")
    again = home.run("login", "admin", **password("jane"))
    assert "already signed in as admin until" in again.stderr
    assert idp.logins() == before + 1
    forced = home.run("login", "--force", "-O", "json", "admin", **password("jane"))
    assert json.loads(forced.stdout)["Profile"] == "admin"
    assert idp.logins() == before + 2
    assert home.run("logout", "admin").returncode == 0
    left = [path.name for path in cache.iterdir() if path.suffix != ".lock"]
    assert [name for name in left if name.startswith(("saml-", "assertion-", "fast-"))] == []
    gone = home.run("-O", "json", "admin")
    assert (gone.returncode, "aws-runas login admin" in gone.stderr) == (4, True)


def test_fifty_processes_cost_one_prompt_and_one_sign_in(home: Home, idp: SimpleSaml, sandbox: Sandbox) -> None:
    home.write(config(idp, more=f"[profile many0]\nrole_arn = {ROLES[0]}\n[profile many1]\nrole_arn = {ROLES[1]}\n"))
    before, calls = idp.logins(), sandbox.count("AssumeRoleWithSAML")
    words = ["-c", MANY, "50", "-O", "env", "many%d"]
    child = pexpect.spawn(sys.executable, words, env=home.environ(), timeout=90, encoding="utf-8")
    child.expect(r"Password of jane at [\d.:]+: ")
    child.sendline("secret-of-jane")
    child.expect(pexpect.EOF)
    shown = str(child.before)
    assert shown.count("child 0 1") == 50, shown
    assert "Password" not in shown
    assert idp.logins() == before + 1
    assert sandbox.count("AssumeRoleWithSAML") == calls + 2


def test_a_wrong_password_of_many_processes_is_tried_once(home: Home, idp: SimpleSaml) -> None:
    """A provider locks an account after a few wrong passwords."""
    home.write(config(idp, more=f"[profile many0]\nrole_arn = {ROLES[0]}\n[profile many1]\nrole_arn = {ROLES[1]}\n"))
    before = idp.logins()
    run = subprocess.run(
        [sys.executable, "-c", MANY, "20", "-O", "env", "many%d"],
        env=home.environ(RUNAS_PASSWORD="wrong-canary"),
        capture_output=True,
        text=True,
        timeout=90,
        start_new_session=True,
        check=False,
    )
    assert run.stdout.count("child 4 0") == 20, run.stdout
    assert idp.logins() == before + 1
    assert "canary" not in run.stderr + run.stdout


def test_the_secret_reaches_no_other_process(home: Home) -> None:
    """The program that is run sees neither the password nor the response."""
    script = "import os; print([n for n, v in os.environ.items() if 'secret-of' in v])"
    run = home.run("-E", "admin", sys.executable, "-c", script, **password("jane"))
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr
