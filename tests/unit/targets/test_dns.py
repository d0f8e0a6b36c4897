"""Questions to a real name server (dnsmasq) on loopback, and to servers that fail."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import pytest

from aws_runas.errors import ConfigError
from aws_runas.targets.by_dns import ids_in
from aws_runas.targets.dns import NoAnswer, Questions
from tests.support.name_server import dnsmasq

LONG = [f"filler number {number:02} " + "x" * 200 for number in range(8)]  # 1.7 kB: no UDP answer holds that
RECORDS = [
    "--local=/example.test/",
    "--host-record=web.example.test,10.1.2.3,2001:db8::7",
    "--host-record=six.example.test,2001:db8::6",
    "--address=/two.example.test/10.0.0.1",
    "--cname=alias.example.test,web.example.test",
    "--txt-record=id.example.test,i-0123456789abcdef0",
    '--txt-record=quoted.example.test,"""i-deadbeef"""',
    "--txt-record=split.example.test,i-0123,456789abcdef0",
    "--txt-record=many.example.test,v=spf1 -all",
    "--txt-record=many.example.test,i-aaaaaaaa",
    "--txt-record=many.example.test,i-bbbbbbbb",
    *(f"--txt-record=long.example.test,{text}" for text in LONG),
    "--txt-record=long.example.test,i-0cccccccc",
]


class Upstream:
    """A name server that answers SERVFAIL, or never."""

    def __init__(self, *, answers: bool) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.questions = 0
        self._answers = answers
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                data, address = self.socket.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            self.questions += 1
            if self._answers:
                reply = dns.message.make_response(dns.message.from_wire(data))
                reply.set_rcode(dns.rcode.SERVFAIL)
                self.socket.sendto(reply.to_wire(), address)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        self.socket.close()


@contextlib.contextmanager
def upstream(*, answers: bool) -> Iterator[Upstream]:
    server = Upstream(answers=answers)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address and port of a dnsmasq with our records; what it forwards gets SERVFAIL."""
    with (
        upstream(answers=True) as broken,
        dnsmasq([f"--server=/broken.test/127.0.0.1#{broken.port}", *RECORDS]) as address,
    ):
        yield address


@pytest.fixture
def questions(server: str) -> Questions:
    return Questions({"RUNAS_DNS_SERVER": server, "RUNAS_RESOLV_CONF": "/dev/null"})


def test_both_kinds_of_address_are_found(questions: Questions) -> None:
    assert questions.addresses("web.example.test") == ["10.1.2.3", "2001:db8::7"]
    assert questions.addresses("six.example.test") == ["2001:db8::6"]


def test_an_alias_is_followed(questions: Questions) -> None:
    assert questions.addresses("alias.example.test") == ["10.1.2.3", "2001:db8::7"]


def test_a_text_record_gives_its_instance_id(questions: Questions) -> None:
    assert ids_in(questions.texts("id.example.test")) == ["i-0123456789abcdef0"]


def test_quotes_in_a_text_are_passed_over(questions: Questions) -> None:
    assert questions.texts("quoted.example.test") == [('"""i-deadbeef"""',)]
    assert ids_in(questions.texts("quoted.example.test")) == ["i-deadbeef"]


def test_the_strings_of_a_record_are_joined(questions: Questions) -> None:
    assert ids_in(questions.texts("split.example.test")) == ["i-0123456789abcdef0"]


def test_every_record_is_read(questions: Questions) -> None:
    assert sorted(ids_in(questions.texts("many.example.test"))) == ["i-aaaaaaaa", "i-bbbbbbbb"]


def test_a_truncated_answer_is_asked_for_again_over_tcp(questions: Questions, server: str) -> None:
    port = int(server.rpartition(":")[2])
    cut = dns.query.udp(dns.message.make_query("long.example.test", "TXT"), "127.0.0.1", timeout=5, port=port)
    assert cut.flags & dns.flags.TC
    assert len(questions.texts("long.example.test")) == len(LONG) + 1
    assert ids_in(questions.texts("long.example.test")) == ["i-0cccccccc"]


