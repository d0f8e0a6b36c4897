"""`keys` and `password` with real keyrings: gnome-keyring on a private bus, and pass with a gpg key of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pexpect
import pytest

from aws_runas.config.files import load_files
from aws_runas.credentials.key_lines import PlainKeys, plain_keys
from aws_runas.sandbox.world import Sandbox
from tests.interop.keyrings import SecretService, password_store, secret_service

PROFILE = "my-profile-user"
SAML_URL = "https://idp.example.com/saml"


@pytest.fixture(scope="module")
def service() -> Iterator[SecretService]:
    with tempfile.TemporaryDirectory(prefix="ring") as home, secret_service(Path(home)) as running:
        yield running


@pytest.fixture
def user_keys(sandbox: Sandbox) -> PlainKeys:
    found = plain_keys(load_files(sandbox.environ, Path(sandbox.environ["HOME"])), PROFILE)
    assert found is not None
    return found


class Home:
    """A home with the sandbox's profiles, and the keys of its user in the credentials file."""

    def __init__(self, path: Path, sandbox: Sandbox, keyring: Mapping[str, str]) -> None:
        self.path = path
        self.config, self.credentials = path / "config", path / "credentials"
        self.config.write_text(Path(sandbox.environ["AWS_CONFIG_FILE"]).read_text())
        self.credentials.write_text(Path(sandbox.environ["AWS_SHARED_CREDENTIALS_FILE"]).read_text())
        kept = ("DBUS_", "XDG_", "GNUPG", "PASSWORD_STORE", "RUNAS_KEYRING", "AWS_VAULT")
        self.environ = {
            **sandbox.environ,
            **{name: value for name, value in keyring.items() if name.startswith(kept)},
            "HOME": str(path),
            "TERM": "dumb",
            "AWS_CONFIG_FILE": str(self.config),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.credentials),
            "RUNAS_CACHE_DIR": str(path / "cache"),
        }
        for name in ("DISPLAY", "WAYLAND_DISPLAY"):
            self.environ.pop(name, None)

    def run(
        self, *words: str, status: int = 0, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        found = subprocess.run(
            [sys.executable, "-m", "aws_runas", *words],
            env=self.environ | dict(variables or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            start_new_session=True,
            check=False,
        )
        assert found.returncode == status, found.stderr
        assert "Traceback" not in found.stderr
        return found

    def type(self, words: list[str], answers: list[tuple[str, str]]) -> str:
        """Run it on a terminal, type answers, and return what the terminal shows."""
        child = pexpect.spawn(
            sys.executable, ["-m", "aws_runas", *words], env=self.environ, encoding="utf-8", timeout=60,
            dimensions=(40, 200),
        )  # fmt: skip
        shown = ""
        for question, answer in answers:
            child.expect_exact(question)
            shown += f"{child.before}{child.after}"
            child.sendline(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus == 0, f"{shown}{child.before}"
        return shown + str(child.before)


@pytest.fixture
def home(tmp_path: Path, sandbox: Sandbox, service: SecretService) -> Home:
    return Home(tmp_path, sandbox, service.environ)


class CommandLines:
    """Looks for a secret in the argument lists and environments of all processes, until it is stopped."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._stop = threading.Event()
        self.samples = 0
        self.found: list[str] = []

    def __enter__(self) -> CommandLines:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self.samples += 1
            for entry in Path("/proc").iterdir():
                if entry.name.isdigit() and int(entry.name) != os.getpid():
                    try:
                        content = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                    except OSError:
                        continue
                    if self._secret in content:
                        self.found.append(entry.name)
            self._stop.wait(0.005)


def test_keys_typed_on_a_terminal_are_an_item_that_libsecret_sees(
    home: Home, service: SecretService, user_keys: PlainKeys
) -> None:
    pair = user_keys.pair
    home.credentials.write_text("")
    with CommandLines(pair.secret_access_key) as watch:
        shown = home.type(
            ["keys", "add", PROFILE],
            [("Access key id: ", pair.access_key_id), ("Secret access key: ", pair.secret_access_key)],
        )
    assert watch.samples > 1
    assert watch.found == []
    assert pair.secret_access_key not in shown
    assert (
        f"the keys {pair.access_key_id} of arn:aws:iam::123456789012:user/sandbox-user are in the Secret Service"
        in shown
    )
    stored = json.loads(service.secret_tool("lookup", "service", "aws-runas", "username", f"keys/{PROFILE}").stdout)
    assert stored == {"Version": 1, "AccessKeyId": pair.access_key_id, "SecretAccessKey": pair.secret_access_key}
    assert "my-role" in home.run("whoami", "my-profile").stdout
    rows = json.loads(home.run("keys", "list", "-O", "json").stdout)["keys"]
    assert [(row["profile"], row["place"], row["status"]) for row in rows] == [
        (PROFILE, f"keyring {PROFILE}", "active")
    ]
    traced = home.run("-vv", "-r", "whoami", PROFILE)
    assert pair.secret_access_key not in traced.stderr + traced.stdout
    home.run("keys", "remove", "--yes", PROFILE)
    assert service.secret_tool("lookup", "service", "aws-runas", "username", f"keys/{PROFILE}").returncode == 1
    assert "has no credentials" in home.run("-r", "whoami", PROFILE, status=4).stderr


def test_keys_that_aws_refuses_are_not_stored(home: Home, service: SecretService) -> None:
    child = pexpect.spawn(
        sys.executable, ["-m", "aws_runas", "keys", "add", "fresh"], env=home.environ, encoding="utf-8", timeout=60
    )
    child.expect_exact("Access key id: ")
    child.sendline("AKIAIOSFODNN7EXAMPLE")
    child.expect_exact("Secret access key: ")
    child.sendline("canary-secret")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 4
    assert "canary" not in str(child.before)
    assert "fresh" not in home.config.read_text()
    assert service.secret_tool("lookup", "service", "aws-runas", "username", "keys/fresh").returncode == 1


@pytest.mark.parametrize(("key_id", "status"), [("", 4), ("AKIAIOSFODNN7EXAMPLE", 130)])
def test_ctrl_d_ends_add_at_the_question_that_was_asked(home: Home, key_id: str, status: int) -> None:
    child = pexpect.spawn(
        sys.executable, ["-m", "aws_runas", "keys", "add", "fresh"], env=home.environ, encoding="utf-8", timeout=60
    )
    child.expect_exact("Access key id: ")
    if key_id:
        child.sendline(key_id)
        child.expect_exact("Secret access key: ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == status
    assert "terminal" not in str(child.before)
    assert "Secret access key" not in str(child.before)


def test_a_locked_keyring_is_an_error_that_says_how_to_unlock_it(
    tmp_path: Path, sandbox: Sandbox, user_keys: PlainKeys
) -> None:
    with tempfile.TemporaryDirectory(prefix="ring") as place, secret_service(Path(place)) as service:
        home = Home(tmp_path, sandbox, service.environ)
        home.run("keys", "import", PROFILE)
        assert user_keys.pair.secret_access_key not in home.credentials.read_text()
        assert "my-role" in home.run("-E", "my-profile", "sh", "-c", "echo my-role").stdout
        service.kill()
        service.start(None)
        found = home.run("-r", "whoami", PROFILE, status=4)
        assert "the Secret Service is locked" in found.stderr
        assert "RUNAS_KEYRING=file" in found.stderr
        assert "my-role" in home.run("whoami", "my-profile").stdout  # a session token is cached: nobody opens a keyring
        service.kill()
        service.start()
        assert "sandbox-user" in home.run("-r", "whoami", PROFILE).stdout
        del home.environ["DBUS_SESSION_BUS_ADDRESS"]
        found = home.run("-r", "whoami", PROFILE, status=4)
        assert "no keyring was found: the Secret Service cannot be used" in found.stderr


KILLED_IN_THE_MIDDLE = """
from aws_runas.errors import CredentialsError
from aws_runas.store.library import open_backend
store = open_backend("secret-service", {})
store.write("keys/dev", "value")
print(store.read("keys/dev"), flush=True)
input()
for action in (lambda: store.read("keys/dev"), lambda: store.write("keys/dev", "x")):
    try:
        print("no error", action())
    except CredentialsError as error:
        print(error.code)
"""


def test_a_daemon_killed_in_the_middle_is_an_error() -> None:
    with tempfile.TemporaryDirectory(prefix="ring") as place, secret_service(Path(place)) as service:
        with subprocess.Popen(
            [sys.executable, "-c", KILLED_IN_THE_MIDDLE],
            env=service.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline() == "value\n"
            service.kill()
            output = process.communicate("\n", timeout=100)[0]
        assert process.returncode == 0
        codes = output.split()
        assert len(codes) == 2
        assert set(codes) <= {"keyring-locked", "keyring-missing", "keyring-failed"}


def test_keys_in_pass_serve_and_are_no_argument_of_any_process(
    tmp_path: Path, sandbox: Sandbox, user_keys: PlainKeys
) -> None:
    secret = user_keys.pair.secret_access_key
    with tempfile.TemporaryDirectory(prefix="gpg") as place, password_store(Path(place)) as environ:
        home = Home(tmp_path, sandbox, {**environ, "RUNAS_KEYRING": "pass"})
        with CommandLines(secret) as watch:
            home.run("keys", "import", PROFILE)
        assert watch.found == []
        shown = subprocess.run(
            ["pass", "show", f"aws-runas/keys/{PROFILE}"], env=environ, capture_output=True, text=True, check=True
        )
        assert json.loads(shown.stdout)["SecretAccessKey"] == secret
        subprocess.run(  # people write notes below the first line
            ["pass", "insert", "--multiline", "--force", f"aws-runas/keys/{PROFILE}"],
            env=environ, input=f"{shown.stdout}user: me\nurl: https://console.example\n", text=True, check=True,
            capture_output=True,
        )  # fmt: skip
        assert "my-role" in home.run("whoami", "my-profile").stdout
        home.run("keys", "remove", "--yes", PROFILE)
        assert (
            "not in the password store"
            in subprocess.run(
                ["pass", "show", f"aws-runas/keys/{PROFILE}"], env=environ, capture_output=True, text=True, check=False
            ).stderr
        )


def test_a_gpg_key_that_nobody_can_unlock_is_a_locked_keyring(tmp_path: Path, sandbox: Sandbox) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="gpg") as place,
        password_store(Path(place), passphrase="canary") as environ,
    ):
        home = Home(tmp_path, sandbox, {**environ, "RUNAS_KEYRING": "pass"})
        before = home.credentials.read_text()
        # gpg stores with the public key alone; what was stored cannot be read back, so the file keeps its keys
        found = home.run("keys", "import", PROFILE, status=4)
        assert "gpg cannot open the password store of pass" in found.stderr
        assert "GPG_TTY" in found.stderr
        assert home.credentials.read_text() == before
        assert "sandbox-user" in home.run("whoami", PROFILE).stdout


def _vault_item(pair_of: PlainKeys) -> str:
    """An item as aws-vault writes it."""
    keys = {"AccessKeyID": pair_of.pair.access_key_id, "SecretAccessKey": pair_of.pair.secret_access_key,
            "SessionToken": "", "ProviderName": "", "CanExpire": False, "Expires": "0001-01-01T00:00:00Z"}  # fmt: skip
    data = base64.b64encode(json.dumps(keys).encode()).decode()
    return json.dumps({"Key": PROFILE, "Data": data, "Label": f"aws-vault ({PROFILE})", "Description": "aws-vault"})


def test_keys_of_aws_vault_in_pass_are_imported(tmp_path: Path, sandbox: Sandbox, user_keys: PlainKeys) -> None:
    with tempfile.TemporaryDirectory(prefix="gpg") as place, password_store(Path(place)) as environ:
        subprocess.run(
            ["pass", "insert", "-m", "-f", f"vault/{PROFILE}"],
            env=environ, input=_vault_item(user_keys).encode(), stdout=subprocess.DEVNULL, check=True,
        )  # fmt: skip
        home = Home(tmp_path, sandbox, {**environ, "RUNAS_KEYRING": "pass"})
        home.credentials.write_text("")
        variables = {"AWS_VAULT_BACKEND": "pass", "AWS_VAULT_PASS_PREFIX": "vault"}
        home.run("keys", "import", "--from", "aws-vault", PROFILE, variables=variables)
        assert "sandbox-user" in home.run("whoami", PROFILE).stdout
        found = home.run("keys", "import", "--from", "aws-vault", "my-other", status=4, variables=variables)
        assert "aws-vault has no keys for my-other" in found.stderr


def test_keys_of_aws_vault_in_the_secret_service_are_imported(
    tmp_path: Path, sandbox: Sandbox, user_keys: PlainKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    import secretstorage

    with tempfile.TemporaryDirectory(prefix="ring") as place, secret_service(Path(place), start=False) as service:
        collection_file = Path(service.environ["XDG_DATA_HOME"]) / "keyrings" / "awsvault.keyring"
        collection_file.parent.mkdir(mode=0o700)
        # a collection without a password: making one through D-Bus would ask for one on a desktop
        collection_file.write_text(
            "[keyring]\ndisplay-name=awsvault\nctime=0\nmtime=0\nlock-on-idle=false\nlock-after=false\n"
        )
        service.start()
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", service.environ["DBUS_SESSION_BUS_ADDRESS"])
        with closing(secretstorage.dbus_init()) as connection:
            collection = next(
                one for one in secretstorage.get_all_collections(connection) if one.get_label() == "awsvault"
            )
            collection.unlock()
            collection.create_item(
                PROFILE, {"profile": PROFILE}, _vault_item(user_keys).encode(), content_type="application/json"
            )
        home = Home(tmp_path, sandbox, service.environ)
        home.credentials.write_text("")
        home.run("keys", "import", "--from", "aws-vault", PROFILE)
        assert "sandbox-user" in home.run("whoami", PROFILE).stdout


def test_the_password_of_an_identity_provider_is_stored_and_forgotten(home: Home, service: SecretService) -> None:
    home.config.write_text(
        home.config.read_text()
        + f"\n[profile corp]\nsaml_auth_url = {SAML_URL}\nsaml_username = jo\nsaml_provider = form\n"
    )
    shown = home.type(["password", "corp"], [("Password of jo: ", "canary-pw"), ("The same again: ", "canary-pw")])
    assert shown.index("this stores the password for idp.example.com in the keyring") < shown.index("Password of jo")
    assert "canary" not in shown
    item = ("service", "aws-runas", "username", f"password/{SAML_URL}#jo")
    assert json.loads(service.secret_tool("lookup", *item).stdout) == {"Version": 1, "Secret": "canary-pw"}
    home.run("password", "corp", "--forget")
    assert service.secret_tool("lookup", *item).returncode == 1
    assert "--forget goes with" in home.run("password", "--forget", PROFILE, status=2).stderr
