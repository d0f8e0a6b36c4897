"""The tunnels file: where it lies, what it may hold, and what is said of one that is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws_runas.config.tunnels import Tunnel, find_tunnel, read_tunnels, tunnels_path
from aws_runas.errors import ConfigError


def test_file_lies_beside_the_config_file(tmp_path: Path) -> None:
    assert tunnels_path({}, tmp_path) == tmp_path / ".aws/aws-runas/tunnels.toml"
    assert tunnels_path({"AWS_CONFIG_FILE": "/etc/aws/config"}, tmp_path) == Path("/etc/aws/aws-runas/tunnels.toml")
    assert tunnels_path({"RUNAS_TUNNELS_FILE": "/x/y.toml"}, tmp_path) == Path("/x/y.toml")


def test_no_file_is_no_tunnel(tmp_path: Path) -> None:
    assert read_tunnels(tmp_path / "missing") == {}


def test_everything_that_an_entry_may_hold(tmp_path: Path) -> None:
    file = tmp_path / "tunnels.toml"
    file.write_text(
        '\ufeff[db]\nprofile = "p"\ntarget = "i-1"\nforwards = ["1:h:2", "3:h:4"]\nbind = "::1"\nsessions = 4\n'
        'reason = "why"\ndescription = "what"\n[web]\ntarget = "t"\nforwards = "1:h:2"\nsessions = "auto"\n'
    )
    assert read_tunnels(file) == {
        "db": Tunnel("db", "i-1", ("1:h:2", "3:h:4"), "p", "::1", "4", "why", "what"),
        "web": Tunnel("web", "t", ("1:h:2",), sessions="auto"),
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('db = "x"', "not a table"),
        ("[db]\nforwards = ['1:h:2']", "no target"),
        ("[db]\ntarget = 't'", "needs forwards"),
        ("[db]\ntarget = 't'\nforwards = []", "needs forwards"),
        ("[db]\ntarget = 't'\nforwards = [1]", "needs forwards"),
        ("[db]\ntarget = 't'\nforward = ['1:h:2']", "unknown key 'forward'"),
        ("[db]\ntarget = 't'\nforwards = ['1:h:2']\nsessions = true", "sessions"),
        ("[db]\ntarget = 't'\nforwards = ['1:h:2']\nprofile = 3", "profile that is not a string"),
        ("[db\n", "not TOML"),
        ("\n\udcff", "is not TOML: line 2 is not UTF-8 text"),
    ],
)
def test_damage_is_named_with_the_file(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "tunnels.toml"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        read_tunnels(file)
    assert words in caught.value.message
    assert str(file) in caught.value.message


def test_directory_in_the_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_tunnels(tmp_path)
    assert str(tmp_path) in caught.value.message


def test_nearest_names_are_suggested() -> None:
    tunnels = {"database": Tunnel("database", "t", ("1:h:2",))}
    with pytest.raises(ConfigError) as caught:
        find_tunnel("databse", tunnels, Path("f"))
    assert caught.value.hint == "did you mean database?"
