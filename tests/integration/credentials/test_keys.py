"""`keys` against the sandbox's IAM and STS, with the encrypted file as the keyring."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aws_runas.cli import app
from aws_runas.cli.environment import Environment
from aws_runas.config.files import load_files
from aws_runas.credentials.key_lines import plain_keys
from aws_runas.sandbox.world import Sandbox, start_sandbox
from aws_runas.store.file import FileStore
from aws_runas.store.items import KeyPair, read_keys
from tests.integration.conftest import AWS_RUNAS, _base

PASSPHRASE = "canary-passphrase"


@dataclass
class Keys:
    """A sandbox of one's own, and for each test a home with the present keys of its user."""

    sandbox: Sandbox
    home: Path
    pair: KeyPair
    output: list[str] = field(default_factory=list)

    def start(self, home: Path) -> None:
        """Make a new home with the user's keys in the credentials file."""
        self.home = home
        config = Path(self.sandbox.environ["AWS_CONFIG_FILE"]).read_text()
        (home / "config").write_text(config)
        (home / "credentials").write_text(
            "# my keys\n[other]\nregion = eu-west-1\n\n[my-profile-user]\n"
            f"aws_access_key_id = {self.pair.access_key_id}\naws_secret_access_key = {self.pair.secret_access_key}\n"
        )
        self.output.clear()

    @property
    def environ(self) -> dict[str, str]:
        return self.sandbox.environ | {
            "HOME": str(self.home),
            "AWS_CONFIG_FILE": str(self.home / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.home / "credentials"),
            "RUNAS_CACHE_DIR": str(self.home / "aws-runas" / "cache"),
            "RUNAS_KEYRING": "file",
            "RUNAS_KEYRING_PASSPHRASE": PASSPHRASE,
        }

    def run(self, *words: str, status: int = 0, **environ: str) -> tuple[str, str]:
        """Run aws-runas in this process, and return what it printed."""
        stdout, stderr = io.BytesIO(), io.StringIO()
        env = Environment(
            stdin=io.BytesIO(), stdout=stdout, stderr=stderr, environ=self.environ | environ, home=self.home
        )
        found = app.main(words, env)
        out, err = stdout.getvalue().decode(), stderr.getvalue()
        self.output += [out, err]
        assert found == status, err
        return out, err

    def store(self) -> FileStore:
        return FileStore(self.home / "aws-runas" / "keyring", PASSPHRASE, lambda _: "")

    def remember(self) -> None:
        """Take the keys that the user has now."""
        stored = read_keys(self.store(), "my-profile-user")
        plain = plain_keys(load_files(self.environ, self.home), "my-profile-user")
        pair = stored.current if stored else plain.pair if plain else None
        assert pair is not None
        self.pair = pair

    def listed(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.run("keys", "list", "-O", "json")[0])["keys"][0]
        return found


@pytest.fixture(scope="module")
def module_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keys]:
    with start_sandbox(base=_base(tmp_path_factory.mktemp("home"))) as running:
        plain = plain_keys(load_files(running.environ, Path(running.environ["HOME"])), "my-profile-user")
        assert plain is not None
        yield Keys(running, Path(), plain.pair)


