"""Our Extend Switch Roles configuration, read by the extension's own parser (npm: aesr-config)."""

from __future__ import annotations

import json
import random
import string
import subprocess
from typing import Any

import pytest

from aws_runas.identity.switch_roles import KnownRole, SwitchRoles, render, switch_roles
from tests.interop import javascript

HOME = "999999999999"


def parsed(texts: list[str]) -> list[dict[str, Any]]:
    """What the extension makes of each configuration."""
    found = subprocess.run(
        [javascript.node(), str(javascript.FOLDER / "switch_roles.mjs")],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    answers: list[dict[str, Any]] = json.loads(found.stdout)
    return answers


def targets(found: SwitchRoles) -> list[dict[str, str]]:
    """What the extension is to see in it."""
    rows = []
    for entry in found.entries:
        account, role = entry.role_arn.split(":")[4], entry.role_arn.partition(":role/")[2]
        row = {"name": entry.name, "aws_account_id": account, "role_name": role, "color": entry.color}
        rows.append({**row, **({"region": entry.region} if entry.region else {})})
    return rows


# What the extension's README says a profile may be -> a configuration of ours that makes use of it
DOCUMENTED = {
    "a target role as role_arn": ("arn:aws:iam::123456789012:role/marketingadmin", None, None),
    "a role with a path": ("arn:aws:iam::123456789012:role/team/blue/admin", None, None),
    "a color without #": ("arn:aws:iam::123456789012:role/a", KnownRole("x", "", color="ffaaee"), None),
    "a region of its own": ("arn:aws:iam::123456789012:role/a", KnownRole("x", "", region="ap-northeast-1"), None),
    "a region for all": ("arn:aws:iam::123456789012:role/a", None, "eu-central-1"),
    "a name with a space": ("arn:aws:iam::123456789012:role/a", KnownRole("my role", ""), None),
    "another partition": ("arn:aws-cn:iam::123456789012:role/a", None, "cn-north-1"),
    "a role of the base account": (f"arn:aws:iam::{HOME}:role/a", None, None),
}


@pytest.mark.parametrize("case", DOCUMENTED)
def test_what_the_readme_allows_is_read_as_meant(case: str) -> None:
    arn, known, region = DOCUMENTED[case]
    profiles = () if known is None else (KnownRole(known.name, arn, known.region, known.color),)
    found = switch_roles([arn], profiles, base="main", base_account=HOME, region=region)
    (answer,) = parsed([render(found)])
    assert answer == {
        "profiles": {
            "singles": [],
            "complexes": [{"name": "main", "aws_account_id": HOME, "targets": targets(found)}],
        }
    }


def test_the_alias_of_the_base_account_is_read_as_meant() -> None:
    arn = "arn:aws:iam::123456789012:role/a"
    found = switch_roles([arn], (), base="main", base_account=HOME, region=None, base_alias="my-company")
    (answer,) = parsed([render(found)])
    (base,) = answer["profiles"]["complexes"]
    assert (base["aws_account_id"], base["aws_account_alias"]) == (HOME, "my-company")


def test_two_hundred_configurations_of_odd_names_are_read_as_meant() -> None:
    generator = random.Random(7)
    letters = string.ascii_letters + string.digits + "_+=,.@-" + ";#[] /'\"é"
    configurations = []
    for _ in range(200):
        arns = [
            f"arn:aws:iam::{generator.choice(['111111111111', '222222222222', HOME])}:role/"
            + "".join(generator.choices(letters[:-6], k=generator.randint(1, 12)))
            for _ in range(generator.randint(1, 8))
        ]
        known = [
            KnownRole("".join(generator.choices(letters, k=generator.randint(1, 9))), arn, region="eu-west-1")
            for arn in generator.sample(arns, k=len(arns) // 2)
        ]
        base = generator.choice(["main", "default", "my base", "a;b", "111111111111-x"])
        configurations.append(switch_roles(arns, known, base=base, base_account=HOME, region=None))
    answers = parsed([render(one) for one in configurations])
    for found, answer in zip(configurations, answers, strict=True):
        assert "error" not in answer, (answer, render(found))
        complexes = answer["profiles"]["complexes"]
        seen = complexes[0]["targets"] if found.entries else complexes
        assert seen == targets(found)
        assert answer["profiles"]["singles"] == []


def test_the_judge_sees_what_is_wrong() -> None:
    answers = parsed(
        ["[a]\nrole_arn = x\n", "[a]\naws_account_id = 1\n[b]\nsource_profile = nobody\naws_account_id = 2\n"]
    )
    assert all("error" in answer for answer in answers)
