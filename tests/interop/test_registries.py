"""A real registry under the name of an ECR registry: skopeo, podman and docker log in, push and pull.

The registry checks passwords by htpasswd. Its name exists nowhere, so the clients reach it through a proxy that
connects to it whatever they ask for. bcrypt looks at 72 bytes of a password.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import AWS_RUNAS
from tests.integration.forward.test_databases import client as aws_client
from tests.interop.test_databases_by_name import make_certificate
from tests.interop.test_forwarded_programs import running
from tests.support import requires
from tests.support.ports import free_port

PROFILE = "my-profile"
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
BCRYPT_BYTES = 72
TIMEOUT = 60.0  # seconds
HELPER = "docker-credential-aws-runas"


@dataclass
class Registry:
    """A running registry.

    Args:
        environ: for clients: the proxy, and the authority that they trust.
    """

    environ: dict[str, str]
    folder: Path

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=self.environ | environ, capture_output=True, text=True, timeout=TIMEOUT, check=False,
            stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def good(self, *words: str, **environ: str) -> str:
        done = self.run(*words, **environ)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def image(self) -> str:
        """Make an image without content, and return skopeo's name of it."""
        folder = self.folder / "image"
        if not folder.exists():
            write_image(folder)
        return f"oci:{folder}:app"


def write_image(folder: Path) -> None:
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def blob(value: object) -> dict[str, object]:
        data = json.dumps(value).encode()
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)}

    kind = "application/vnd.oci.image"
    settings = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": []}}
    config = blob(settings) | {"mediaType": f"{kind}.config.v1+json"}
    manifest = {"schemaVersion": 2, "mediaType": f"{kind}.manifest.v1+json", "config": config, "layers": []}
    entry = blob(manifest) | {
        "mediaType": f"{kind}.manifest.v1+json",
        "annotations": {"org.opencontainers.image.ref.name": "app"},
    }
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


@pytest.fixture(scope="module")
def proxy() -> Iterator[tuple[int, list[int]]]:
    """An HTTP proxy that connects to one port, whatever it is asked for; yields its own port, and a list with that."""
    target = [0]

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if not self.rfile.readline().startswith(b"CONNECT "):
                return
            while self.rfile.readline().strip():
                pass
            with socket.create_connection(("127.0.0.1", target[0])) as registry:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
                threading.Thread(target=_copy, args=(registry, self.connection), daemon=True).start()
                _copy(self.connection, registry)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server.server_address[1], target
        server.shutdown()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture(scope="module")
def registry(
    sandbox: Sandbox, proxy: tuple[int, list[int]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Registry]:
    program = requires.program("docker-registry")
    htpasswd = requires.program("htpasswd", package="apache2-utils")
    folder = tmp_path_factory.mktemp("registry")
    key, certificate = make_certificate(folder, HOST)
    password = aws_client(sandbox, "ecr").get_authorization_token()["authorizationData"][0]["authorizationToken"]
    secret = base64.b64decode(password).partition(b":")[2][:BCRYPT_BYTES]
    line = subprocess.run([htpasswd, "-Bin", "AWS"], input=secret, capture_output=True, check=True).stdout
    (folder / "htpasswd").write_bytes(line)
    port = free_port()
    (folder / "config.yml").write_text(
        f"""version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "127.0.0.1:{port}", tls: {{certificate: {certificate}, key: {key}}}}}
auth: {{htpasswd: {{realm: registry, path: {folder}/htpasswd}}}}
"""
    )
    proxy[1][0] = port
    home = folder / "home"
    home.mkdir()
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "vfs"\ngraphroot = "{folder}/containers"\nrunroot = "{folder}/run"\n'
    )
    environ = dict(sandbox.environ) | {
        "HOME": str(home),
        "RUNAS_CACHE_DIR": str(folder / "cache"),
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy[0]}",
        "SSL_CERT_FILE": str(certificate),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "XDG_RUNTIME_DIR": str(folder / "run"),
        "DOCKER_CONFIG": str(folder / "docker"),
    }
    with running([program, "serve", str(folder / "config.yml")], port, env=environ):
        yield Registry(environ, folder)