@pytest.fixture
def keys(module_keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    module_keys.start(tmp_path)
    monkeypatch.setattr("aws_runas.store.file.SCRYPT_N", 2**10)  # of the file that a test makes, to save time
    for name in ("PATH", "RUNAS_SANDBOX", "RUNAS_SANDBOX_TOKEN"):  # for the program of mfa_process
        if name in module_keys.environ:
            monkeypatch.setenv(name, module_keys.environ[name])
    return module_keys


def test_imported_keys_serve_roles_and_are_in_no_file(keys: Keys) -> None:
    _, err = keys.run("keys", "import", "my-profile-user")
    assert "credential_process = aws-runas -s -O json my-profile-user" in err
    credentials = (keys.home / "credentials").read_text()
    assert credentials == "# my keys\n[other]\nregion = eu-west-1\n\n[my-profile-user]\n"
    config = (keys.home / "config").read_text()
    assert f"keyring = my-profile-user\nkeyring_key_id = {keys.pair.access_key_id}\n" in config
    assert "my-role" in keys.run("whoami", "my-profile")[0]
    assert "user/sandbox-user" in keys.run("whoami", "my-profile-user")[0]
    for path in keys.home.rglob("*"):
        assert not path.is_file() or keys.pair.secret_access_key.encode() not in path.read_bytes(), path
    listed = keys.listed()
    assert listed["place"] == "keyring my-profile-user"
    assert listed["status"] == "active"
    assert listed["age_days"] == 0
    assert listed["last_used"] is not None


def test_kept_keys_are_used_from_the_file_and_diagnose_says_so(keys: Keys) -> None:
    _, err = keys.run("keys", "import", "--keep", "my-profile-user")
    assert "still uses the keys of" in err
    assert len(json.loads(keys.run("keys", "list", "-O", "json")[0])["keys"]) == 2
    out, _ = keys.run("diagnose", "my-profile-user")
    assert re.search(
        r"^warn  credentials .*in the keyring too.*; the credentials file is used; remove", out, re.MULTILINE
    )


def test_keys_from_the_environment_are_imported(keys: Keys) -> None:
    (keys.home / "credentials").write_text("")
    _, err = keys.run(
        "keys", "import", "my-profile-user", "--from", "env",
        AWS_ACCESS_KEY_ID=keys.pair.access_key_id, AWS_SECRET_ACCESS_KEY=keys.pair.secret_access_key,
    )  # fmt: skip
    assert "unset AWS_ACCESS_KEY_ID" in err
    assert "my-role" in keys.run("whoami", "my-profile")[0]
    temporary = {"AWS_ACCESS_KEY_ID": "ASIAX", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    assert "temporary" in keys.run("keys", "import", "my-profile-user", "--from", "env", status=4, **temporary)[1]


def test_removed_keys_are_gone_with_their_sessions(keys: Keys) -> None:
    keys.run("keys", "import", "my-profile-user")
    before = (keys.home / "config").read_text()
    keys.run("whoami", "my-profile")
    cache = keys.home / "aws-runas" / "cache"
    assert list(cache.glob("session-*.json"))
    keys.run("keys", "remove", "-y", "my-profile-user")
    assert read_keys(keys.store(), "my-profile-user") is None
    assert "keyring" not in (keys.home / "config").read_text()
    assert "keyring" in before
    assert not list(cache.glob("*.json"))
    assert "has no credentials" in keys.run("whoami", "my-profile", status=4)[1]


def test_an_item_that_two_profiles_use_stays(keys: Keys) -> None:
    keys.run("keys", "import", "my-profile-user")
    config = keys.home / "config"
    twin = f"\n[profile twin]\nkeyring = my-profile-user\nkeyring_key_id = {keys.pair.access_key_id}\nregion = x-1\n"
    config.write_text(config.read_text() + twin)
    assert "they stay for twin" in keys.run("keys", "remove", "my-profile-user")[1]
    assert read_keys(keys.store(), "my-profile-user") is not None
    assert "user/sandbox-user" in keys.run("whoami", "twin")[0]


@pytest.mark.parametrize("place", ["keyring", "file"])
def test_rotation_uses_one_mfa_code_and_no_old_credentials_answer(keys: Keys, place: str) -> None:
    config = keys.home / "config"
    counter = keys.home / "codes"
    program = keys.home / "code"
    program.write_text(f"#!/bin/sh\necho x >> {counter}\nexec sandbox-mfa-code\n")
    program.chmod(0o755)
    config.write_text(config.read_text().replace("mfa_process = sandbox-mfa-code", f"mfa_process = {program}"))
    if place == "keyring":
        keys.run("keys", "import", "my-profile-user")
    shortcut = [*AWS_RUNAS, "-E", "my-profile", "sh", "-c", "echo $AWS_ACCESS_KEY_ID"]
    environ = {name: value for name, value in keys.environ.items() if name != "RUNAS_KEYRING_PASSPHRASE"}
    keys.run("whoami", "my-profile")
    first = subprocess.run(shortcut, env=environ, capture_output=True, check=True).stdout
    assert list((keys.home / "aws-runas" / "cache").glob("fast-*"))
    _, err = keys.run("keys", "rotate", "--delete", "my-profile-mfa-auto")
    assert "is deleted at AWS" in err
    assert counter.read_text() == "x\n"
    assert not list((keys.home / "aws-runas" / "cache").glob("fast-*"))
    old = keys.pair
    keys.remember()
    assert keys.pair != old
    keys.run("whoami", "my-profile")
    second = subprocess.run(shortcut, env=environ, capture_output=True, check=True).stdout
    assert second != first
    assert keys.listed()["access_key_id"] == keys.pair.access_key_id
    assert old.secret_access_key not in "".join(keys.output)
    assert keys.pair.secret_access_key not in "".join(keys.output)


def test_a_profile_without_mfa_is_rotated_by_its_new_key_at_the_end(keys: Keys) -> None:
    _, err = keys.run("keys", "rotate", "my-profile-user")
    assert "--finish deletes it" in err
    keys.remember()
    assert "keys-limit" not in err
    _, err = keys.run("keys", "rotate", "my-profile-user", status=4)
    assert "two access keys already" in err
    assert "--replace-inactive deletes" in err
    keys.run("keys", "rotate", "my-profile-user", "--finish")
    assert "nothing to finish" in keys.run("keys", "rotate", "my-profile-user", "--finish")[1]
    assert "user/sandbox-user" in keys.run("whoami", "my-profile-user")[0]


def test_no_secret_is_in_what_verbose_prints(keys: Keys) -> None:
    keys.run("-vv", "keys", "import", "my-profile-user")
    keys.run("-vv", "whoami", "my-profile")
    keys.run("-vv", "keys", "list")
    keys.run("-vv", "keys", "remove", "-y", "my-profile-user")
    text = "".join(keys.output)
    assert "the keyring" in text
    assert keys.pair.secret_access_key not in text
    assert PASSPHRASE not in text


AUDIT = """
import os, sys
_log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
def _hook(event, args):
    if event.startswith("socket.") and event != "socket.__new__":
        os.write(_log, (event + "\\n").encode())
    elif event == "import" and args[0].split(".")[0] in ("keyring", "secretstorage", "jeepney", "cryptography"):
        os.write(_log, ("import " + args[0] + "\\n").encode())
    elif event == "open" and str(args[0]).endswith("aws-runas/keyring"):
        os.write(_log, b"open keyring\\n")
sys.addaudithook(_hook)
"""


@pytest.mark.parametrize("path", ["cached path", "full path"])
def test_a_cached_start_loads_no_keyring_and_opens_no_socket(keys: Keys, path: str) -> None:
    """Audit events of the interpreter tell what it does; a cold start shows that they would be seen."""
    keys.run("keys", "import", "my-profile-user")
    (keys.home / "sitecustomize.py").write_text(AUDIT)
    log = keys.home / "audit"
    environ = keys.environ | {"PYTHONPATH": str(keys.home), "AUDIT_LOG": str(log)}
    if path == "cached path":
        del environ["RUNAS_KEYRING_PASSPHRASE"]  # a password variable means the full path
    else:
        environ["AWSRUNAS_NO_FAST"] = "1"
    command = [*AWS_RUNAS, "-E", "my-profile", "true"]
    cold = subprocess.run(
        command, env=environ | {"RUNAS_KEYRING_PASSPHRASE": PASSPHRASE}, capture_output=True, check=False
    )
    assert cold.returncode == 0, cold.stderr
    seen = log.read_text()
    assert "open keyring" in seen
    assert "socket.connect" in seen
    subprocess.run(command, env=environ, capture_output=True, check=True)  # the first one leaves a shortcut
    assert bool(list((keys.home / "aws-runas" / "cache").glob("fast-*"))) == (path == "cached path")
    log.unlink()
    subprocess.run(command, env=environ, capture_output=True, check=True)
    assert log.read_text() == ""


BACKEND = """
import json
from pathlib import Path
from keyring.backend import KeyringBackend
PATH = Path(__file__).with_name("items")
class Backend(KeyringBackend):
    priority = 1
    def get_password(self, service, username):
        return self._items().get(username)
    def set_password(self, service, username, password):
        new = PATH.with_name("items.new")
        new.write_text(json.dumps({**self._items(), username: password}))
        new.replace(PATH)
    def _items(self):
        return json.loads(PATH.read_text()) if PATH.exists() else {}
    delete_password = None
"""


def _backend(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> str:
    """A keyring in a plain file, so that a test can look into it."""
    name = f"backend_of_{keys.home.name}"
    monkeypatch.syspath_prepend(str(keys.home))
    (keys.home / f"{name}.py").write_text(BACKEND)
    return f"{name}.Backend"


@pytest.mark.slow
def test_an_import_killed_at_any_step_leaves_the_secret_in_at_least_one_place(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import runs in a child that kills itself before the next file is opened for writing, renamed or removed."""
    backend = _backend(keys, monkeypatch)
    secret = keys.pair.secret_access_key
    kept = {name: (keys.home / name).read_text() for name in ("config", "credentials")}
    places = set()
    for step in range(100):
        for name, text in kept.items():
            (keys.home / name).write_text(text)
        (keys.home / "items").unlink(missing_ok=True)
        status = _killed_at(step, keys, "import", backend)
        in_keyring = (keys.home / "items").exists() and secret in (keys.home / "items").read_text()
        in_file = secret in (keys.home / "credentials").read_text()
        places.add((in_keyring, in_file))
        assert in_keyring or in_file, f"lost at step {step}"
        assert not list(keys.home.glob("*.bak"))
        if os.waitstatus_to_exitcode(status) == 0:
            break
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        assert _killed_at(-1, keys, "import", backend) == 0  # the next one completes it
        assert secret not in (keys.home / "credentials").read_text()
        assert secret in (keys.home / "items").read_text()
    assert step > 5
    assert places == {(False, True), (True, True), (True, False)}


@pytest.mark.slow
@pytest.mark.parametrize("step", [6, 9, 12])
def test_a_rotation_killed_in_the_middle_is_continued(keys: Keys, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The unit tests kill it at each call; here a real process ends between real calls and real files."""
    backend = _backend(keys, monkeypatch)
    keys.run("keys", "import", "my-profile-user", RUNAS_KEYRING=backend)
    assert os.waitstatus_to_exitcode(_killed_at(step, keys, "rotate", backend)) == -signal.SIGKILL
    keys.run("-r", "whoami", "my-profile-user", RUNAS_KEYRING=backend)
    _, err = keys.run("keys", "rotate", "--finish", "my-profile-user", RUNAS_KEYRING=backend)
    if "nothing to finish" in err:
        keys.run("keys", "rotate", "--delete", "my-profile-user", RUNAS_KEYRING=backend)
    stored = json.loads(json.loads((keys.home / "items").read_text())["keys/my-profile-user"])
    assert "Previous" not in stored
    keys.pair = KeyPair(stored["AccessKeyId"], stored["SecretAccessKey"])
    assert "nothing to finish" in keys.run("keys", "rotate", "--finish", "my-profile-user", RUNAS_KEYRING=backend)[1]
    assert "user/sandbox-user" in keys.run("-r", "whoami", "my-profile-user", RUNAS_KEYRING=backend)[0]


def _killed_at(step: int, keys: Keys, action: str, backend: str) -> int:
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        calls = event in ("os.rename", "os.remove", "socket.connect")
        if not (writes or calls) or "__pycache__" in str(arguments[0]):
            return
        count += 1
        if count == step + 1:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.addaudithook(hook)
        env = Environment(
            stdin=io.BytesIO(),
            stdout=io.BytesIO(),
            stderr=io.StringIO(),
            environ=keys.environ | {"RUNAS_KEYRING": backend},
            home=keys.home,
        )
        os._exit(app.main(["keys", action, "my-profile-user"], env))
    finally:
        os._exit(99)
