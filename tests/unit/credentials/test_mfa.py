"""Codes: where they come from, how often, and what is said when they are wrong."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from aws_runas.config.resolve import Overrides
from aws_runas.errors import ConfigError, CredentialsError
from tests.support.sts_server import ROLE
from tests.unit.credentials.conftest import World


def test_a_wrong_code_may_be_typed_again(world: World) -> None:
    world.answers = ["000000", "nonsense", "123456"]
    world.access("role").provider.credentials()
    assert len(world.questions) == 3
    assert "refused" in world.questions[1]
    assert "2 attempts left" in world.questions[1]
    assert "1 attempt left" in world.questions[2]


def test_enter_without_a_code_is_not_an_attempt(world: World) -> None:
    world.answers = ["", " ", "000000", "", "123456"]
    world.access("role").provider.credentials()
    assert world.questions[0] == world.questions[1] == world.questions[2]
    refusal, _, question = world.questions[3].partition("\n")
    assert refusal.endswith("; 2 attempts left")
    assert question == world.questions[0]


def test_a_code_may_be_typed_with_the_space_that_apps_show(world: World) -> None:
    world.answers = [" 123 456 "]
    world.access("role").provider.credentials()


def test_three_wrong_codes_are_the_end(world: World) -> None:
    world.answers = ["000000", "000001", "000002", "123456"]
    with pytest.raises(CredentialsError) as caught:
        world.access("role").provider.credentials()
    assert caught.value.code == "mfa-code-refused"
    assert world.answers == ["123456"]
    assert len(world.sts.calls) == 3


def test_what_is_no_code_is_not_sent(world: World) -> None:
    world.answers = ["1", "12345", "12345a"]
    with pytest.raises(CredentialsError) as caught:
        world.access("role").provider.credentials()
    assert caught.value.code == "mfa-code-invalid"
    assert world.sts.calls == []


def test_a_code_by_flag_is_not_asked_for(world: World) -> None:
    world.access("role", Overrides(otp="123456")).provider.credentials()
    assert world.questions == []


def test_a_code_by_variable_is_not_asked_for_and_a_flag_beats_it(world: World) -> None:
    world.access("role", Overrides(otp="123456"), MFA_CODE="999999").provider.credentials()
    world.sts.codes = {"222222"}
    world.access("role", Overrides(refresh=True), MFA_CODE="222222").provider.credentials()
    assert world.questions == []


def test_after_a_wrong_code_by_flag_the_person_is_asked(world: World) -> None:
    world.answers = ["123456"]
    world.access("role", Overrides(otp="000000")).provider.credentials()
    assert len(world.questions) == 1


def test_without_a_terminal_a_wrong_code_by_flag_says_that_it_was_wrong(world: World) -> None:
    world.somebody = False
    with pytest.raises(CredentialsError) as caught:
        world.access("role", Overrides(otp="000000")).provider.credentials()
    assert caught.value.code == "mfa-code-refused"


def test_without_a_terminal_the_error_says_how_to_give_a_code(world: World) -> None:
    world.somebody = False
    with pytest.raises(CredentialsError) as caught:
        world.access("role").provider.credentials()
    assert caught.value.code == "mfa-no-terminal"
    assert "-o" in (caught.value.hint or "")
    assert world.sts.calls == []


def test_a_refused_device_is_named_with_where_it_came_from(world: World) -> None:
    world.answers = ["123456"]
    with pytest.raises(CredentialsError) as caught:
        world.access("role", Overrides(), MFA_SERIAL="arn:aws:iam::1:mfa/other").provider.credentials()
    assert caught.value.code == "mfa-device-refused"
    assert "arn:aws:iam::1:mfa/other (MFA_SERIAL)" in caught.value.message
    assert len(world.questions) == 1


def test_another_device_is_another_session_token(world: World) -> None:
    world.sts.devices.add("arn:aws:iam::123456789012:mfa/second")
    world.sts.codes = {"111111", "222222"}
    world.answers = ["111111", "222222"]
    world.access("user").provider.credentials()
    world.access("user", Overrides(mfa_serial="arn:aws:iam::123456789012:mfa/second")).provider.credentials()
    assert len(world.entries("session")) == 2


def _program(path: Path, body: str) -> str:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(stat.S_IRWXU)
    return str(path)


def test_a_program_prints_the_code(world_with: Callable[[str], World], tmp_path: Path) -> None:
    program = _program(tmp_path / "my key", 'echo "$1"; echo "Amazon:me  123456"')
    world = world_with(f"[profile keyed]\nsource_profile = user\nrole_arn = {ROLE}K\nmfa_process = '{program}' 'a b'\n")
    world.access("keyed").provider.credentials()
    assert world.questions == []


def test_a_program_by_flag_beats_the_profiles(world: World, tmp_path: Path) -> None:
    program = _program(tmp_path / "p", "echo 123456")
    world.access("role", Overrides(mfa_process=program)).provider.credentials()
    assert world.questions == []


def test_a_code_by_flag_beats_the_program(world: World, tmp_path: Path) -> None:
    program = _program(tmp_path / "p", "exit 1")
    world.access("role", Overrides(mfa_process=program, otp="123456")).provider.credentials()


@pytest.mark.parametrize(
    ("body", "words"),
    [("cat; exit 3", "exit status 3"), ("echo no code here", "no six digits"), ("echo 1234567", "no six digits")],
)
def test_a_program_without_a_code_is_an_error(world: World, tmp_path: Path, body: str, words: str) -> None:
    program = _program(tmp_path / "p", body)
    with pytest.raises(CredentialsError, match=words) as caught:
        world.access("role", Overrides(mfa_process=program)).provider.credentials()
    assert caught.value.code == "mfa-process-failed"
    assert caught.value.hint == "run it by hand to see more, or give a code with -o"


def test_a_program_that_is_not_there_is_an_error(world: World) -> None:
    with pytest.raises(CredentialsError, match="/nowhere/program"):
        world.access("role", Overrides(mfa_process="/nowhere/program")).provider.credentials()


def test_after_a_stale_code_by_variable_the_program_is_run_and_then_the_person_asked(
    world: World, tmp_path: Path
) -> None:
    program = _program(tmp_path / "p", "echo 111111")
    world.answers = ["123456"]
    world.access("role", Overrides(mfa_process=program), MFA_CODE="000000").provider.credentials()
    assert [call.parameters.get("TokenCode") for call in world.sts.calls] == ["000000", "111111", "123456", None]


def test_a_refused_role_whose_name_has_mfa_in_it_is_no_refused_device(world_with: Callable[[str], World]) -> None:
    world = world_with(f"[profile m]\nrole_arn = {ROLE}mfa-admin\nsource_profile = user\n")
    world.answers = ["123456"]
    message = f"User: u is not authorized to perform: sts:AssumeRole on resource: {ROLE}mfa-admin"
    world.sts.errors["AssumeRole"] = (403, "AccessDenied", message)
    with pytest.raises(CredentialsError) as caught:
        world.access("m", Overrides(role_duration=7200)).provider.credentials()
    assert caught.value.code == "role-denied"
    assert caught.value.hint == (
        "the role's trust policy, its conditions (external id, MFA, tags) and your policy must allow it"
    )


@pytest.mark.parametrize("command", ["''", "' '", "/etc", "a\0b"])
def test_a_program_that_is_none_is_an_error(world: World, command: str) -> None:
    with pytest.raises(CredentialsError, match="gave no code"):
        world.access("role", Overrides(mfa_process=command)).provider.credentials()


def test_a_program_with_an_open_quote_is_an_error(world: World) -> None:
    with pytest.raises(ConfigError, match="mfa-process"):
        world.access("role", Overrides(mfa_process="echo 'x")).provider.credentials()


def test_an_own_key_call_of_more_than_an_hour_asks_again_after_a_wrong_code(world: World) -> None:
    world.answers = ["000000", "123456"]
    world.access("role", Overrides(role_duration=7200)).provider.credentials()
    assert world.sts.actions() == ["AssumeRole", "AssumeRole"]