def test_skopeo_pushes_after_ecr_login(registry: Registry, tmp_path: Path) -> None:
    skopeo = requires.program("skopeo")
    authfile = str(tmp_path / "auth.json")
    anonymous = registry.run(skopeo, "copy", "-q", registry.image(), f"docker://{HOST}/app:1")
    assert "authentication required" in anonymous.stderr
    said = registry.good(*AWS_RUNAS, "ecr", "login", "--client", "skopeo", "--authfile", authfile, PROFILE)
    assert "Login Succeeded" in said
    registry.good(skopeo, "copy", "-q", "--authfile", authfile, registry.image(), f"docker://{HOST}/app:1")
    shown = json.loads(registry.good(skopeo, "inspect", "--authfile", authfile, f"docker://{HOST}/app:1"))
    assert shown["Name"] == f"{HOST}/app"


def test_skopeo_pulls_through_the_helper(registry: Registry, sandbox: Sandbox, tmp_path: Path) -> None:
    skopeo = requires.program("skopeo")
    authfile = tmp_path / "auth.json"
    authfile.write_text(json.dumps({"credHelpers": {HOST: "aws-runas"}}))
    where = {"REGISTRY_AUTH_FILE": str(authfile), "AWS_PROFILE": PROFILE}
    sandbox.control("forget-calls")
    registry.good(skopeo, "copy", "-q", registry.image(), f"docker://{HOST}/helped:1", **where)
    for _ in range(2):
        registry.good(skopeo, "inspect", f"docker://{HOST}/helped:1", **where)
    asked = [call["action"] for call in sandbox.calls if call["service"] == "ecr"]
    assert asked in (["GetAuthorizationToken"], [])  # none if a test before has left the token
    refused = registry.run(skopeo, "inspect", f"docker://{HOST}/helped:1", **where | {"AWS_PROFILE": "nobody"})
    assert refused.returncode != 0
    assert "profile nobody does not exist" in refused.stderr


def test_podman_logs_in_and_finds_the_helper(registry: Registry, tmp_path: Path) -> None:
    podman = requires.program("podman")
    authfile = str(tmp_path / "auth.json")
    said = registry.good(
        *AWS_RUNAS, "ecr", "login", "--client", "podman", "--authfile", authfile, PROFILE, "123456789012"
    )
    assert "Login Succeeded" in said
    assert registry.good(podman, "login", "--authfile", authfile, "--get-login", HOST) == "AWS\n"
    (tmp_path / "helped.json").write_text(json.dumps({"credHelpers": {HOST: "aws-runas"}}))
    helped = ("--authfile", str(tmp_path / "helped.json"))
    assert registry.good(podman, "login", *helped, "--get-login", HOST, AWS_PROFILE=PROFILE) == "AWS\n"


def test_podman_reads_that_a_registry_is_not_ours(registry: Registry, tmp_path: Path) -> None:
    """It compares the words of the answer, and goes on without credentials."""
    podman = requires.program("podman")
    authfile = tmp_path / "auth.json"
    authfile.write_text(json.dumps({"credHelpers": {"ghcr.io": "aws-runas"}}))
    done = registry.run(podman, "login", "--authfile", str(authfile), "--get-login", "ghcr.io", AWS_PROFILE=PROFILE)
    assert "not logged into ghcr.io" in done.stderr


# The default clients; Debian has docker's only together with its daemon, so it is a judge where it is installed.
@pytest.mark.parametrize("name", ["podman", "buildah", *(["docker"] if shutil.which("docker") else [])])
def test_client_logs_in_and_keeps_the_login_in_its_own_file(registry: Registry, tmp_path: Path, name: str) -> None:
    requires.program(name)
    # a file with an entry: without one, docker stores in pass if that is installed
    (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {"example.com": "aws-runas"}}))
    where = {"DOCKER_CONFIG": str(tmp_path), "REGISTRY_AUTH_FILE": str(tmp_path / "config.json")}
    registry.good(*AWS_RUNAS, "ecr", "login", "--client", name, PROFILE, **where)
    login = json.loads((tmp_path / "config.json").read_text())["auths"][HOST]["auth"]
    assert base64.b64decode(login).startswith(b"AWS:")


