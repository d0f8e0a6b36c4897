"""Command lines of the first hour: what is refused, in which words, and that no traceback is ever shown."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from aws_runas.cli import app
from aws_runas.cli.commands import exec as exec_command
from aws_runas.cli.environment import Environment
from aws_runas.cli.parsing import parser
from aws_runas.config import files as config_files

CONFIG = """
[default]
region = eu-west-1
[profile prod]
[profile staging]
[profile shell]
"""


KEYS = {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}


class Terminal(io.BytesIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text(CONFIG)
    return tmp_path


def run(
    home: Path, *words: str, environ: Mapping[str, str] = {}, stdout: io.BytesIO | None = None
) -> tuple[int, str, str]:
    out, err = stdout or io.BytesIO(), io.StringIO()
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "SHELL": "", **environ}
    status = app.main(words, Environment(io.BytesIO(), out, err, variables, home))
    return status, out.getvalue().decode(), err.getvalue()


@pytest.mark.parametrize(
    ("words", "environ", "status", "message"),
    [
        (
            ["staging", "true"], {"AWS_PROFILE": "prod"}, 127,
            "aws-runas: program 'staging' was not found; AWS_PROFILE=prod already names the profile\n"
            "aws-runas: to use profile staging: aws-runas --profile staging true, or unset AWS_PROFILE\n",
        ),
        (
            ["staging", "true"], {"AWS_DEFAULT_PROFILE": "prod", "SHELL": "/bin/bash"}, 127,
            "aws-runas: program 'staging' was not found; AWS_DEFAULT_PROFILE=prod already names the profile\n"
            "aws-runas: to use profile staging: aws-runas --profile staging true, or unset AWS_DEFAULT_PROFILE\n",
        ),
        (
            ["shel", "prod", "i-deadbeef"], {}, 3,
            "aws-runas: 'shel' is neither a command nor a profile in ~/.aws/config\n"
            "aws-runas: did you mean the command shell or the profile shell?\n",
        ),
        (
            ["stagin", "true"], {}, 3,
            "aws-runas: 'stagin' is neither a command nor a profile in ~/.aws/config\n"
            "aws-runas: did you mean the profile staging?\n",
        ),
        (
            ["env"], {}, 3,
            "aws-runas: 'env' is neither a command nor a profile in ~/.aws/config\n"
            "aws-runas: to run the program env with the default profile: aws-runas default env\n",
        ),
        (
            ["ls", "/tmp"], {"AWS_PROFILE": "prod"}, 2,
            "aws-runas: '/tmp' cannot be listed; use: aws-runas list roles|mfa|profiles|instances [profile]; "
            "to run the program ls: aws-runas -- ls ...\n",
        ),
        (["--region", "bad x", "prod"], {}, 2,
            "aws-runas: --region: 'bad x' is not the name of a region, such as eu-west-1\n"),
        (
            ["prod"], {"RUNAS_ENV_CREDENTIALS": "maybe"}, 3,
            "aws-runas: RUNAS_ENV_CREDENTIALS=maybe is neither on nor off\n"
            "aws-runas: use 1, true, yes or on; or 0, false, no or off\n",
        ),
        (["sandbox", "--loss", "2"], {}, 2, "aws-runas: --loss '2': must be a probability from 0 to 1\n"),
        (
            ["-D", "prod", "i-deadbeef"], {}, 2,
            "aws-runas: -D answers a question and takes only a profile, but 'i-deadbeef' was given; "
            "use: aws-runas diagnose [profile] [target]\n",
        ),
        (
            ["-l", "prod", "ls"], {}, 2,
            "aws-runas: -l answers a question and takes only a profile, but 'ls' was given; "
            "use: aws-runas list roles [profile]\n",
        ),
        (
            ["shell", "-l", "i-deadbeef"], {"AWS_PROFILE": "prod"}, 2,
            "aws-runas: -l answers a question and takes only a profile, but 'i-deadbeef' was given; "
            "use: aws-runas list roles [profile]\n",
        ),
        (
            ["--profile", "prod", "--ec2", "true"], {}, 2,
            "aws-runas: --ec2 starts a server and takes only a profile, but 'true' was given; "
            "use: aws-runas serve ec2 [profile]\n",
        ),
        (
            ["shell", "prod", "i-deadbeef", "extra", "words"], {}, 2,
            "aws-runas: shell runs no program, but 'extra' follows the target; "
            "use: aws-runas run prod i-deadbeef extra words\n",
        ),
        (
            ["shell", "prod", "i-deadbeef", "ls", "-l"], {}, 2,
            "aws-runas: shell runs no program, but 'ls' follows the target; "
            "use: aws-runas run prod i-deadbeef ls -l\n",
        ),
        (
            ["shell", "i-deadbeef", "ls"], {"AWS_PROFILE": "prod"}, 2,
            "aws-runas: shell runs no program, but 'ls' follows the target; use: aws-runas run i-deadbeef ls\n",
        ),
        (
            ["ssh", "prod", "root@i-deadbeef:22", "ls", "-l"], {}, 2,
            "aws-runas: ssh runs no program, but 'ls' follows the target; use: aws-runas run prod i-deadbeef ls -l\n",
        ),
        (
            ["forward", "prod", "i-deadbeef:22", "ls"], {}, 2,
            "aws-runas: forward takes one target, but 'ls' follows it; each -L port:host:hostport adds a forward\n",
        ),
        (
            ["serve", "ec3", "prod"], {}, 2,
            "aws-runas: 'ec3' is not a kind of server; use: aws-runas serve ecs prod, or aws-runas serve ec2 prod\n",
        ),
        (
            ["serve", "big box"], {}, 2,
            "aws-runas: 'big box' is not a kind of server; "
            "use: aws-runas serve ecs 'big box', or aws-runas serve ec2 'big box'\n",
        ),
        (
            ["serve", "--ec2", "ecs", "prod"], {}, 2,
            "aws-runas: --ec2 does not work with serve; it works with exec, shell and forward; "
            "use: aws-runas serve ec2 [profile]\n",
        ),
        (
            ["serve", "prod"], {}, 2,
            "aws-runas: 'prod' is not a kind of server; use: aws-runas serve ecs prod, or aws-runas serve ec2 prod\n",
        ),
        (["nosuch"], {"AWS_CONFIG_FILE": "/nonexist"}, 3,
            "aws-runas: there is no profile 'nosuch', and no config file /nonexist (AWS_CONFIG_FILE)\n"
            "aws-runas: name an existing file in AWS_CONFIG_FILE, or unset it\n"),
        (["--list-profiles"], {}, 2, "aws-runas: unknown flag --list-profiles; use: aws-runas list profiles\n"),
        (["--regoin", "x"], {}, 2, "aws-runas: unknown flag --regoin; did you mean --region?\n"),
        (["--role-session-name", "bad name!", "prod"], {}, 2,
            "aws-runas: role session name 'bad name!' may hold letters, digits and _+=,.@-\n"),
        (["version", "extra"], {}, 2, "aws-runas: unexpected argument 'extra'; leave it out\n"),
        (["default", "nosuchprogram"], {}, 127, "aws-runas: program 'nosuchprogram' was not found in PATH\n"),
        (["default", "./nosuchprogram"], {}, 127, "aws-runas: program './nosuchprogram' was not found\n"),
        (["completion", "bash", "zsh"], {}, 2, "aws-runas: one shell only; use: aws-runas completion bash\n"),
        (["help", "shel"], {}, 2, "aws-runas: there is no command 'shel'; did you mean shell?\n"),
        (["--unset", "prod", "true"], {}, 2,
            "aws-runas: --unset runs no program, but 'true' was given; use: eval \"$(aws-runas --unset)\"\n"),
        (["--profile", "", "true"], {}, 2, "aws-runas: --profile is empty; leave the flag out for default\n"),
        (
            ["whoami", "-O", "fish", "prod"], {}, 2,
            "aws-runas: -O fish is a format for credentials; this command prints text, or JSON with -O json\n",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_fix(
    home: Path, words: list[str], environ: dict[str, str], status: int, message: str
) -> None:
    assert run(home, *words, environ=environ) == (status, "", message)


@pytest.mark.parametrize(
    ("words", "environ", "profile", "program"),
    [
        (["--profile", "prod", "staging", "-x"], {}, "prod", ("staging", "-x")),
        (["--profile=prod"], {"AWS_PROFILE": "staging"}, "prod", ()),
        (["exec", "--profile", "shell", "shell"], {}, "shell", ("shell",)),
        (["exec", "shell", "true"], {}, "shell", ("true",)),
        (["--", "shell", "true"], {}, "shell", ("true",)),
        (["exec", "ls", "-l"], {"AWS_PROFILE": "prod"}, None, ("ls", "-l")),
        (["-O", "json", "prod"], {"AWS_PROFILE": "staging"}, "prod", ()),
    ],
)
def test_the_profile_flag_leaves_every_argument_to_the_command(
    home: Path, words: list[str], environ: dict[str, str], profile: str | None, program: tuple[str, ...]
) -> None:
    options = app.understand(words, Environment(environ=environ, home=home))
    assert isinstance(options, exec_command.Options)
    assert (options.profile, options.program) == (profile, program)


def test_a_section_without_the_word_profile_is_found_and_explained(home: Path) -> None:
    with (home / ".aws" / "config").open("a") as config:
        config.write("[bare]\n")
    status, printed, errors = run(home, "bare", "true")
    assert (status, printed) == (3, "")
    assert errors == (
        "aws-runas: profile bare does not exist\n"
        f"aws-runas: {home}/.aws/config, line 7 has [bare]; in this file it must be [profile bare]\n"
    )


@pytest.mark.parametrize(
    ("heading", "name", "correct"),
    [
        ("profile a b", "a b", "profile 'a b'"),
        ("Profile x", "x", "profile x"),
        ('profile "q', "q", "profile q"),
    ],
)
def test_a_heading_that_is_ignored_is_named_with_its_line(home: Path, heading: str, name: str, correct: str) -> None:
    config = home / ".aws" / "config"
    role = f"role_arn = arn:aws:iam::123456789012:role/r\nsource_profile = {name}\n"
    config.write_text(f"[profile prod]\n[{heading}]\nregion = eu-west-1\n[plugins]\n[profile r]\n{role}")
    mistake = f"{config}, line 2: [{heading}] is ignored; write [{correct}]\n"
    not_there = f"aws-runas: profile {name} does not exist\naws-runas: {mistake}"
    assert run(home, "list", "profiles") == (0, "prod\nr\n", f"aws-runas: warning: {mistake}")
    assert run(home, name, "true") == (3, "", not_there)
    assert run(home, "whoami", name) == (3, "", not_there)
    assert run(home, "whoami", "nothing-like-it")[2].endswith(mistake)
    assert run(home, "whoami", "r")[2].endswith(f"aws-runas: {mistake}")
    assert mistake.rstrip() in run(home, "-v", "-e", "prod")[2]


def test_the_version_of_a_program_named_like_a_command_comes_with_a_note(home: Path) -> None:
    note = "aws-runas: note: to run the program ls: aws-runas -- ls ...\n"
    assert run(home, "ls", "-V", environ={"AWS_PROFILE": "prod"})[2] == note
    assert run(home, "ls", "-V")[2] == ""
    assert run(home, "-V", environ={"AWS_PROFILE": "prod"})[2] == ""


def test_profiles_are_listed_sorted(home: Path) -> None:
    assert run(home, "list", "profiles") == (0, "default\nprod\nshell\nstaging\n", "")
    assert '"profiles": [' in run(home, "list", "profiles", "-O", "json")[1]


def test_where_there_is_no_profile_the_list_names_the_files_and_the_sandbox(tmp_path: Path) -> None:
    status, out, err = run(tmp_path, "list", "profiles")
    assert (status, out) == (0, "")
    assert f"{tmp_path}/.aws/config and {tmp_path}/.aws/credentials have no profiles" in err
    assert "aws-runas sandbox" in err
    assert run(tmp_path, "list", "profiles", "-O", "json")[2] == ""


def test_version_and_help_are_commands_too(home: Path) -> None:
    assert run(home, "version") == run(home, "--version")
    assert run(home, "help", "ls") == run(home, "list", "--help")
    assert run(home, "help") == run(home, "--help")


def test_printed_credentials_unset_the_profile_in_every_shell(home: Path) -> None:
    for output, line in (
        ("env", "unset {}\n"),
        ("fish", "set -e {}\n"),
        ("powershell", "Remove-Item -ErrorAction SilentlyContinue Env:{}\n"),
    ):
        text = run(home, "-O", output, environ=KEYS)[1]
        assert text.startswith(line.format("AWS_PROFILE") + line.format("AWS_DEFAULT_PROFILE"))
    unset = run(home, "--unset")[1]
    assert "unset AWSRUNAS_PROFILE\n" in unset
    assert "REGION" not in unset


def test_expiration_alone_prints_no_secrets(home: Path) -> None:
    assert run(home, "-e", environ=KEYS) == (0, "", "credentials do not expire\n")


def test_secrets_on_a_terminal_come_with_a_note_that_quiet_turns_off(home: Path) -> None:
    printed = run(home, stdout=Terminal(), environ=KEYS)[2]
    assert printed.startswith(
        "aws-runas: note: the output contains secrets\naws-runas: note: this shell is unchanged; "
    )
    assert run(home, "-q", stdout=Terminal(), environ=KEYS)[2] == ""
    assert run(home, environ=KEYS)[2] == ""


@pytest.mark.parametrize("number", sorted(app.SHORTAGES))
def test_a_limit_of_the_system_is_no_internal_error(home: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(parser, "parse", fail)
    status, stdout, stderr = run(home, "version")
    reason = os.strerror(number).lower()
    assert (status, stdout) == (1, "")
    assert stderr == f"aws-runas: the system refuses: {reason}\naws-runas: {app.SHORTAGES[number]}\n"


def test_an_internal_error_is_one_line_and_v_shows_more(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> object:
        raise KeyError("some-secret")

    monkeypatch.setattr(parser, "load", fail)
    status, stdout, stderr = run(home, "prod")
    assert (status, stdout) == (1, "")
    assert stderr.startswith("aws-runas: internal error: KeyError in fail, line ")
    assert stderr.endswith("please report it with that output\n")
    assert "Traceback" not in stderr
    assert "some-secret" not in stderr


def test_an_error_before_the_command_line_is_read_is_one_line_too() -> None:
    script = (
        "import sys; from aws_runas.fast import start; start.start = lambda *_: 1 / 0\n"
        "from aws_runas.__main__ import main; sys.exit(main(['prof']))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == "aws-runas: internal error: ZeroDivisionError; run it again with -v to see more\n"


def test_garbage_is_collected_while_a_command_runs_and_after_a_usage_error() -> None:
    script = (
        "import gc; from aws_runas.__main__ import main; from aws_runas.cli.commands import version\n"
        "version.run = lambda *_: exit(print(gc.isenabled()))\n"
        "main(['version', 'unexpected']); print(gc.isenabled()); main(['version'])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout) == (0, "True\nTrue\n")


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("shutdown.leave_quickly()", "written\n"),
        ("pass", "written\ntorn down\n"),
        ("shutdown.leave_quickly(); threading.Thread(target=go_on.wait).start()", "written\nworked\ntorn down\n"),
    ],
    ids=["after a session", "otherwise", "while a thread works"],
)
def test_a_session_ends_without_the_teardown_of_the_interpreter(before: str, expected: str) -> None:
    script = f"""
