"""Completion in real shells: what is offered where, and never a question to the network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aws_runas.cli.completion.table import POSITIONS, SHELLS, table
from aws_runas.fast.names import COMMANDS
from tests.interop import shells

CONFIG = """
[default]
region = eu-west-1
[profile my-profile]
role_arn = arn:aws:iam::123456789012:role/x
[profile  my-other]
# [profile commented]
  [profile nested]
[sso-session corp]
[profile "with space"]
[profile zebra]
"""
CREDENTIALS = "[default]\naws_access_key_id = A\n[my-keys]\naws_access_key_id = A\n"

Ask = Callable[[str], list[str]]

# line -> candidates that must be there, and whether there may be others
CASES = [
    ("aws-runas sh", ["shell"], False),
    ("aws-runas fo", ["forward"], False),
    ("aws-runas my-", ["my-profile", "my-other", "my-keys"], False),
    ("aws-runas --mfa-", ["--mfa-arn", "--mfa-serial", "--mfa-process", "--mfa-type"], False),
    ("aws-runas --help", ["--help", "--help-long", "--help-man"], False),
    ("aws-runas -O ", ["env", "json", "fish", "powershell", "dotenv"], False),
    ("aws-runas --output=js", ["--output=json"], False),
    ("aws-runas -d 1h zeb", ["zebra"], False),
    ("aws-runas -E -d 1h --otp 123456 zeb", ["zebra"], False),
    ("aws-runas -o ", [], False),
    ("aws-runas ssm ", ["shell", "forward", "fwd", "ssh"], False),
    ("aws-runas ssm sh", ["shell"], False),
    ("aws-runas shell my-p", ["my-profile"], False),
    ("aws-runas shell --pi", ["--pick"], False),
    ("aws-runas -r shell --expi", ["--expiration"], False),
    ("aws-runas shell my-profile ", [], False),
    ("aws-runas shell my-profile i", [], False),
    ("aws-runas forward -p 80 zeb", ["zebra"], False),
    ("aws-runas serve e", ["ec2", "ecs"], False),
    ("aws-runas serve ecs zeb", ["zebra"], False),
    ("aws-runas forward db", ["db-main"], False),
    ("aws-runas forward zebra db", ["db-main"], False),
    ("aws-runas list ", ["instances", "mfa", "profiles", "roles"], False),
    ("aws-runas ls roles zeb", ["zebra"], False),
    ("aws-runas token ", ["eks", "rds"], False),
    ("aws-runas token eks zeb", ["zebra"], False),
    ("aws-runas ecr login --client p", ["podman"], False),
    ("aws-runas whoami zeb", ["zebra"], False),
    ("aws-runas --profile zeb", ["zebra"], False),
    ("aws-runas shell --profile zeb", ["zebra"], False),
    ("aws-runas --profile=zeb", ["--profile=zebra"], False),
    ("aws-runas run --via ", ["auto", "document", "shell"], False),
    ("aws-runas cp --via ", ["auto", "port", "shell"], False),
    ("aws-runas fleet --via ", ["command", "sessions"], False),
    ("aws-runas tunnels --start ", ["demand", "login"], False),
    ("aws-runas tunnels up db", ["db-main"], False),
    ("aws-runas keys import --from ", ["aws-vault", "env", "file"], False),
    ("aws-runas fleet --on ", ["all"], False),
    ("aws-runas sandbox --agent-manners ", ["kind", "official"], False),
    ("aws-runas cp --progress=p", ["--progress=plain"], False),
    ("aws-runas run --rate ", ["off"], False),
    ("aws-runas shell --document AWS-StartSSH", ["AWS-StartSSHSession"], False),
    ("aws-runas sso ", ["list", "profiles"], False),
    ("aws-runas sessions zeb", [], False),
    ("aws-runas console zebra s3", ["s3"], False),
    ("aws-runas diag zeb", ["zebra"], False),
    ("aws-runas completion ", list(SHELLS), False),
    ("aws-runas exec zeb", ["zebra"], False),
    ("aws-runas -- zeb", ["zebra"], False),
    ("aws-runas zebra aws-runa", ["aws-runas"], False),
    ("aws-runas -E zebra aws-runa", ["aws-runas"], False),
    ("aws-runas zebra cat readm", ["readme.txt"], False),
]
WITHOUT_PROFILE = [
    ("aws-runas aws-runa", ["aws-runas"], False),
    ("aws-runas shell zeb", [], False),
    ("aws-runas forward db", ["db-main"], False),
    ("aws-runas list roles zeb", ["zebra"], False),
    ("aws-runas cat readm", ["readme.txt"], False),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "config").write_text(CONFIG)
    (folder / "credentials").write_text(CREDENTIALS)
    (folder / "readme.txt").write_text("x")
    (folder / "tunnels.toml").write_text('[db-main]\nprofile = "zebra"\ntarget = "web"\nforwards = ["5432:db:5432"]\n')
    for shell in SHELLS:
        made = subprocess.run(
            [sys.executable, "-m", "aws_runas", "completion", shell], capture_output=True, text=True, check=True
        )
        (folder / f"script.{shell}").write_text(made.stdout)
    return folder


def _asking(name: str, home: Path, **more: str) -> Iterator[Ask]:
    environ = shells.environment(home, RUNAS_TUNNELS_FILE=str(home / "tunnels.toml"), **more)
    script = str(home / f"script.{name}")
    if name == "fish":
        yield lambda line: shells.fish(f"{script}", {**environ, "PWD": str(home)}, line)
        return
    with (shells.bash if name == "bash" else shells.zsh)(script, environ) as shell:
        yield shell.completions


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def ask(request: pytest.FixtureRequest, home: Path) -> Iterator[Ask]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        yield from _asking(request.param, home)


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def ask_with_profile(request: pytest.FixtureRequest, home: Path) -> Iterator[Ask]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        yield from _asking(request.param, home, AWS_PROFILE="my-profile")


@pytest.mark.parametrize(("line", "wanted", "others"), CASES)
def test_the_shell_offers_what_can_stand_there(ask: Ask, line: str, wanted: list[str], others: bool) -> None:
    _check(ask(line), line, wanted, others)


@pytest.mark.parametrize(("line", "wanted", "others"), WITHOUT_PROFILE)
def test_with_a_profile_in_the_environment_none_is_offered(
    ask_with_profile: Ask, line: str, wanted: list[str], others: bool
) -> None:
    _check(ask_with_profile(line), line, wanted, others)


def _check(found: list[str], line: str, wanted: list[str], others: bool) -> None:
    typed = line.split(" ")[-1]
    offered = sorted(found) if found != [typed] or found == wanted else []
    assert offered == sorted(wanted) or (others and set(wanted) <= set(offered)), offered


def test_the_first_word_is_a_command_or_a_profile(ask: Ask) -> None:
    offered = ask("aws-runas ")
    assert {*COMMANDS.values(), "ssm", "default", "my-profile", "my-keys", "zebra"} <= set(offered)
    assert not {"nested", "commented", "corp", "sso-session"} & set(offered)


def test_a_profile_with_a_space_is_quoted(home: Path) -> None:
    with shells.bash(str(home / "script.bash"), shells.environment(home)) as shell:
        assert shell.completions("aws-runas whoami with") == ["with\\", "space"]


def test_every_command_has_its_positions() -> None:
    assert {command.names[0] for command in table().commands} <= set(POSITIONS)
    assert set(COMMANDS.values()) == set(POSITIONS)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_script_holds_no_path_of_this_machine(home: Path, shell: str) -> None:
    text = (home / f"script.{shell}").read_text()
    assert "/home/" not in text
    assert str(Path(sys.executable).parent) not in text
    assert all(f"--{flag}" in text or f"-l {flag}" in text for flag in ("duration", "expiration", "pick"))


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]])
def test_an_unknown_shell_is_a_usage_error(words: list[str]) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "aws_runas", "completion", *words], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    fix = "use: aws-runas completion bash" if words == ["bash", "zsh"] else "bash, zsh, fish, powershell"
    assert fix in found.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("aws-runas big\\ b", "aws-runas big\\ box "),
        ("aws-runas bi", "aws-runas big\\ box "),
        ('aws-runas "big b', 'aws-runas "big box" '),
        ("aws-runas 'big b", "aws-runas 'big box' "),
        ("aws-runas shell big\\ b", "aws-runas shell big\\ box "),
    ],
)
def test_a_name_with_a_blank_is_completed_and_nothing_typed_is_lost(
    tmp_path: Path, home: Path, shell: str, line: str, completed: str
) -> None:
    (tmp_path / "config").write_text('[profile "big box"]\n')
    script = str(home / f"script.{shell}")
    with (shells.bash if shell == "bash" else shells.zsh)(script, shells.environment(tmp_path)) as running:
        assert running.complete(line).rstrip() == completed.rstrip()


def test_aliases_are_not_offered_beside_their_commands(home: Path) -> None:
    with shells.bash(str(home / "script.bash"), shells.environment(home)) as running:
        offered = set(running.completions("aws-runas "))
    assert {"forward", "list", "diagnose"} <= offered
    assert not offered & {"fwd", "ls", "diag", "srv", "pw", "pwd", "passwd"}


def test_only_flags_of_the_command_are_offered(home: Path) -> None:
    with shells.bash(str(home / "script.bash"), shells.environment(home)) as running:
        offered = set(running.completions("aws-runas whoami --"))
    assert {"--profile", "--region", "--output", "--quiet"} <= offered
    assert not offered & {"--ec2", "--unset", "--port", "--list-roles"}
