"""The function that `init` prints, in real shells on a PTY, in front of the real program in a sandbox."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from aws_runas.sandbox.world import Sandbox
from tests.interop.shells import PROMPT
from tests.support import requires

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
STATUS = {"bash": "$?", "zsh": "$?", "fish": "$status"}
NAMES = ("AWSRUNAS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_PROFILE")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[=>()][0-9A-Za-z]?)|\x1b.")


class Interactive:
    """A shell on a terminal, with the function loaded."""

    def __init__(self, name: str, environ: dict[str, str], cwd: Path) -> None:
        self.name = name
        words = SHELLS[name]
        self.child: Any = pexpect.spawn(
            requires.program(words[0]), words[1:], env=environ, encoding="utf-8", timeout=30,
            dimensions=(50, 400), echo=False, cwd=str(cwd),
        )  # fmt: skip
        self.child.delaybeforesend = None
        self._count = 0

    def type(self, line: str) -> None:
        """Type a line that marks where its output begins and ends, and do not wait for the end."""
        self._count += 1
        # the shell puts the marks together, so that the line as it is echoed does not look like them
        begin, end = f"printf '<%s>' BEG''IN{self._count}", f"printf '<%s:%s>' E''ND{self._count} {STATUS[self.name]}"
        self.child.send(f"{begin}; {line}; {end}\r")
        self.child.expect_exact(f"<BEGIN{self._count}>")

    def wait(self) -> tuple[str, int]:
        """Return what the line printed, and its exit status."""
        self.child.expect(rf"<END{self._count}:(\d+)>")
        return _ESCAPES.sub("", str(self.child.before)).replace("\r\n", "\n"), int(self.child.match[1])

    def run(self, line: str) -> tuple[str, int]:
        """Type a line and wait for its end."""
        self.type(line)
        return self.wait()

    def load(self, text: Path) -> None:
        """Load the function from a file."""
        assert self.run(f"source {text}")[1] == 0

    def variables(self) -> dict[str, str]:
        """What a program that this shell starts finds in its environment."""
        printed, _ = self.run("env | sed -n 's/^AWS/<<AWS/p'")
        found = dict(re.findall(r"<<(AWS\w*)=([^\r\n]*)", printed))
        return {name: found[name] for name in NAMES if name in found}


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the function for each shell."""
    folder = tmp_path_factory.mktemp("functions")
    for shell in SHELLS:
        made = subprocess.run(
            [sys.executable, "-m", "aws_runas", "init", shell], capture_output=True, text=True, check=True
        )
        (folder / shell).write_text(made.stdout)
    return folder


@pytest.fixture(scope="module", params=list(SHELLS))
def shell(
    request: pytest.FixtureRequest, sandbox: Sandbox, functions: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Interactive]:
    home = tmp_path_factory.mktemp("home")
    environ = sandbox.environ | {
        "PATH": f"{Path(sys.executable).parent}:{sandbox.environ['PATH']}",
        "RUNAS_CACHE_DIR": str(home / "cache"),
        "PS1": PROMPT,
        "TERM": "dumb" if request.param == "bash" else "xterm",
        "LC_ALL": "C.UTF-8",
    }
    running = Interactive(request.param, environ, home)
    try:
        if request.param == "zsh":
            running.run("unsetopt prompt_cr prompt_sp")
        if request.param == "fish":
            running.run(f"function fish_prompt; printf '{PROMPT}'; end")
        running.load(functions / request.param)
        yield running
    finally:
        running.child.close(force=True)


@pytest.fixture
def clean(shell: Interactive) -> Interactive:
    """The shell without credentials of an earlier test."""
    assert shell.run("runas -")[1] == 0
    assert not {"AWSRUNAS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"} & set(shell.variables())
    return shell