import atexit, sys, threading
from aws_runas.__main__ import main
from aws_runas.cli.commands import version
from aws_runas.cli.output import Result
from aws_runas.ssm import shutdown
go_on = threading.Event()
atexit.register(print, "torn down")
def run(options, env):
    {before}
    return Result(3, stdout="written\\n")
version.run = run
status = main(["version"])
if threading.active_count() > 1:
    print("worked")
go_on.set()
sys.exit(status)
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, expected, "")


@pytest.mark.parametrize("module", ["aws_runas.fast.start", "argparse", "aws_runas.cli.app"])
def test_ctrl_c_while_modules_are_loaded_prints_nothing(module: str) -> None:
    script = f"""
import os, signal, sys
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from aws_runas.__main__ import main
main(["whoami", "--no-such-flag"])
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (-2, "", "")


@pytest.mark.parametrize(
    ("prefix", "hint"),
    [
        ("/home/me/.local/share/pipx/venvs/aws-runas-py", "pipx install --force 'aws-runas-py[sandbox]'"),
        ("/home/me/.local/share/uv/tools/aws-runas-py", "uv tool install 'aws-runas-py[sandbox]'"),
        ("/home/me/venv", "/p/python -m pip install 'aws-runas-py[sandbox]'"),
    ],
)
def test_the_install_hint_fits_the_way_of_installing_and_names_our_package(prefix: str, hint: str) -> None:
    from aws_runas.cli.commands.sandbox import install_hint

    assert install_hint(prefix, "/p/python") == hint
    debian = install_hint("/usr", "/usr/lib/aws-runas/bin/python3")
    assert debian == "pipx install 'aws-runas-py[sandbox]', beside the Debian package, which has no pip"


@pytest.mark.parametrize(
    "words",
    ["diagnose prod", "list profiles", "keys list", "whoami prod", "-E prod true", "shell prod i-0123456789abcdef0"],
)
def test_a_run_reads_each_config_file_once(home: Path, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    parse_file = config_files.parse_file

    def counting(path: Path) -> config_files.ParsedFile:
        read.append(path.name)
        return parse_file(path)

    monkeypatch.setattr(config_files, "parse_file", counting)
    run(home, *words.split())
    assert sorted(read) == ["config", "credentials"]
