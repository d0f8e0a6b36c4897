"""The Extend Switch Roles configuration: our own rules here, the extension's parser in tests/interop."""

from __future__ import annotations

import configparser
import itertools
import subprocess
import sys

import pytest

from aws_runas.config.files import ProfileSection
from aws_runas.identity.switch_roles import KnownRole, color_of, known_roles, render, switch_roles

HOME = "999999999999"
ADMIN = "arn:aws:iam::111111111111:role/Admin"
READER = "arn:aws:iam::222222222222:role/team/Reader"
OWN = f"arn:aws:iam::{HOME}:role/Own"


def made(*roles: str, known: tuple[KnownRole, ...] = (), region: str | None = None, base: str = "main") -> str:
    return render(switch_roles(roles, known, base=base, base_account=HOME, region=region))


def sections(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser(comment_prefixes=(";", "#"), inline_comment_prefixes=(";", "#"))
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_roles_are_grouped_by_account_with_the_own_one_first() -> None:
    text = made(READER, ADMIN, OWN)
    assert list(sections(text)) == ["main", f"{HOME}-Own", "111111111111-Admin", "222222222222-Reader"]
    assert [line for line in text.splitlines() if line.startswith(";")] == [
        f"; account {HOME}", "; account 111111111111", "; account 222222222222",
    ]  # fmt: skip


def test_the_base_account_comes_first_and_every_role_refers_to_it() -> None:
    found = sections(made(ADMIN, READER))
    assert found["main"] == {"aws_account_id": HOME}
    assert all(section["source_profile"] == "main" for name, section in found.items() if name != "main")


def test_a_role_of_the_config_file_keeps_its_name_and_region() -> None:
    known = (KnownRole("prod", ADMIN, "eu-west-1"), KnownRole("unrelated", OWN))
    found = sections(made(ADMIN, READER, known=known, region="us-east-1"))
    assert found["prod"]["region"] == "eu-west-1"
    assert found["222222222222-Reader"]["region"] == "us-east-1"
    assert "unrelated" not in found


def test_a_role_of_two_profiles_has_two_entries() -> None:
    known = (KnownRole("prod-eu", ADMIN, "eu-west-1"), KnownRole("prod-us", ADMIN, "us-east-1"))
    found = sections(made(ADMIN, known=known))
    assert (found["prod-eu"]["region"], found["prod-us"]["region"]) == ("eu-west-1", "us-east-1")


def test_without_a_region_none_is_written() -> None:
    assert "region" not in made(ADMIN)


def test_names_are_unique() -> None:
    twins = [f"arn:aws:iam::111111111111:role/{path}Admin" for path in ("", "a/", "b/", "a-b/")]
    known = (KnownRole("111111111111-Admin", READER), KnownRole("main", OWN))
    names = [line for line in made(*twins, READER, OWN, known=known).splitlines() if line.startswith("[")]
    assert len(set(names)) == len(names) == 7


def test_a_color_is_the_accounts_own_and_stable() -> None:
    found = sections(made(ADMIN, f"{ADMIN}2", READER))
    assert found["111111111111-Admin"]["color"] == found["111111111111-Admin2"]["color"] == color_of("111111111111")
    assert found["111111111111-Admin"]["color"] == sections(made(ADMIN))["111111111111-Admin"]["color"]
    assert found["222222222222-Reader"]["color"] != color_of("111111111111")
    assert color_of("123456789012") == "bfbe43"  # written down, so that no version gives other colors


def test_a_color_of_the_config_file_is_kept() -> None:
    rows = {"a": {"role_arn": ADMIN, "color": "#AABBCC"}, "b": {"role_arn": READER, "color": "red"}, "c": {}}
    known = known_roles({name: ProfileSection(name, dict(values), {}) for name, values in rows.items()})
    assert [(one.name, one.color) for one in known] == [("a", "aabbcc"), ("b", None)]
    assert sections(made(ADMIN, known=tuple(known)))["a"]["color"] == "aabbcc"


@pytest.mark.parametrize("name", ["a=b", "a;b/c", "a#b/c"])
def test_a_role_that_the_grammar_cannot_hold_is_left_out_and_named(name: str) -> None:
    arn = f"arn:aws:iam::111111111111:role/{name}"
    found = switch_roles([arn, READER], (), base="main", base_account=HOME, region=None)
    assert found.left_out == (arn,)
    assert [one.role_arn for one in found.entries] == [READER]


@pytest.mark.parametrize(("name", "written"), [("a;b", "a-b"), ("a#b", "a-b"), ("[x]", "-x-"), ("profile x", "x")])
def test_a_profile_name_that_the_grammar_cannot_hold_is_changed(name: str, written: str) -> None:
    assert written in sections(made(ADMIN, known=(KnownRole(name, ADMIN),)))


def test_no_role_is_no_text() -> None:
    assert made() == ""


def test_the_order_of_the_roles_does_not_matter() -> None:
    assert made(ADMIN, READER, OWN) == made(OWN, READER, ADMIN, ADMIN)


def test_the_answer_does_not_depend_on_the_order_of_the_question() -> None:
    roles = [
        "arn:aws:iam::123456789012:role/Same",
        "arn:aws-cn:iam::123456789012:role/Same",
        "arn:aws-us-gov:iam::123456789012:role/Same",
        "not an arn",
    ]
    answers = {
        render(switch_roles(order, [], base="base", base_account="123456789012", region=None))
        for order in itertools.permutations(roles)
    }
    assert len(answers) == 1


def test_the_answer_does_not_depend_on_the_seed_of_hashes() -> None:
    script = (
        "from aws_runas.identity.switch_roles import render, switch_roles\n"
        "roles = {f'arn:{p}:iam::123456789012:role/Same' for p in ('aws', 'aws-cn', 'aws-us-gov', 'aws-iso')}\n"
        "print(render(switch_roles(roles, [], base='b', base_account='1', region=None)))\n"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": str(seed)}, capture_output=True, check=True
        ).stdout
        for seed in range(4)
    }
    assert len(answers) == 1
