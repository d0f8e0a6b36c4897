"""Errors that only whole programs meet otherwise: each is provoked here, and the fix that it names compared."""

from __future__ import annotations

import asyncio
import errno
import io
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from aws_runas import files
from aws_runas.aws import http, sso
from aws_runas.aws.errors import translate
from aws_runas.cli.commands import console, password, run, sandbox, sessions, ssh
from aws_runas.cli.commands import sso as command_sso
from aws_runas.cli.commands.fleet import run as fleet_run
from aws_runas.cli.commands.keys import removing, rotating
from aws_runas.cli.commands.login import _check_source
from aws_runas.cli.commands.tunnels import install
from aws_runas.cli.commands.tunnels.serve import check_directory
from aws_runas.cli.endpoint import refuse_to_ask
from aws_runas.cli.environment import Environment
from aws_runas.cli.terminal import prompt
from aws_runas.config.profile import ResolverSource, Setting
from aws_runas.credentials import federation, processes
from aws_runas.errors import AwsRunasError, SessionError
from aws_runas.run import endpoint_mode
from aws_runas.sandbox import world
from aws_runas.serve import listeners, privileges
from aws_runas.serve.profiles import Profiles
from aws_runas.signin.form_sign_in import _Answers
from aws_runas.signin.oidc_sign_in import OidcSignIn, client_secret
from aws_runas.ssm import api
from aws_runas.ssm.command import failures
from aws_runas.ssm.copy.copying import _broken
from aws_runas.ssm.copy.protocol import copy_error
from aws_runas.ssm.forward import listener
from aws_runas.ssm.forward.destination import LocalAddress
from aws_runas.ssm.shell.console import windows_refusal
from aws_runas.ssm.transport import resumer
from aws_runas.ssm.transport.interfaces import HandshakeRefused
from aws_runas.targets import databases
from aws_runas.tunnels.control import ControlServer


def error_of(call: Callable[[], object]) -> AwsRunasError:
    """Return the error that a call raises, or returns."""
    try:
        found = call()
    except AwsRunasError as error:
        return error
    assert isinstance(found, AwsRunasError), found
    return found


def fake(**values: object) -> Any:
    return SimpleNamespace(**values)


def refuse_role(code: str) -> None:
    with sso._explained("role Admin"), translate("sso", "GetRoleCredentials"):
        raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetRoleCredentials")


def secret(value: str) -> Any:
    return fake(client_id="aws-cli", client_secret=fake(value=value, origin="config, line 3"), client_secret_file=None)


def denied_key() -> object:
    def refused(**_: object) -> object:
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GenerateDataKey")

    access = fake(client=lambda _service: fake(generate_data_key=refused), region=lambda: "eu-west-1")
    return api.generate_data_key(access, "arn:aws:kms:key", {})


def untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("bad")
    error.verify_message = "self-signed certificate"
    return error


def no_answer(_access: object, _name: str, _part: str = "") -> None:
    return None


