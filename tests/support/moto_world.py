"""A small AWS (moto) on loopback for one test process, and our own Access to it with every call written down."""

from __future__ import annotations

import contextlib
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import botocore.session
from moto.server import ThreadedMotoServer

from aws_runas.aws.access import Access
from aws_runas.config.overrides import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.signin.context import RunContext

REGION = "eu-west-1"
ACCOUNT = "123456789012"
KEYS = {  # temporary ones, so that no GetSessionToken stands among the calls
    "AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMIbPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "token",
}


@dataclass
class MotoWorld:
    """The server, and what it was asked through `access`.

    Args:
        url: of every service.
        home: a home directory with nothing in it but what a test writes.
        calls: ``service Operation`` of each call, in order.
    """

    url: str
    home: Path
    calls: list[str] = field(default_factory=list)

    def client(self, service: str, **keys: str) -> Any:
        """A plain botocore client, to set the scene with."""
        return botocore.session.Session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=keys.get("access_key", "AKIAADMINADMIN000000"),
            aws_secret_access_key=keys.get("secret_key", "secret"),
        )

    def environ(self, **more: str) -> dict[str, str]:
        """Variables that lead a process of ours here and nowhere else."""
        return {
            **KEYS,
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_CONFIG_FILE": str(self.home / ".aws" / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.home / ".aws" / "credentials"),
            "RUNAS_RESOLV_CONF": "/dev/null",
            "RUNAS_DNS_SERVER": "127.0.0.1:9",
            "HOME": str(self.home),
            **more,
        }

    def access(self, profile: str | None = None, environ: Mapping[str, str] | None = None) -> Access:
        """Open a profile as the command line does."""
        return open_access(
            profile,
            Overrides(),
            RunContext(
                environ=self.environ() if environ is None else environ,
                home=self.home,
                now=time.time,
                warn=self.calls.append,
                trace=self._note,
            ),
            Prompts(lambda _: "123456"),
        )

    def _note(self, line: str) -> None:
        if line.startswith("calling "):
            self.calls.append(line.removeprefix("calling "))


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """Start moto; its address."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def reset(url: str) -> None:
    """Empty every service."""
    request = urllib.request.Request(f"{url}/moto-api/reset", method="POST")
    with urllib.request.urlopen(request, timeout=10):
        pass
