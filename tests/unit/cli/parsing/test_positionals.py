"""Which positional is the profile."""

from __future__ import annotations

import pytest

from aws_runas.cli.parsing.positionals import split_profile
from aws_runas.errors import UsageError

ARN = "arn:aws:iam::123456789012:role/admin"
NAMES = ["dev", "prod", "i-0123456789abcdef0"]


@pytest.mark.parametrize(
    ("words", "most", "profile", "rest"),
    [
        ([], None, None, []),
        (["dev"], None, "dev", []),
        (["nobody"], None, "nobody", []),
        (["dev", "ls", "-l"], None, "dev", ["ls", "-l"]),
        (["dev", "--", "ls"], None, "dev", ["--", "ls"]),
        ([ARN, "ls"], None, ARN, ["ls"]),
        (["dev"], 0, "dev", []),
        (["dev", "i-0123456789abcdef1"], 1, "dev", ["i-0123456789abcdef1"]),
        (["dev"], 1, "dev", []),
        (["web-server"], 1, "web-server", []),
        (["i-0123456789abcdef1"], 1, None, ["i-0123456789abcdef1"]),
        (["mi-0123456789abcdef1"], 1, None, ["mi-0123456789abcdef1"]),
        (["web:9000"], 1, None, ["web:9000"]),
        (["user@web"], 1, None, ["user@web"]),
        (["i-0123456789abcdef0"], 1, "i-0123456789abcdef0", []),  # a profile may be called anything
        ([ARN], 1, ARN, []),
    ],
)
def test_without_a_variable_the_first_word_is_the_profile_unless_it_is_plainly_a_target(
    words: list[str], most: int | None, profile: str | None, rest: list[str]
) -> None:
    assert split_profile(words, NAMES, {}, most) == (profile, rest)


@pytest.mark.parametrize("variable", ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])
@pytest.mark.parametrize(
    ("words", "most", "profile", "rest"),
    [
        ([], None, None, []),
        (["ls", "-l"], None, None, ["ls", "-l"]),
        (["dev", "ls"], None, None, ["dev", "ls"]),  # it may be a program
        (["dev", "--", "ls"], None, "dev", ["--", "ls"]),
        (["make", "--", "ls"], None, None, ["make", "--", "ls"]),
        ([ARN, "ls"], None, ARN, ["ls"]),
        (["dev"], 1, None, ["dev"]),
        (["dev", "web"], 1, "dev", ["web"]),
        (["typo", "web"], 1, "typo", ["web"]),
        (["dev"], 0, "dev", []),
    ],
)
def test_with_a_variable_the_profile_is_left_out_unless_there_is_no_doubt(
    variable: str, words: list[str], most: int | None, profile: str | None, rest: list[str]
) -> None:
    assert split_profile(words, NAMES, {variable: "prod"}, most) == (profile, rest)


def test_an_empty_variable_counts_as_none() -> None:
    assert split_profile(["dev", "ls"], NAMES, {"AWS_PROFILE": ""}, None) == ("dev", ["ls"])


@pytest.mark.parametrize("environ", [{}, {"AWS_PROFILE": "prod"}])
def test_a_word_too_many_is_an_error_that_names_it(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="'-x'") as caught:
        split_profile(["dev", "web", "-x"], NAMES, environ, 1)
    assert caught.value.hint == "flags go before the profile"


def test_names_are_looked_up_only_where_they_decide() -> None:
    def names() -> list[str]:
        raise AssertionError("not needed here")

    assert split_profile(["dev", "ls"], names, {}, None) == ("dev", ["ls"])
    assert split_profile(["ls", "-l"], names, {"AWS_PROFILE": "prod"}, None) == (None, ["ls", "-l"])


@pytest.mark.parametrize("most", [None, 0, 1])
def test_an_empty_word_is_no_profile(most: int | None) -> None:
    with pytest.raises(UsageError) as raised:
        split_profile(["", "true"][: 1 if most == 0 else 2], NAMES, {}, most)
    assert raised.value.code == "profile-empty"


def test_a_variable_of_spaces_names_no_profile() -> None:
    assert split_profile(["dev", "ls"], NAMES, {"AWS_PROFILE": " ", "AWS_DEFAULT_PROFILE": "\t"}, None) == (
        "dev",
        ["ls"],
    )
