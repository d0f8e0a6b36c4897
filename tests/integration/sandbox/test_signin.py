"""The sandbox's sign-in service as a judge: what it refuses. botocore itself is judged by it in tests/interop."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from aws_runas.aws.signin import load_key, proof
from aws_runas.sandbox.world import Sandbox


class Client:
    """A login, and requests made by hand for it."""

    def __init__(self, sandbox: Sandbox, directory: Path) -> None:
        sandbox.sign_in(directory)
        (path,) = directory.iterdir()
        self.values: dict[str, Any] = json.loads(path.read_text())
        self.url = f"{sandbox.endpoint}/v1/token"
        self.key = load_key(self.values["dpopKey"], "")

    def proof(self, **other: Any) -> str:
        parts: dict[str, Any] = {
            "key": self.key,
            "method": "POST",
            "url": self.url,
            "now": int(time.time()),
            "identifier": "1",
        } | other
        return proof(**parts)

    def post(self, header: str, **other: str) -> tuple[int, dict[str, Any]]:
        names = ("clientId", "refreshToken")
        values = {"grantType": "refresh_token"} | {name: self.values[name] for name in names} | other
        request = urllib.request.Request(self.url, json.dumps(values).encode(), {"DPoP": header})
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return reply.status, json.load(reply)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


@pytest.fixture
def client(sandbox: Sandbox, tmp_path: Path) -> Client:
    return Client(sandbox, tmp_path / "logins")


def test_a_proof_is_good_once_for_one_address_and_one_key(client: Client) -> None:
    good = client.proof(identifier=f"once-{client.values['refreshToken'][-9:]}")
    status, answer = client.post(good)
    assert (status, answer["tokenType"], answer["expiresIn"]) == (200, "aws_sigv4", 900)
    client.values["refreshToken"] = answer["refreshToken"]
    status, answer = client.post(good)
    assert (status, answer["error"]) == (400, "INVALID_REQUEST")
    assert "used before" in answer["message"]


def _changed(text: str) -> str:
    head, claims, signature = text.split(".")
    return f"{head}.{claims}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


WRONG: dict[str, Callable[[Client], str]] = {
    "none": lambda _: "",
    "no token": lambda _: "a.b.c",
    "changed signature": lambda client: _changed(client.proof()),
    "another method": lambda client: client.proof(method="GET"),
    "another address": lambda client: client.proof(url=client.url + "/other"),
    "old": lambda client: client.proof(now=int(time.time()) - 400),
    "ahead": lambda client: client.proof(now=int(time.time()) + 400),
    "without id": lambda client: client.proof(identifier=""),
    "padded": lambda client: client.proof() + "==",
}


@pytest.mark.parametrize("case", list(WRONG))
def test_a_wrong_proof_is_refused_and_uses_nothing_up(client: Client, case: str) -> None:
    status, answer = client.post(WRONG[case](client))
    assert (status, answer["error"]) == (400, "INVALID_REQUEST")
    assert client.post(client.proof(identifier=f"{case} {time.time()}"))[0] == 200


def test_a_token_of_another_key_or_used_before_is_refused(client: Client) -> None:
    stolen = client.proof(key=ec.generate_private_key(ec.SECP256R1()), identifier=f"stolen {time.time()}")
    assert client.post(stolen)[1]["error"] == "TOKEN_EXPIRED"
    used = client.proof(identifier=f"used {time.time()}")
    assert client.post(used)[1]["error"] == "TOKEN_EXPIRED"