REGION = fake(region=lambda: "eu-west-1", profile=fake(sections={}, section=None))
END = failures.SessionEnd("no such file", b"", started=False, bootstrap=None)
WALK = fake(reason="", question="code", is_repeated=False)
CALLS: list[tuple[str, str, Callable[[], object]]] = [
    ("client-secret-missing", "file://PATH", lambda: client_secret(secret("keyring"), lambda: None)),
    ("client-secret-unreadable", "correct the path", lambda: client_secret(secret("file:///none"), lambda: None)),
    ("command-not-started", "--cwd", lambda: failures.helper_failed("check", "no such directory")),
    ("helper-missing", "install Python 3.6", lambda: failures.helper_failed("shell", "sh: bad")),
    ("no-shell", "needs sh", lambda: failures.session_ended(END, None)),
    ("copy-broken", "run the same command again", lambda: _broken(SessionError("cut", code="session-ended"))),
    ("hash-differs", "run the same command again", lambda: copy_error("hash-differs", "f arrived damaged")),
    ("no-space", "free some space", lambda: copy_error("no-space", "/srv/f")),
    ("data-key-denied", "kms:GenerateDataKey", denied_key),
    ("idp-code-refused", "mfa_type = code",
     lambda: _Answers._code(fake(_source=fake(label="idp", mfa_type="push")), WALK)),
    ("idp-code-refused", "wait for the next code",
     lambda: _Answers._code(fake(_source=fake(label="idp", mfa_type="code"), _codes=3), WALK)),
    ("login-not-possible", "access keys of a user",
     lambda: _check_source(ResolverSource("Ec2InstanceMetadata", "p", (), "config, line 2"), "p")),
    ("mfa-program-has-terminal", "in another terminal", lambda: refuse_to_ask("Code: ")),
    ("no-bastion", "--through", lambda: databases.find_bastion("rds:a", "vpc-1", REGION)),
    ("not-a-database", "check id and region", lambda: databases.find_database("rds:orders", REGION)),
    ("oidc-device-unsupported", "web_identity_flow = browser",
     lambda: OidcSignIn._uses_device(
         fake(context=fake(options=fake(device_code=True)), source=fake(flow="auto")),
         fake(device_endpoint="", issuer="https://idp.example"))),
    ("output-file-unwritable", "a file that you can write", lambda: run._open_output("/nonexistent/file")),
    ("process-circle", "from another profile", lambda: processes._circle("a -> b -> a", [])),
    ("sandbox-port-taken", "--port",
     lambda: world._running(b'{"error": "Address in use", "errno": %d}' % errno.EADDRINUSE, fake(port=80))),
    ("serve-address-taken", "another port with -p",
     lambda: listeners._refused("127.0.0.1:1", OSError(errno.EADDRINUSE, "in use"))),
    ("serve-address-unusable", "make the directory",
     lambda: listeners._refused("/nonexistent/s", OSError(errno.ENOENT, "no"))),
    ("serve-address-unusable", "an address of this machine",
     lambda: listeners._refused("192.0.2.1:80", OSError(errno.EADDRNOTAVAIL, "no"))),
    ("serve-not-permitted", "-p", lambda: listeners._refused("127.0.0.1:80", OSError(errno.EACCES, "no"))),
    ("serve-user-unknown", "with sudo", lambda: privileges.user_behind({"SUDO_USER": "nobody-of-that-name"}, uid=0)),
    ("serve-config-unreadable", "aws-runas list profiles",
     lambda: Profiles.names(fake(_catalogue=fake(names=lambda: [][0])), roles=True)),
    ("sso-role-denied", "aws-runas sso list",
     lambda: refuse_role("ForbiddenException")),
    ("stream-forbidden", "ssmmessages:OpenDataChannel",
     lambda: resumer._readable(HandshakeRefused(403, "no"), "wss://x/")),
    ("stream-unreachable", "HTTPS_PROXY", lambda: resumer._readable(OSError(errno.ECONNREFUSED, "no"), "wss://x/")),
    ("stream-unreachable", "the proxy", lambda: resumer._readable(TimeoutError(), "wss://x/")),
    ("stream-untrusted", "AWS_CA_BUNDLE", lambda: resumer._readable(untrusted(), "wss://x/")),
    ("terminal-unsupported", "--plugin", windows_refusal),
]  # fmt: skip


