"""Credentials as text, read back by what will read them: real shells, botocore, python-dotenv."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import botocore.session
import dotenv
import pytest

from aws_runas.aws.credentials import Credentials
from aws_runas.credentials.printing import VARIABLES, expiration_text, in_words, render, render_unset, variables
from aws_runas.errors import UsageError
from tests.support import requires

END = datetime(2026, 11, 23, 7, 44, 12, tzinfo=UTC)
PLAIN = Credentials("ASIAKEY", "wJalr/XUtn+FEMI=", "IQoJb3//==", expiration=END, issued=END - timedelta(hours=1))
# no AWS value looks like this, but a profile's name may
HOSTILE = 'it\'s $HOME `id` "quoted" \\n %PATH% !x #no ;rm ‘typographic’ ${IFS} *'
NAMES = [PLAIN, HOSTILE]

SHELLS = {
    "sh": ("env", ["sh", "-c"]),
    "bash": ("env", ["bash", "-c"]),
    "zsh": ("env", ["zsh", "-fc"]),
    "fish": ("fish", ["fish", "--no-config", "-c"]),
}


def _environment(shell: str, script: str, tmp_path: Path, **more: str) -> dict[str, str]:
    _, command = SHELLS[shell]
    program = requires.program(command[0])
    done = subprocess.run(
        [program, *command[1:], script + "\nenv -0"],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | more,
        capture_output=True,
        check=True,
        timeout=30,
    )
    return dict(line.split("=", 1) for line in done.stdout.decode().split("\0") if line)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_reads_what_is_printed_for_it(shell: str, tmp_path: Path) -> None:
    script = render(PLAIN, SHELLS[shell][0], region="eu-west-1", profile=HOSTILE)
    found = _environment(shell, script, tmp_path)
    for name, value in variables(PLAIN, "eu-west-1", HOSTILE).items():
        assert found[name] == value


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_forgets_what_unset_prints_for_it(shell: str, tmp_path: Path) -> None:
    before = dict.fromkeys(VARIABLES, "x")
    found = _environment(shell, render_unset(SHELLS[shell][0]), tmp_path, **before)
    assert not set(VARIABLES) & set(found)


@pytest.mark.parametrize("profile", ["prod", HOSTILE.replace("'", "").replace("\\", ""), "$(touch ran) `touch ran`"])
def test_dotenv_is_read_alike_by_its_libraries_and_by_a_shell(profile: str, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(render(PLAIN, "dotenv", region=None, profile=profile))
    expected = variables(PLAIN, None, profile)
    assert dotenv.dotenv_values(path, interpolate=False) == expected
    sourced = _environment("sh", f"cd {tmp_path}; set -a; . {path}", tmp_path)
    assert {name: sourced[name] for name in expected} == expected
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("profile", ["it's", "a\\", "x'; touch ran; '", "a\nb", "a\x1bb"])
def test_what_a_shell_would_run_is_not_written_as_dotenv(profile: str) -> None:
    with pytest.raises(UsageError) as caught:
        render(PLAIN, "dotenv", region=None, profile=profile)
    assert caught.value.code == "output-format-impossible"
    assert caught.value.hint == "it has a quote, a backslash or a control character; use -O env or -O json"


def test_dotenv_needs_no_quotes_for_credentials_since_docker_knows_none() -> None:
    text = render(PLAIN, "dotenv", region="eu-west-1", profile="prod")
    assert "'" not in text
    assert "AWS_SECRET_ACCESS_KEY=wJalr/XUtn+FEMI=\n" in text


def test_powershell_doubles_every_kind_of_quote() -> None:
    text = render(PLAIN, "powershell", region=None, profile="it's ‘x’ $y")
    assert "$Env:AWSRUNAS_PROFILE = 'it''s ‘‘x’’ $y'\n" in text
    assert "$Env:AWS_ACCESS_KEY_ID = 'ASIAKEY'\n" in text


def test_json_is_the_credential_process_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "document").write_text(render(PLAIN, "json", region="eu-west-1", profile="prod"))
    document = json.loads((tmp_path / "document").read_text())
    assert set(document) == {"Version", "AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}
    later = dict(document, Expiration=(datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    (tmp_path / "document").write_text(json.dumps(later))
    (tmp_path / "config").write_text(f"[profile p]\ncredential_process = cat {tmp_path / 'document'}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    frozen = botocore.session.Session(profile="p").get_credentials().get_frozen_credentials()
    assert (frozen.access_key, frozen.secret_key, frozen.token) == ("ASIAKEY", "wJalr/XUtn+FEMI=", "IQoJb3//==")


def test_keys_without_token_print_no_token() -> None:
    text = render(Credentials("AKIA", "s"), "json", region=None, profile="p")
    assert set(json.loads(text)) == {"Version", "AccessKeyId", "SecretAccessKey"}
    assert "TOKEN" not in render(Credentials("AKIA", "s"), "env", region=None, profile="p")


@pytest.mark.parametrize("output", ["json", "dotenv"])
def test_unset_is_refused_where_it_has_no_words(output: str) -> None:
    with pytest.raises(UsageError):
        render_unset(output)


def test_an_unknown_format_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="yaml") as caught:
        render(PLAIN, "yaml", region=None, profile="p")
    assert "powershell" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 seconds"),
        (1, "1 second"),
        (59.9, "59 seconds"),
        (60, "1 minute"),
        (3599, "59 minutes"),
        (3600, "1 hour"),
        (3900, "1 hour 5 minutes"),
        (129600, "1 day 12 hours"),
    ],
)
def test_spans_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_expiration_is_told_in_local_time_and_in_words() -> None:
    zone = timezone(timedelta(hours=1), "CET")
    text = expiration_text(PLAIN, END.timestamp() - 3540, zone)
    assert text == "credentials expire on 2026-11-23 at 08:44:12 CET (in 59 minutes)\n"
    assert "(5 minutes ago)" in expiration_text(PLAIN, END.timestamp() + 300, zone)
    assert expiration_text(Credentials("AKIA", "s"), 0) == "credentials do not expire\n"