def test_search_domains_of_the_system_complete_a_short_name(server: str, tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("search nowhere.example.test example.test\nnameserver 192.0.2.1\n")
    questions = Questions({"RUNAS_DNS_SERVER": server, "RUNAS_RESOLV_CONF": str(file)})
    assert questions.addresses("web") == ["10.1.2.3", "2001:db8::7"]
    assert ids_in(questions.texts("id")) == ["i-0123456789abcdef0"]


def test_an_unknown_name_is_said_to_be_unknown(questions: Questions) -> None:
    with pytest.raises(NoAnswer, match=r"^no such name in DNS$"):
        questions.addresses("unknown.example.test")


def test_a_name_without_such_a_record_is_told_from_an_unknown_one(questions: Questions) -> None:
    with pytest.raises(NoAnswer, match=r"^no A record; no AAAA record$"):
        questions.addresses("id.example.test")
    with pytest.raises(NoAnswer, match=r"^no TXT record$"):
        questions.texts("web.example.test")


def test_a_failing_server_is_named_by_its_answer(questions: Questions) -> None:
    with pytest.raises(NoAnswer, match=r"^the name server failed \(SERVFAIL\)$"):
        questions.texts("x.broken.test")


def test_a_refused_question_is_named_by_its_answer(questions: Questions) -> None:
    with pytest.raises(NoAnswer, match=r"^the name server failed \(REFUSED\)$"):
        questions.texts("x.elsewhere.test")


def test_a_silent_server_is_waited_for_once() -> None:
    with upstream(answers=False) as silent:
        environ = {"RUNAS_DNS_SERVER": f"127.0.0.1:{silent.port}", "RUNAS_RESOLV_CONF": "/dev/null"}
        questions = Questions(environ, lifetime=0.3)
        for ask in (questions.addresses, questions.texts):
            with pytest.raises(NoAnswer, match=r"^no name server answered within 0\.3 s$"):
                ask("web.example.test")
        asked = silent.questions
        with pytest.raises(NoAnswer):
            questions.texts("id.example.test")
        assert silent.questions == asked


def test_a_machine_without_a_name_server_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(NoAnswer, match=r"no name server set"):
        Questions({"RUNAS_RESOLV_CONF": str(tmp_path / "missing")}).addresses("web")


@pytest.mark.parametrize("name", ["a..b", "x" * 64, "\udcff"])
def test_a_name_that_dns_cannot_hold_is_no_crash(questions: Questions, name: str) -> None:
    with pytest.raises(NoAnswer):
        questions.addresses(name)


@pytest.mark.parametrize("server", ["nowhere", "127.0.0.1:x", "[::1", "::1]:53"])
def test_a_server_that_is_no_address_is_refused(server: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Questions({"RUNAS_DNS_SERVER": server, "RUNAS_RESOLV_CONF": "/dev/null"}).addresses("web")
    assert raised.value.code == "dns-server-invalid"


@pytest.mark.parametrize(
    ("records", "ids"),
    [
        ([("i-deadbeef",)], ["i-deadbeef"]),
        ([("I-DEADBEEF",)], ["i-deadbeef"]),
        ([("instance-id=i-deadbeef",)], ["i-deadbeef"]),
        ([("i-aaaaaaaa, i-bbbbbbbb",)], ["i-aaaaaaaa", "i-bbbbbbbb"]),
        ([("i-aaaaaaaa ", "i-bbbbbbbb")], ["i-aaaaaaaa", "i-bbbbbbbb"]),
        ([("i-aaaaaaaa", "note")], ["i-aaaaaaaa"]),
        ([("mi-0123456789abcdef0",)], ["mi-0123456789abcdef0"]),
        ([("i-aaaaaaaa",), ("i-aaaaaaaa",)], ["i-aaaaaaaa"]),
        ([("v=spf1 include:i-deadbeef.example.com",)], []),
        ([("",)], []),
    ],
)
def test_ids_are_found_in_texts_of_any_shape(records: list[tuple[str, ...]], ids: list[str]) -> None:
    assert ids_in(records) == ids


def test_a_silent_server_leaves_time_for_the_next_within_a_short_lifetime(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 127.0.0.1\nnameserver 127.0.0.2\n")
    resolver = Questions({"RUNAS_RESOLV_CONF": str(path)}, lifetime=1)._configured()
    assert resolver.timeout == 0.5
    assert Questions({"RUNAS_RESOLV_CONF": str(path)})._configured().timeout == 2


@pytest.mark.parametrize("path", ["/dev/zero", "/nonexistent/resolv.conf", "/"])
def test_settings_that_cannot_be_read_are_no_settings(path: str) -> None:
    with pytest.raises(NoAnswer, match="this machine has no name server set"):
        Questions({"RUNAS_RESOLV_CONF": path}).texts("web")