@pytest.mark.parametrize(("code", "fix", "call"), CALLS, ids=[f"{row[0]}-{at}" for at, row in enumerate(CALLS)])
def test_a_rare_error_says_how_to_fix_it(
    code: str, fix: str, call: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("find_rds", "find_cache"):
        monkeypatch.setattr(databases, name, no_answer)
    for name in ("list_rds", "list_caches"):
        monkeypatch.setattr(databases, name, lambda _access: [])
    monkeypatch.setattr(databases, "_tagged_instances", lambda *_: ())
    error = error_of(call)
    assert error.code == code
    assert fix in (error.hint or "")


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return Environment(io.BytesIO(), io.BytesIO(), io.StringIO(), {"HOME": str(tmp_path)}, tmp_path, time.time)


def test_a_client_secret_that_others_may_read_is_told_of_chmod(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("canary")
    path.chmod(0o644)
    error = error_of(lambda: client_secret(secret(f"file://{path}"), lambda: None))
    assert (error.code, error.hint) == ("client-secret-exposed", f"run: chmod 600 {path}")
    assert "canary" not in error.message


def test_many_instances_need_a_yes(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = cast(Any, [fake()] * 60)
    options = fake(yes=False, via="command")
    error = error_of(lambda: fleet_run._confirm(options, hosts, env))
    assert (error.code, error.hint) == ("fleet-not-confirmed", "add --yes, or check the selection with --dry-run")
    error = error_of(lambda: fleet_run._confirm(fake(yes=False, via="sessions"), hosts, env))
    assert "--via command" in (error.hint or "")
    monkeypatch.setattr(prompt, "confirm", lambda _question: False)
    error = error_of(lambda: fleet_run._confirm(options, hosts, cast(Any, fake(stderr=fake(isatty=lambda: True)))))
    assert "--yes" in (error.hint or "")


def test_a_prompt_that_is_ended_asks_for_the_code_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "_read_line", lambda _message: "")
    error = error_of(lambda: prompt.ask_on_terminal("Code: "))
    assert (error.code, error.hint) == ("mfa-code-missing", "run it again and type the code")


def test_two_passwords_that_differ_are_typed_again(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(("old", "one", "other"))
    arn = "arn:aws:iam::123456789012:user/ann"
    monkeypatch.setattr("aws_runas.aws.sts.caller_identity", lambda *_, **__: fake(arn=arn))
    monkeypatch.setattr(prompt, "ask_secret", lambda _question: next(typed))
    access = cast(Any, fake(profile=fake(name="ann")))
    error = error_of(lambda: password._change(access, env))
    assert (error.code, error.hint) == ("password-mismatch", "run it again")


def test_several_bastions_are_chosen_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(databases, "_tagged_instances", lambda *_: (fake(), fake()))
    monkeypatch.setattr(databases, "listing", lambda _instances: ("i-1", "i-2"))
    error = error_of(lambda: databases.find_bastion("rds:a", "vpc-1", REGION))
    assert (error.code, error.details) == ("several-bastions", ("i-1", "i-2"))
    assert error.hint == "name one with --through, or choose with --pick"


def test_a_program_without_its_endpoint_can_do_with_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("aws_runas.run.endpoint_mode._socket.socket", full)
    error = error_of(lambda: endpoint_mode.run(["true"], {}, None, lambda _descriptor, _token: None))
    assert (error.code, error.hint) == ("program-start-failed", "with -E no endpoint is needed")


def test_the_sandbox_names_its_extra(monkeypatch: pytest.MonkeyPatch, env: Environment) -> None:
    monkeypatch.setattr("aws_runas.cli.commands.sandbox.importlib.util.find_spec", lambda _name: None)
    error = error_of(lambda: sandbox.run(cast(Any, fake(program=())), env))
    assert error.code == "sandbox-not-installed"
    assert "[sandbox]" in (error.hint or "")


def test_a_file_in_place_of_a_socket_is_kept(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    error = error_of(lambda: listener.bind(LocalAddress(path=str(tmp_path / "s"))))
    assert (error.code, error.hint) == ("socket-path-taken", "name another path, or remove it")


def test_directories_of_the_control_socket_are_named_by_their_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = error_of(lambda: check_directory(tmp_path / "file" / "d"))
    assert error.code == "tunnels-directory"
    assert "XDG_RUNTIME_DIR" in (error.hint or "")
    path = tmp_path / ("long" * 40) / "s"
    error = error_of(lambda: asyncio.run(ControlServer(path, cast(Any, None)).start()))
    assert error.code == "tunnels-socket"
    assert "XDG_RUNTIME_DIR" in (error.hint or "")


def test_a_tunnel_on_demand_needs_a_port(env: Environment, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text('[db]\nprofile = "p"\ntarget = "web"\nforwards = ["0:db:5432"]\n')
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile p]\nregion = eu-west-1\n")
    env.environ["RUNAS_TUNNELS_FILE"] = str(tmp_path / "t.toml")  # type: ignore[index]
    error = error_of(lambda: install.install(["db"], env, on_demand=True))
    assert (error.code, error.hint) == ("tunnels-port-missing", "give each forward a port, or use --start login")


def test_a_key_is_not_pushed_for_nobody(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aws_runas.cli.session.ssh_keys.ssh_settings", lambda *_: fake(user=""))
    options = fake(target="web", user="", port=22)
    error = error_of(lambda: ssh._push_keys(cast(Any, options), env, cast(Any, None), "i-deadbeef"))
    assert (error.code, error.hint) == ("ssh-user-missing", "write it as user@target")


def test_keys_that_are_being_rotated_are_waited_for(
    env: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = tmp_path / "d" / "journal"
    files.make_private_directory(journal.parent)
    monkeypatch.setattr(rotating, "_place", lambda *_: ("ann", fake()))
    monkeypatch.setattr(rotating, "_journal_path", lambda *_: journal)
    with files.lock(journal.with_suffix(".lock")):
        error = error_of(lambda: rotating.rotate(cast(Any, None), env))
    assert (error.code, error.hint) == ("rotation-running", "wait until it has ended")


def test_a_profile_without_keys_in_a_keyring_is_told_where_keys_are() -> None:
    error = removing.no_keyring_line("ann")
    assert error.code == "keyring-item-missing"
    assert "aws-runas keys add ann" in (error.hint or "")


def test_the_name_of_a_region_is_shown_by_an_example(env: Environment, tmp_path: Path) -> None:
    from aws_runas.cli import app

    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile p]\nregion = bad x\n")
    assert app.main(["whoami", "p"], env) == 3
    assert "a region looks like eu-west-1" in cast(io.StringIO, env.stderr).getvalue()


def test_keys_stay_if_the_question_is_answered_with_no(
    env: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[profile ann]\nkeyring = ann\n")
    monkeypatch.setattr(removing, "open_store_for", lambda _env: fake(label="the keyring"))
    monkeypatch.setattr(prompt, "confirm", lambda _question: False)
    error = error_of(lambda: removing.remove(cast(Any, fake(name="ann", yes=False)), env))
    assert (error.code, error.hint) == ("keys-kept", "to remove them without a question: -y")


def test_a_session_that_is_not_there_is_looked_for_in_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aws_runas.aws.ssm.list_sessions", lambda *_, **__: [])
    error = error_of(lambda: sessions._find("ann-1", REGION))
    assert (error.code, error.hint) == ("session-not-found", "see: aws-runas sessions list --all")


def test_an_answer_that_is_not_http_blames_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(*_: object) -> None:
        raise ValueError("canary")

    client = http.HttpClient(cast(Any, None))
    monkeypatch.setattr(client, "_session", lambda _url: fake(send=odd))
    error = error_of(lambda: client.send("GET", "https://idp.example/x"))
    assert (error.code, error.hint) == ("idp-answer-invalid", "check the address in the profile")
    assert "canary" not in error.message


def test_a_program_that_prints_no_response_is_run_by_hand(tmp_path: Path) -> None:
    command = fake(process=Setting("/nonexistent/program", "config, line 3"))
    sign_in = fake(source=command, profile=fake(name="odd"))
    error = error_of(lambda: federation.Federation._by_process(sign_in))
    assert (error.code, error.hint) == ("saml-process-failed", "run it by hand to see more")


def test_a_browser_that_does_not_ask_is_replaced(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aws_runas.signin.handover.Handover.wait", lambda _self: False)
    monkeypatch.setattr(console, "_start", lambda *_: None)
    monkeypatch.setattr(console, "_in_container", lambda *_: "")
    options, browser = fake(container="x"), cast(Any, None)
    error = error_of(lambda: console._open(options, env, cast(Any, None), browser, address="https://x", secret=True))
    assert error.code == "browser-silent"
    assert "--print or --clipboard" in (error.hint or "")


def test_generated_profiles_do_not_take_names_of_others(env: Environment, tmp_path: Path) -> None:
    config = tmp_path / ".aws" / "config"
    config.parent.mkdir()
    config.write_text("[profile Corp-Admin]\nregion = eu-west-1\n")
    assigned = [fake(account_name="Corp", account_id="123456789012", role_name="Admin")]
    options = fake(regions=(), name="{account}-{role}", write=True, prune=False, strict=True)
    error = error_of(lambda: command_sso._generate(options, fake(name="corp"), assigned, assigned, env=env))
    assert (error.code, error.hint) == ("profile-name-taken", "choose other names with --name, or leave out --strict")


def test_a_selection_without_instances_is_compared_with_the_list(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_run, "_accesses", lambda *_: {"pair": fake()})
    monkeypatch.setattr(fleet_run, "take_inventory", lambda *_, **__: fake(reachable=(), unreachable=()))
    monkeypatch.setattr(fleet_run, "_missing", lambda *_: ())
    options = fake(
        selectors=("all",), script=None, words=("uptime",), command=("uptime",), powershell=False, via="command"
    )
    error = error_of(lambda: fleet_run.run_command(cast(Any, options), env))
    assert (error.code, error.hint) == ("fleet-no-instance", "see: aws-runas list instances")