def test_credentials_are_set_changed_and_removed(clean: Interactive) -> None:
    assert clean.run("runas my-profile") == ("", 0)
    first = clean.variables()
    assert first["AWSRUNAS_PROFILE"] == "my-profile"
    assert first["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert clean.run("runas my-profile-reader")[1] == 0
    second = clean.variables()
    assert second["AWSRUNAS_PROFILE"] == "my-profile-reader"
    assert second["AWS_SESSION_TOKEN"] != first["AWS_SESSION_TOKEN"]
    assert clean.run("runas --unset")[1] == 0
    assert clean.variables() == {"AWS_REGION": first["AWS_REGION"]}  # the region may be the user's own


def test_a_profile_in_the_environment_makes_room_for_the_one_that_is_named(clean: Interactive) -> None:
    clean.run("set -gx AWS_PROFILE my-profile-user" if clean.name == "fish" else "export AWS_PROFILE=my-profile-user")
    assert clean.run("runas my-profile") == ("", 0)
    found = clean.variables()
    assert found["AWSRUNAS_PROFILE"] == "my-profile"
    assert "AWS_PROFILE" not in found


def test_a_refused_code_leaves_the_variables_and_a_right_one_changes_them(clean: Interactive, sandbox: Sandbox) -> None:
    assert clean.run("runas my-profile")[1] == 0
    before = clean.variables()
    clean.type("runas -r my-profile-mfa")
    for _ in range(3):
        clean.child.expect("MFA code")
        clean.child.send("000000\r")
    printed, status = clean.wait()
    assert status == 4
    assert "aws-runas: " in printed
    assert clean.variables() == before

    clean.type("runas -r my-profile-mfa")
    clean.child.expect("MFA code")  # on the terminal, though standard output is captured
    clean.child.send(f"{sandbox.mfa_code()}\r")
    assert clean.wait()[1] == 0
    assert clean.variables()["AWSRUNAS_PROFILE"] == "my-profile-mfa"


def test_ctrl_c_at_the_question_leaves_the_variables(clean: Interactive) -> None:
    clean.child.send("runas -r my-profile-mfa\r")
    clean.child.expect("MFA code")
    clean.child.send("\x03")
    clean.child.expect_exact(PROMPT)
    assert clean.run("true")[1] == 0
    assert "AWSRUNAS_PROFILE" not in clean.variables()


def test_a_program_runs_in_the_foreground_and_keeps_its_status(clean: Interactive) -> None:
    printed, status = clean.run("runas my-profile sh -c 'echo $AWSRUNAS_PROFILE; test -t 1; echo $?; exit 7'")
    assert (printed, status) == ("my-profile\n0\n", 7)
    assert "AWSRUNAS_PROFILE" not in clean.variables()
    printed, status = clean.run("runas my-profile env")
    assert status == 0
    assert "AWSRUNAS_FUNCTION" not in printed


@pytest.mark.parametrize(
    ("line", "status", "text"),
    [
        ("runas nobody", 3, "'nobody' is neither a command nor a profile"),
        ("runas --nonsense my-profile", 2, "unknown flag --nonsense"),
        ("runas my-profile no-such-program", 127, "no-such-program"),
        ("runas whoami my-profile", 0, "assumed-role/my-role"),
        ("runas -V", 0, "aws-runas "),
        ("runas -O json my-profile", 0, '"SecretAccessKey"'),
        ("runas -e -q my-profile", 0, ""),
    ],
)
def test_other_lines_do_what_they_do_without_the_function(
    clean: Interactive, line: str, status: int, text: str
) -> None:
    printed, found = clean.run(line)
    assert (found, text in printed) == (status, True), printed
    assert ("AWSRUNAS_PROFILE" in clean.variables()) == line.startswith("runas -e")


def test_a_function_of_another_version_says_so_and_how_to_load_it_again(
    clean: Interactive, functions: Path, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.write_text((functions / clean.name).read_text().replace("=1:", "=0:"))
    clean.load(old)
    printed, status = clean.run("runas my-profile")
    clean.load(functions / clean.name)
    assert status == 0
    assert "has version 0, this program has version 1; load it again: " in printed
    assert f"aws-runas init {clean.name}" in printed
    assert clean.variables()["AWSRUNAS_PROFILE"] == "my-profile"


HOSTILE = {
    "bash": ["set -u", "set -o pipefail", "set -o posix", "set -o noclobber", "IFS=a", "shopt -s failglob",
             "alias runas='echo aliased'", "alias aws-runas='echo aliased'", "alias grep=false", "set -e"],
    "zsh": ["setopt nounset pipefail shwordsplit noclobber ksharrays nullglob", "IFS=a",
            "alias runas='echo aliased'", "alias aws-runas='echo aliased'", "setopt posixbuiltins"],
    "fish": ["alias aws-runas='echo aliased'", "alias runas='echo aliased'", "set -g IFS a"],
}  # fmt: skip


@pytest.mark.parametrize("name", list(SHELLS))
def test_settings_and_aliases_of_the_user_change_nothing(
    sandbox: Sandbox, functions: Path, tmp_path: Path, name: str
) -> None:
    environ = sandbox.environ | {
        "PATH": f"{Path(sys.executable).parent}:{sandbox.environ['PATH']}",
        "RUNAS_CACHE_DIR": str(tmp_path / "cache"),
        "PS1": PROMPT,
        "TERM": "dumb" if name == "bash" else "xterm",
        "LC_ALL": "C.UTF-8",
    }
    running = Interactive(name, environ, tmp_path)
    try:
        for line in HOSTILE[name]:
            assert running.run(line)[1] == 0, line
        running.load(functions / name)
        assert running.run("runas my-profile") == ("", 0)
        found = running.variables()
        assert (found["AWSRUNAS_PROFILE"], found["AWS_ACCESS_KEY_ID"][:4]) == ("my-profile", "ASIA")
        assert running.run("runas my-profile true")[1] == 0
        assert running.run("runas nobody || true" if name != "fish" else "runas nobody; or true")[1] == 0
        assert running.variables() == found
        assert running.run("runas -") == ("", 0)
        assert "AWSRUNAS_PROFILE" not in running.variables()
    finally:
        running.child.close(force=True)


def test_a_profile_is_picked_from_a_list(clean: Interactive) -> None:
    clean.type("TERM=xterm runas --pick")
    clean.child.expect("type to narrow")
    clean.child.send("external\r")
    assert clean.wait()[1] == 0
    assert clean.variables()["AWSRUNAS_PROFILE"] == "my-profile-external"


def test_profiles_are_completed_behind_the_function(clean: Interactive, functions: Path) -> None:
    if clean.name == "fish":
        printed, _ = clean.run("complete -C 'runas my-profile-ext'; complete -C 'runas shell --pi'")
        assert [line.split("\t")[0] for line in printed.splitlines()] == ["my-profile-external", "--pick"]
        return
    if clean.name == "zsh":
        clean.run("autoload -Uz compinit; compinit -u -D")
        clean.load(functions / "zsh")
    clean.child.send("runas my-profile-ext\t\r")
    clean.child.expect_exact(PROMPT)
    assert clean.variables()["AWSRUNAS_PROFILE"] == "my-profile-external"
