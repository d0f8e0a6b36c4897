"""Which roles a set of policies allows, judged statement by statement."""

from __future__ import annotations

import fnmatch
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.identity.policy import assumable_roles, matches, overlap

ONE = "arn:aws:iam::111111111111:role/one"
TWO = "arn:aws:iam::222222222222:role/team/two"
CHINA = "arn:aws-cn:iam::333333333333:role/three"


def statement(effect: str = "Allow", **parts: Any) -> dict[str, Any]:
    whole = {"Effect": effect, "Action": "sts:AssumeRole", "Resource": [ONE, TWO], **parts}
    return {key: value for key, value in whole.items() if value is not None}


def judge(*statements: dict[str, Any], variables: dict[str, str] | None = None) -> tuple[list[str], list[str]]:
    documents = [(f"policy {number}", {"Statement": one}) for number, one in enumerate(statements)]
    judged = assumable_roles(documents, variables or {})
    return list(judged.roles), [one.resource for one in judged.patterns]


@pytest.mark.parametrize(
    ("statements", "roles"),
    [
        ([statement()], [ONE, TWO]),
        ([statement(Resource=ONE)], [ONE]),
        ([statement(Resource=CHINA)], [CHINA]),
        ([statement(Action="sts:*")], [ONE, TWO]),
        ([statement(Action="*")], [ONE, TWO]),
        ([statement(Action="STS:assumerole")], [ONE, TWO]),
        ([statement(Action="sts:Assume*")], [ONE, TWO]),
        ([statement(Action="sts:AssumeRol?")], [ONE, TWO]),
        ([statement(Action=["s3:GetObject", "sts:AssumeRole"])], [ONE, TWO]),
        ([statement(Action="sts:AssumeRoleWithSAML")], []),
        ([statement(Action="s3:*")], []),
        ([statement(Action=None)], []),
        ([statement(Action=None, NotAction="s3:*")], [ONE, TWO]),
        ([statement(Action=None, NotAction=["s3:*", "sts:assumeROLE"])], []),
        ([statement(Action=None, NotAction="sts:*")], []),
        ([statement(Action=None, NotAction=[])], [ONE, TWO]),
        ([statement(Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}})], [ONE, TWO]),
        ([statement(Resource=None, NotResource=ONE)], []),
        ([statement(), statement("Deny", Resource=ONE)], [TWO]),
        ([statement("Deny", Resource=ONE), statement()], [TWO]),
        ([statement(), statement("Deny", Resource="arn:aws:iam::*:role/team/*")], [ONE]),
        ([statement(), statement("Deny", Resource="*")], []),
        ([statement(), statement("Deny", Action="*", Resource=ONE)], [TWO]),
        ([statement(), statement("Deny", Action="s3:*", Resource="*")], [ONE, TWO]),
        ([statement(), statement("Deny", Action=None, NotAction="sts:*", Resource="*")], [ONE, TWO]),
        ([statement(), statement("Deny", Action=None, NotAction="s3:*", Resource="*")], []),
        (
            [statement(), statement("Deny", Resource=ONE, Condition={"Bool": {"aws:SecureTransport": "false"}})],
            [ONE, TWO],
        ),
        ([statement(), statement("Deny", Resource=None, NotResource=ONE)], [ONE]),
        ([statement(), statement("Deny", Resource=None, NotResource="arn:aws:iam::2*:role/*")], [TWO]),
        ([statement(), statement("Deny", Resource="arn:aws:iam::111111111111:role/ONE")], [ONE, TWO]),
        ([statement("Maybe")], []),
        ([statement(Resource="arn:aws:iam::111111111111:user/someone")], []),
        ([statement(Resource="arn:aws:s3:::bucket/role/x")], []),
        ([statement(Resource="arn:aws:iam::123:role/short")], []),
        ([statement(Resource=[{"Ref": "x"}])], []),
    ],
)
def test_statements_are_judged_together(statements: list[dict[str, Any]], roles: list[str]) -> None:
    assert judge(*statements)[0] == roles


def test_several_statements_of_one_document_count_as_several_documents_do() -> None:
    document = {"Statement": [statement(), statement("Deny", Resource=ONE)]}
    assert assumable_roles([("p", document)], {}).roles == (TWO,)


@pytest.mark.parametrize(
    "document", [{}, {"Statement": None}, {"Statement": "x"}, {"Statement": ["x", 3, None]}, {"Statement": {}}]
)
def test_a_document_of_an_odd_shape_allows_nothing(document: dict[str, Any]) -> None:
    assert assumable_roles([("p", document)], {}).roles == ()


@pytest.mark.parametrize(
    ("resource", "is_pattern"),
    [
        ("*", True),
        ("arn:aws:iam::*:role/admin", True),
        ("arn:aws:iam::111111111111:role/*", True),
        ("arn:aws:iam::11111111111?:role/x", True),
        ("arn:*:role/x", True),
        ("arn:aws:iam::111111111111:*", True),
        ("arn:aws:s3:::bucket/*", False),
        ("arn:aws:iam::*:user/*", False),
        ("arn:aws:iam::111111111111:role/${aws:PrincipalTag/team}", True),
    ],
)
def test_a_resource_with_wildcards_is_a_pattern_where_a_role_can_fit_it(resource: str, is_pattern: bool) -> None:
    assert judge(statement(Resource=resource)) == ([], [resource] if is_pattern else [])


def test_a_pattern_names_the_policies_that_hold_it() -> None:
    documents = [(name, {"Statement": statement(Resource="*")}) for name in ("b", "a")]
    assert assumable_roles(documents, {}).patterns[0].policies == ("a", "b")


def test_a_denied_pattern_is_not_named() -> None:
    assert judge(statement(Resource="arn:aws:iam::1*:role/x"), statement("Deny", Resource="arn:aws:iam::*")) == ([], [])
    assert judge(statement(Resource="arn:aws:iam::*"), statement("Deny", Resource="arn:aws:iam::?")) == (
        [],
        ["arn:aws:iam::*"],
    )


def test_the_name_of_the_user_is_filled_in() -> None:
    resource = "arn:aws:iam::111111111111:role/${AWS:username}-admin"
    roles, patterns = judge(statement(Resource=resource), variables={"aws:username": r"ann\1"})
    assert roles == [r"arn:aws:iam::111111111111:role/ann\1-admin"]
    assert patterns == []


_TEXT = st.text("ab", max_size=6)
_PATTERN = st.text("ab*?", max_size=5)


@given(_PATTERN, _TEXT)
def test_matching_is_that_of_the_shell(pattern: str, text: str) -> None:
    assert matches(pattern, text) == fnmatch.fnmatchcase(text, pattern)


@given(_PATTERN, _PATTERN)
def test_two_patterns_overlap_where_some_text_fits_both(one: str, other: str) -> None:
    longest = len(one) + len(other)
    short = (itertools.product("ab", repeat=length) for length in range(min(longest, 8) + 1))
    texts = ("".join(letters) for each in short for letters in each)
    both = any(fnmatch.fnmatchcase(text, one) and fnmatch.fnmatchcase(text, other) for text in texts)
    assert overlap(one, other) == both


@given(_PATTERN, _PATTERN, _TEXT)
def test_a_pattern_that_covers_a_pattern_covers_all_it_stands_for(one: str, other: str, text: str) -> None:
    if matches(one, other) and fnmatch.fnmatchcase(text, other):
        assert fnmatch.fnmatchcase(text, one)
