"""The Kubernetes client for Python runs our exec plugin against a cluster that checks tokens as EKS does."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pexpect
import pytest

from aws_runas.sandbox.world import Sandbox
from tests.integration.conftest import AWS_RUNAS
from tests.support import requires
from tests.support.certificates import Certificates
from tests.support.iam_authenticator import Refused, verify
from tests.support.loopback import Quiet, serving

CLUSTER = "my-cluster"
PROFILE = "my-profile"
VERSION = {"major": "1", "minor": "30", "gitVersion": "v1.30.0", "gitCommit": "", "gitTreeState": "clean"}
VERSION |= {"buildDate": "2026-01-01T00:00:00Z", "goVersion": "go1.22", "compiler": "gc", "platform": "linux/amd64"}


def get(address: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address, headers=dict(headers)), timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


class Cluster:
    """An API server with one resource, and the callers that it has let in."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.hosts = {urlsplit(sandbox.endpoint).netloc}
        self.callers: list[str] = []
        self.url = ""
        self.authority: Path | None = None

    def authenticate(self, authorization: str) -> bool:
        try:
            token = authorization.removeprefix("Bearer ")
            self.callers.append(verify(token, CLUSTER, self.hosts, get, time.time()))
        except Refused:
            return False
        return True


@pytest.fixture
def cluster(sandbox: Sandbox) -> Iterator[Cluster]:
    with running_cluster(sandbox) as found:
        yield found


@pytest.fixture
def safe_cluster(sandbox: Sandbox, tmp_path: Path) -> Iterator[Cluster]:
    """The cluster behind TLS: kubectl asks no exec plugin otherwise."""
    certificates = Certificates(tmp_path)
    with running_cluster(sandbox, certificates.server) as found:
        found.authority = certificates.authority
        yield found


@contextlib.contextmanager
def running_cluster(sandbox: Sandbox, tls: ssl.SSLContext | None = None) -> Iterator[Cluster]:
    found = Cluster(sandbox)

    class Handler(Quiet):
        def do_GET(self) -> None:  # noqa: N802
            accepted = found.authenticate(self.headers.get("Authorization", ""))
            body = json.dumps(VERSION if accepted else {}).encode()
            self.answer(200 if accepted else 401, body, Content_Type="application/json")

    with serving(Handler, tls) as found.url:
        yield found


@pytest.fixture
def kubernetes() -> Any:
    try:
        import kubernetes
        import kubernetes.config
    except ImportError:
        requires.missing("needs the package kubernetes; `make interop` installs it")
    return kubernetes


def kubeconfig(cluster: Cluster, environ: Mapping[str, str], version: str, *words: str, info: bool) -> dict[str, Any]:
    command = [*AWS_RUNAS, "token", "eks", *words]
    plugin = {
        "apiVersion": f"client.authentication.k8s.io/{version}",
        "command": command[0],
        "args": command[1:],
        "env": [{"name": name, "value": value} for name, value in environ.items()],
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": info,
    }
    authority = {"certificate-authority": str(cluster.authority)} if cluster.authority else {}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": cluster.url, **authority}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"exec": plugin}}],
    }


def version_of(kubernetes: Any, config: dict[str, Any]) -> str:
    api = kubernetes.config.new_client_from_config_dict(config)
    code = kubernetes.client.VersionApi(api).get_code()
    return str(code.git_version)


def test_client_gets_in_with_each_version_of_the_credential(
    sandbox: Sandbox, cluster: Cluster, kubernetes: Any, tmp_path: Path
) -> None:
    environ = dict(sandbox.environ) | {"HOME": str(tmp_path), "RUNAS_CACHE_DIR": str(tmp_path / "cache")}
    sandbox.control("forget-calls")
    for version in ("v1", "v1beta1", "v1"):
        for info in (False, True):
            config = kubeconfig(cluster, environ, version, PROFILE, CLUSTER, info=info)
            assert version_of(kubernetes, config) == "v1.30.0"
    assert all(":assumed-role/my-role/" in caller for caller in cluster.callers)
    assert len(cluster.callers) == 6
    made = [call["action"] for call in sandbox.calls if call["action"] != "GetCallerIdentity"]
    assert sorted(made) == ["AssumeRole", "GetSessionToken"]  # once, for all of them


