"""dnsmasq on loopback with records of a test's own."""

from __future__ import annotations

import contextlib
import getpass
import subprocess
import time
from collections.abc import Iterator, Sequence

import dns.exception
import dns.message
import dns.query
import pytest

from tests.support import requires
from tests.support.ports import free_port


@contextlib.contextmanager
def dnsmasq(records: Sequence[str]) -> Iterator[str]:
    """Start dnsmasq; address and port of it.

    Args:
        records: its flags for records, such as ``--host-record=web.example.test,10.1.2.3``.
    """
    program = requires.program("dnsmasq", package="dnsmasq-base")
    for _ in range(5):
        port = free_port()
        words = [program, "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--no-resolv", "--no-hosts"]
        words += [f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces", f"--user={getpass.getuser()}"]
        process = subprocess.Popen(
            [*words, "--log-facility=-", *records], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            if _answers(process, port):
                yield f"127.0.0.1:{port}"
                return
        finally:
            process.terminate()
            process.wait(10)
    pytest.fail("dnsmasq did not start")


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + 10
    question = dns.message.make_query("web.example.test", "A")
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(dns.exception.Timeout, OSError):
            dns.query.udp(question, "127.0.0.1", timeout=0.2, port=port)
            return True
    return False
