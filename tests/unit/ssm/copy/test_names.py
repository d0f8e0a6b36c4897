"""Nothing that the far side says about names is trusted; locations parse as the specification says."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.ssm.copy.names import Filters, Location, link_refusal, parse_location, printable, refusal


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/.", "a\tb", "a\0b", "a\x1b[2Jb", "x" * 256, None, 3],
)
def test_a_bad_name_is_refused(name: object) -> None:
    assert refusal(name)


@pytest.mark.parametrize(
    "name", ["a", "a b/c", "-x", "it's", "ünï", "\udcff", "...", "..a", "a\nb", "x" * 255, "a/b/c"]
)
def test_a_good_name_is_not(name: str) -> None:
    assert refusal(name) == ""


@given(st.text(alphabet="./ab-", max_size=12))
def test_no_name_that_passes_leads_out_of_the_destination(name: str) -> None:
    if not refusal(name):
        path = posixpath.normpath(posixpath.join("/dest", name))
        assert path.startswith("/dest/")


@given(st.sampled_from(["a", "d/a", "d/e/a"]), st.text(alphabet="./ab", max_size=12))
def test_no_link_that_passes_leads_out_of_the_destination(name: str, target: str) -> None:
    if not link_refusal(name, target):
        path = posixpath.normpath(posixpath.join("/dest", posixpath.dirname(name), target))
        assert path == "/dest" or path.startswith("/dest/")


@given(st.text(max_size=30))
def test_a_name_on_the_terminal_has_no_control_characters(name: str) -> None:
    assert printable(name).isprintable()


@pytest.mark.parametrize(
    ("text", "location"),
    [
        ("web:/srv/x", Location("/srv/x", "web")),
        ("web:file", Location("file", "web")),
        ("web:", Location("", "web")),
        ("web:~/x", Location("~/x", "web")),
        ("web:./a:b", Location("./a:b", "web")),
        ("Env:prod:/srv", Location("/srv", "Env:prod")),
        ("Env:prod:file", Location("file", "Env:prod")),
        ("ecs:prod/web/app:/tmp", Location("/tmp", "ecs:prod/web/app")),
        ("[2001:db8::7]:/x", Location("/x", "2001:db8::7")),
        ("root@i-0abc1234:/x", Location("/x", "i-0abc1234", "root")),
        ("ec2-user@web:x", Location("x", "web", "ec2-user")),
        ("./a:b", Location("./a:b")),
        ("/tmp/a:b", Location("/tmp/a:b")),
        ("file", Location("file")),
        ("-", Location("-")),
    ],
)
def test_a_location_parses(text: str, location: Location) -> None:
    assert parse_location(text) == location


def test_a_location_without_a_target_leaves_it_to_be_picked() -> None:
    assert parse_location(":/srv") == Location("/srv", "")
    assert parse_location("deploy@:x") == Location("x", "", "deploy")


def test_filters() -> None:
    filters = Filters(["*.o", "build/*"], ["keep.o"])
    assert [filters.allows(name) for name in ("a.c", "d/a.o", "d/keep.o", "build/x", "x/build/x")] == [
        True,
        False,
        True,
        False,
        True,
    ]
