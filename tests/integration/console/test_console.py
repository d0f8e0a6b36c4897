"""``console`` against the sandbox, whose federation endpoint checks the keys and refuses what AWS refuses."""

from __future__ import annotations

import io
import re
import stat
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from html import unescape
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

from aws_runas.cli import app
from aws_runas.cli.environment import Environment
from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import RunAs
from tests.support import requires

USER = "arn:aws:iam::123456789012:user/sandbox-user"


class Done(NamedTuple):
    status: int
    stdout: str
    stderr: str


class Terminal(io.BytesIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


Console = Callable[..., Done]


@pytest.fixture
def console(sandbox: Sandbox, tmp_path: Path) -> Iterator[Console]:
    """Run ``aws-runas console WORDS`` in this process."""

    def run(*words: str, tty: bool = False, **environ: str) -> Done:
        stdout, stderr = Terminal() if tty else io.BytesIO(), io.StringIO()
        variables = sandbox.environ | {"RUNAS_CACHE_DIR": str(tmp_path / "cache")} | environ
        env = Environment(io.BytesIO(), stdout, stderr, variables, Path(sandbox.environ["HOME"]))
        status = app.main(["console", *words], env)
        return Done(status, stdout.getvalue().decode(), stderr.getvalue())

    yield run
    sandbox.set_faults(federation_get_only=False)


def open_page(address: str) -> tuple[int, dict[str, str]]:
    """What a browser would show: status, and the fields of the sandbox's console page."""
    try:
        with urllib.request.urlopen(address, timeout=30) as reply:
            status, text = reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            status, text = error.code, error.read().decode()
    return status, {name: unescape(value) for name, value in re.findall(r'<b id="(\w+)">([^<]*)', text)}


def _printed(done: Done) -> str:
    assert (done.status, done.stdout.count("\n")) == (0, 1), done.stderr
    return done.stdout.removesuffix("\n")


def test_a_role_signs_in_once_and_lands_where_it_was_asked_to(console: Console) -> None:
    address = _printed(console("--print", "my-profile", "ec2/home#Instances:"))
    status, page = open_page(address)
    assert status == 200
    assert re.fullmatch(r"arn:aws:sts::123456789012:assumed-role/my-role/aws-runas.*", page["identity"])
    assert page["destination"] == "https://us-east-1.console.aws.amazon.com/ec2/home?region=us-east-1#Instances:"
    assert open_page(address)[0] == 400, "the token is spent"


def test_the_address_is_posted_for_and_got_where_post_is_refused(console: Console, sandbox: Sandbox) -> None:
    sandbox.forget_calls()
    _printed(console("--print", "my-profile"))
    sandbox.set_faults(federation_get_only=True)
    _printed(console("--print", "my-profile"))
    actions = [call["action"] for call in sandbox.calls if call["service"] == "console"]
    assert actions == ["getSigninToken by POST", "getSigninToken", "getSigninToken by GET"]


def test_a_duration_assumes_the_role_with_the_users_own_keys(console: Console, sandbox: Sandbox) -> None:
    sandbox.forget_calls()
    _, page = open_page(_printed(console("--print", "-d", "8h", "my-profile")))
    assert _hours_left(page) == pytest.approx(8, abs=0.1)
    (call,) = [call for call in sandbox.calls if call["action"] == "AssumeRole"]
    assert (call["arn"], call["parameters"]["DurationSeconds"]) == (USER, "28800")
    assert "GetSessionToken" not in [call["action"] for call in sandbox.calls]


def test_role_credentials_that_live_long_give_a_console_as_long(console: Console) -> None:
    _, page = open_page(_printed(console("-a", "6h", "--print", "my-profile")))
    assert _hours_left(page) == pytest.approx(6, abs=0.1)


def test_a_chained_role_sends_no_duration(console: Console) -> None:
    _, page = open_page(_printed(console("--print", "-d", "30m", "my-profile-chained")))
    assert "assumed-role/my-role-chained/" in page["identity"]
    assert _hours_left(page) == pytest.approx(0.5, abs=0.1)
    done = console("--print", "-d", "8h", "my-profile-chained")
    assert (done.status, done.stdout) == (2, "")
    assert "at 1h (flag -d)" in done.stderr


def _hours_left(page: dict[str, str]) -> float:
    from datetime import UTC, datetime

    return (datetime.fromisoformat(page["ends"]) - datetime.now(UTC)).total_seconds() / 3600


def test_a_user_signs_in_as_a_federated_user_of_that_name(console: Console, sandbox: Sandbox) -> None:
    sandbox.forget_calls()
    done = console("--print", "my-profile-user", "s3")
    assert "IAM and STS do not work there" in done.stderr
    _, page = open_page(_printed(done))
    assert page["identity"] == "arn:aws:sts::123456789012:federated-user/sandbox-user"
    assert _hours_left(page) == pytest.approx(12, abs=0.1)
    assert console("-q", "--print", "my-profile-user").stderr == ""
    (call, _) = [call for call in sandbox.calls if call["action"] == "GetFederationToken"]
    assert (call["arn"], call["error"]) == (USER, "")
    assert str(call["parameters"]["Policy"]).startswith(
        '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*"'
    )
    assert "GetSessionToken" not in [call["action"] for call in sandbox.calls]


def test_the_session_flag_signs_in_as_the_user_of_a_role(console: Console) -> None:
    _, page = open_page(_printed(console("--print", "-s", "my-profile-mfa")))
    assert page["identity"] == "arn:aws:sts::123456789012:federated-user/sandbox-user"


def test_a_users_policy_can_be_narrowed(console: Console, sandbox: Sandbox, tmp_path: Path) -> None:
    config = tmp_path / "config"
    policy = '{"Version": "2012-10-17", "Statement": []}'
    user = "[profile my-profile-user]\nregion = us-east-1\n"
    config.write_text(f"{user}console_policy = {policy}\n")
    sandbox.forget_calls()
    _printed(console("--print", "my-profile-user", AWS_CONFIG_FILE=str(config)))
    (call,) = [call for call in sandbox.calls if call["action"] == "GetFederationToken"]
    assert call["parameters"]["Policy"] == policy.replace(" ", "")
    config.write_text(f"{user}console_policy = [\n")
    assert console("--print", "my-profile-user", AWS_CONFIG_FILE=str(config)).status == 3


def test_an_identity_center_profile_opens_the_portal_without_asking_anybody(console: Console, sandbox: Sandbox) -> None:
    sandbox.forget_calls()
    done = console("--print", "my-profile-sso", "s3")
    parts = urlsplit(_printed(done))
    path, _, query = parts.fragment.partition("?")
    assert (path, parts.path.startswith("/start")) == ("/console", True)
    assert parse_qs(query) == {
        "account_id": ["123456789012"],
        "role_name": ["my-role"],
        "destination": ["https://us-east-1.console.aws.amazon.com/s3/home?region=us-east-1"],
    }
    assert "destination" not in _printed(console("--print", "my-profile-sso"))
    assert sandbox.calls == []
    assert done.stderr == ""
    assert console("--print", "--logout-first", "my-profile-sso").status == 2


def test_federation_takes_the_portals_credentials(sandbox: Sandbox, runas: RunAs) -> None:
    done = runas(sandbox, "console", "--print", "--federation", "-d", "2h", "my-profile-sso")
    _, page = open_page(_printed(Done(done.returncode, done.stdout.decode(), done.stderr.decode())))
    assert "assumed-role/my-role/" in page["identity"]
    assert _hours_left(page) == pytest.approx(2, abs=0.1)


def test_session_tokens_cannot_sign_in(console: Console, sandbox: Sandbox) -> None:
    done = console("--print", "sandbox-login")
    assert (done.status, done.stdout) == (4, "")
    assert f"the temporary keys of {USER} cannot sign in" in done.stderr


def test_temporary_keys_of_a_role_in_the_environment_sign_in(console: Console, sandbox: Sandbox) -> None:
    import boto3

    files = {name: sandbox.environ[name] for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
    keys = _assumed(boto3, sandbox)
    done = console("--print", AWS_REGION="us-east-1", **keys, **files)
    _, page = open_page(_printed(done))
    assert page["identity"] == "arn:aws:sts::123456789012:assumed-role/my-role/me"


def _assumed(boto3: object, sandbox: Sandbox) -> dict[str, str]:
    from tests.integration.sandbox.clients import user_client

    found = user_client(sandbox, "sts").assume_role(
        RoleArn="arn:aws:iam::123456789012:role/my-role", RoleSessionName="me"
    )["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": found["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"],
        "AWS_SESSION_TOKEN": found["SessionToken"],
    }


def test_the_browser_can_be_signed_out_first(console: Console, sandbox: Sandbox) -> None:
    address = _printed(console("--print", "--logout-first", "my-profile", "s3"))
    assert address.startswith(f"{sandbox.endpoint}/oauth?Action=logout&redirect_uri=http%3A%2F%2F127.0.0.1")
    sandbox.forget_calls()
    status, page = open_page(address)
    assert (status, page["destination"].partition("?")[0]) == (200, "https://us-east-1.console.aws.amazon.com/s3/home")
    assert [call["action"] for call in sandbox.calls] == ["logout by GET", "login by GET"]


def test_a_container_is_named_like_the_profile_or_as_said(console: Console) -> None:
    for words, name in ((["--container"], "my-profile"), (["--container=a b"], "a%20b")):
        address = _printed(console("--print", *words, "my-profile"))
        front, _, rest = address.partition("&url=")
        assert front == f"ext+granted-containers:name={name}"
        target, *more = rest.split("&")
        assert [pair.partition("=")[0] for pair in more] == ["color", "icon"]
        assert open_page(unquote(target))[0] == 200


RECORDER = """#!/bin/sh
printf '%s\\n' "$#" "$@" > "$RECORD.new"
page=$(printf '%s' "$1" | sed 's,^file://,,')
[ -f "$page" ] && cp -p "$page" "$RECORD.page"
mv "$RECORD.new" "$RECORD"
"""


@pytest.fixture
def recorder(tmp_path: Path) -> Path:
    """A browser that writes down what it was started with."""
    program = tmp_path / "browser"
    program.write_text(RECORDER)
    program.chmod(0o755)
    return program


def _recorded(path: Path) -> list[str]:
    """Wait for what the browser wrote; it is a process of its own."""
    import time

    end = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < end, "the browser was not started"
        time.sleep(0.01)
    return path.read_text().splitlines()


def test_the_address_is_in_no_argv_but_in_a_page_of_this_user(console: Console, recorder: Path, tmp_path: Path) -> None:
    record, runtime = tmp_path / "record", tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    done = console("--browser", str(recorder), "my-profile", "s3", RECORD=str(record), XDG_RUNTIME_DIR=str(runtime))
    assert done.status == 0, done.stderr
    assert re.fullmatch(r"aws-runas: opened the console of my-profile until \d\d:\d\d\n", done.stderr)
    assert done.stdout == ""
    count, argument = _recorded(record)
    assert count == "1"
    assert argument.startswith(f"{runtime.as_uri()}/aws-runas-console-")
    page = tmp_path / "record.page"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    (address,) = re.findall(r'href="([^"]+)"', page.read_text())
    assert open_page(unescape(address))[1]["destination"].endswith("/s3/home?region=us-east-1")


def test_the_portals_address_is_no_secret_and_goes_to_the_browser_itself(
    console: Console, recorder: Path, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    assert console("my-profile-sso", RUNAS_BROWSER=str(recorder), RECORD=str(record)).status == 0
    assert re.search("/start/[^?]*#/console\\?account_id=123456789012&", _recorded(record)[1])


def test_a_profile_has_a_browser_of_its_own(console: Console, sandbox: Sandbox, recorder: Path, tmp_path: Path) -> None:
    recorder.rename(tmp_path / "google-chrome")
    config = tmp_path / "config"
    text = Path(sandbox.environ["AWS_CONFIG_FILE"]).read_text()
    config.write_text(text.replace("[profile my-profile-sso]", "[profile my-profile-sso]\nconsole_browser = chrome"))
    record = tmp_path / "record"
    path = f"{tmp_path}:{sandbox.environ['PATH']}"
    assert console("my-profile-sso", PATH=path, AWS_CONFIG_FILE=str(config), RECORD=str(record)).status == 0
    assert _recorded(record)[:2] == ["2", "--profile-directory=aws-runas my-profile-sso"]


FETCHER = """#!/bin/sh
printf '%s\\n' "$@" > "$RECORD.new"
url=$(printf '%s' "$1" | sed 's,.*url=\\(http[^&]*\\).*,\\1,; s,%3A,:,g; s,%2F,/,g')
curl -s -o "$RECORD.body" -w '%{redirect_url}' "$url" > "$RECORD.target"
mv "$RECORD.new" "$RECORD"
"""


@pytest.mark.parametrize("words", [["--container=a b"], []])
def test_a_browser_that_cannot_read_the_page_is_led_on_once_by_loopback(
    console: Console, recorder: Path, tmp_path: Path, words: list[str]
) -> None:
    requires.program("curl")
    recorder.write_text(FETCHER)
    record = tmp_path / "record"
    environ = {"RECORD": str(record)} | ({} if words else {"VSCODE_IPC_HOOK_CLI": "x"})
    done = console("--browser", str(recorder), *words, "my-profile", "s3", **environ)
    assert done.status == 0, done.stderr
    (argument,) = _recorded(record)
    assert argument.startswith("ext+granted-containers:name=a%20b&url=http" if words else "http://127.0.0.1:")
    assert "SigninToken" not in argument
    assert open_page((tmp_path / "record.target").read_text())[1]["destination"].endswith("/s3/home?region=us-east-1")


@pytest.mark.parametrize("flag", ["--clipboard", "--print"])
def test_the_clipboard_and_standard_output_need_no_browser(console: Console, tmp_path: Path, flag: str) -> None:
    program = tmp_path / "bin" / "wl-copy"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$#" = 0 ] && cat > "$RECORD"\n')
    program.chmod(0o755)
    record = tmp_path / "record"
    variables = {"PATH": f"{program.parent}:/usr/bin:/bin", "WAYLAND_DISPLAY": "wayland-0", "RECORD": str(record)}
    done = console(flag, "my-profile", SSH_CONNECTION="x", **variables)
    assert done.status == 0, done.stderr
    address = record.read_text() if flag == "--clipboard" else done.stdout
    assert "SigninToken=" in address
    assert ("SigninToken=" in done.stdout + done.stderr) is (flag == "--print")


def test_printing_on_a_terminal_is_warned_of(console: Console) -> None:
    assert "anyone with this address is signed in" in console("--print", "my-profile", tty=True).stderr
    assert console("--print", "-q", "my-profile", tty=True).stderr == ""
    assert console("--print", "my-profile-sso", tty=True).stderr == ""


def test_without_a_browser_nothing_is_asked_and_the_ways_out_are_named(console: Console, sandbox: Sandbox) -> None:
    sandbox.forget_calls()
    done = console("my-profile", SSH_CONNECTION="10.0.0.1 1 10.0.0.2 22", BROWSER="")
    assert done.status == 4
    assert "this is an ssh session" in done.stderr
    assert "--print" in done.stderr
    assert sandbox.calls == []


@pytest.mark.parametrize(
    ("words", "environ", "expected"),
    [
        (["s3"], {"AWS_PROFILE": "my-profile-sso"}, "s3%2Fhome"),
        (["--profile", "my-profile-sso", "s3"], {}, "s3%2Fhome"),
        (["my-profile-sso", "arn:aws:iam::123456789012:role/my-role"], {}, "roles%2Fdetails%2Fmy-role"),
        (["my-profile-sso", "s3"], {"AWS_PROFILE": "my-profile"}, "s3%2Fhome"),
    ],
)
def test_profile_and_destination_are_told_apart(
    console: Console, words: list[str], environ: dict[str, str], expected: str
) -> None:
    assert expected in _printed(console("--print", *words, **environ))


@pytest.mark.parametrize(
    ("words", "environ", "status", "message"),
    [
        (["my-profile"], {"AWS_PROFILE": "my-profile-sso"}, 2, "AWS_PROFILE already names the profile"),
        (["my-profile", "s3", "more"], {}, 2, "unexpected argument 'more'"),
        (["my-profile", "https://evil.example/"], {}, 2, "is not under https://console.aws.amazon.com"),
        (["nowhere"], {}, 3, "profile nowhere does not exist"),
        (["-d", "36h", "my-profile"], {}, 2, "15m to 12h"),
        (["--clipboard", "my-profile"], {}, 2, "cannot be combined"),
        (["--browser", "x", "my-profile"], {}, 2, "--browser has no effect with --print"),
        (["my-profile"], {"RUNAS_SIGNIN_URL": "http://signin.example.com"}, 3, "is not an https address"),
        (["my-profile"], {"AWS_REGION": "us-iso-east-1", "AWS_PROFILE": ""}, 0, ""),
        (["arn:aws-iso:iam::123456789012:role/R"], {}, 4, "partition aws-iso has no public console"),
    ],
)
def test_what_cannot_be_is_one_clear_error(
    console: Console, words: list[str], environ: dict[str, str], status: int, message: str
) -> None:
    done = console("--print", *words, **environ)
    assert done.status == status, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_word_is_opened_as_a_path_with_a_warning(console: Console) -> None:
    done = console("--print", "my-profile-sso", "brandnew")
    assert quote("us-east-1.console.aws.amazon.com/brandnew", safe="") in _printed(done)
    assert "warning: brandnew is not a service" in done.stderr