def test_failing_client_is_our_failure(registry: Registry, tmp_path: Path) -> None:
    requires.program("skopeo")
    done = registry.run(
        *AWS_RUNAS, "ecr", "login", "--client", "skopeo", "--authfile", f"{tmp_path}/auth.json", "my-profile-external"
    )  # the service gives every caller a password of its own, and the registry knows one
    assert done.returncode == 1
    assert "skopeo login to" in done.stderr
    assert not (tmp_path / "auth.json").exists()


def test_verbose_login_shows_no_password(registry: Registry, tmp_path: Path) -> None:
    skopeo = requires.program("skopeo")
    authfile = tmp_path / "auth.json"
    words = ["-vv", "ecr", "login", "--client", Path(skopeo).name, "--authfile", str(authfile), PROFILE]
    done = registry.run(*AWS_RUNAS, *words)
    assert done.returncode == 0
    login = json.loads(authfile.read_text())["auths"][HOST]["auth"]
    password = base64.b64decode(login).decode().partition(":")[2]
    assert "GetAuthorizationToken" in done.stderr
    assert not any(secret in done.stdout + done.stderr for secret in (login, password, password[:40]))


def test_pulls_that_start_together_cost_one_call(registry: Registry, sandbox: Sandbox, tmp_path: Path) -> None:
    environ = registry.environ | {"AWS_PROFILE": PROFILE, "RUNAS_CACHE_DIR": str(tmp_path / "cache")}
    (tmp_path / "address").write_text(f"{HOST}\n")
    sandbox.control("forget-calls")
    helpers = []
    for _ in range(8):
        with open(tmp_path / "address", "rb") as stdin:
            words = [str(Path(sys.executable).parent / HELPER), "get"]
            helpers.append(subprocess.Popen(words, stdin=stdin, stdout=subprocess.PIPE, env=environ))
    answers = {helper.communicate(timeout=TIMEOUT)[0] for helper in helpers}
    assert {helper.returncode for helper in helpers} == {0}
    assert len(answers) == 1
    made = sorted(call["action"] for call in sandbox.calls)
    assert made == ["AssumeRole", "GetAuthorizationToken", "GetSessionToken"]


def test_closed_input_is_no_address() -> None:
    words = ["sh", "-c", f"exec {Path(sys.executable).parent / HELPER} get <&-"]
    done = subprocess.run(words, capture_output=True, timeout=TIMEOUT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"no credentials server URL\n", b"")


MODELS = ("docker-credential-secretservice", "docker-credential-pass")
BAD_INPUT: list[tuple[tuple[str, ...], bytes]] = [
    ((), b""),
    (("get", "x"), b""),
    (("nonsense",), b""),
    (("get",), b""),
    (("get",), b"\n"),
    (("get",), b"  \n"),
]


@pytest.mark.parametrize("model", MODELS)
def test_helper_answers_bad_input_as_others_do(model: str, tmp_path: Path) -> None:
    program = requires.program(model, package="golang-docker-credential-helpers")
    ours = str(Path(sys.executable).parent / HELPER)
    environ = {"HOME": str(tmp_path), "PATH": f"{Path(ours).parent}:{os.environ['PATH']}"}

    def ask(name: str, words: tuple[str, ...], data: bytes) -> tuple[int, bytes]:
        done = subprocess.run(
            [Path(name).name, *words], input=data, env=environ, capture_output=True, timeout=TIMEOUT, check=False
        )
        return done.returncode, done.stdout.replace(os.fsencode(Path(name).name), b"NAME")

    for words, data in BAD_INPUT:
        assert ask(ours, words, data) == ask(program, words, data), (words, data)