def test_client_shows_what_is_wrong(
    sandbox: Sandbox, cluster: Cluster, kubernetes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    environ = dict(sandbox.environ)
    config = kubeconfig(cluster, environ, "v1", "nobody", CLUSTER, info=False)
    with pytest.raises(kubernetes.client.ApiException):  # it goes on without credentials
        version_of(kubernetes, config)
    assert "exec: process returned 3. aws-runas: profile nobody does not exist" in caplog.text
    config = kubeconfig(cluster, environ, "v1", PROFILE, "other-cluster", info=False)
    with pytest.raises(kubernetes.client.ApiException) as caught:
        version_of(kubernetes, config)
    assert caught.value.status == 401
    assert cluster.callers == []


def run_kubectl(directory: Path, config: dict[str, Any]) -> Any:
    """Ask the cluster for its version at a terminal; returns the ended child."""
    kubectl = requires.program("kubectl", package="kubernetes-client")
    path = directory / "kubeconfig"
    path.write_text(json.dumps(config))  # JSON is YAML
    variables = {"PATH": os.environ["PATH"], "HOME": str(directory), "KUBECONFIG": str(path)}
    words = ["get", "--raw", "/version", "--request-timeout=30s"]
    return pexpect.spawn(kubectl, words, env=variables, timeout=60, encoding="utf-8")


@pytest.mark.parametrize("mode", ["IfAvailable", "Never", "Always"])
def test_kubectl_gets_in_in_every_interactive_mode(
    sandbox: Sandbox, safe_cluster: Cluster, tmp_path: Path, mode: str
) -> None:
    environ = dict(sandbox.environ) | {"RUNAS_CACHE_DIR": str(tmp_path / "cache")}
    config = kubeconfig(safe_cluster, environ, "v1beta1", PROFILE, CLUSTER, info=True)
    config["users"][0]["user"]["exec"]["interactiveMode"] = mode
    child = run_kubectl(tmp_path, config)
    child.expect_exact('"gitVersion": "v1.30.0"')
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert {caller.split(":")[-1].split("/")[1] for caller in safe_cluster.callers} == {"my-role"}


@pytest.mark.parametrize("mode", ["IfAvailable", "Never"])
def test_a_code_is_asked_through_kubectl_where_it_hands_over_the_terminal(
    sandbox: Sandbox, safe_cluster: Cluster, tmp_path: Path, mode: str
) -> None:
    environ = dict(sandbox.environ) | {"RUNAS_CACHE_DIR": str(tmp_path / "cache")}
    config = kubeconfig(safe_cluster, environ, "v1beta1", "my-profile-mfa", CLUSTER, info=False)
    config["users"][0]["user"]["exec"]["interactiveMode"] = mode
    child = run_kubectl(tmp_path, config)
    child.expect("MFA code for .*: ")
    child.sendline(sandbox.mfa_code())
    child.expect_exact('"gitVersion": "v1.30.0"')
    child.expect(pexpect.EOF)
    assert ":assumed-role/my-role-mfa/" in safe_cluster.callers[-1]


def test_a_sign_in_never_starts_below_kubectl_and_its_command_is_shown(
    sandbox: Sandbox, safe_cluster: Cluster, tmp_path: Path
) -> None:
    environ = dict(sandbox.environ) | {"RUNAS_CACHE_DIR": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    window = tmp_path / "window"
    environ["RUNAS_BROWSER"] = f"touch {window}"
    config = kubeconfig(safe_cluster, environ, "v1beta1", "sandbox-sso", CLUSTER, info=False)
    child = run_kubectl(tmp_path, config)
    child.expect_exact("run: aws-runas login sandbox-sso")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 1
    assert not window.exists()
    assert safe_cluster.callers == []
