"""Replies of the instance: any bytes are replies or one error; pieces make no difference."""

from __future__ import annotations

import asyncio
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_runas.errors import SessionError
from aws_runas.ssm.copy import file_server, protocol
from aws_runas.ssm.copy.files import REPLY_WAIT, RemoteFiles
from aws_runas.ssm.copy.posix_files import PosixFiles
from aws_runas.ssm.copy.protocol import CopyError, Reply, ReplyParser, encode_request, unpack_entries
from tests.support.quick_loop import QuickLoop


def _reply(values: object, data: bytes) -> bytes:
    header = json.dumps(values).encode()
    return b"%d %d\n%b%b" % (len(header), len(data), header, data)


@given(st.lists(st.tuples(st.dictionaries(st.text(max_size=5), st.integers()), st.binary(max_size=50)), max_size=4))
def test_replies_pass_in_any_pieces(replies: list[tuple[dict[str, int], bytes]]) -> None:
    data = b"".join(_reply(*reply) for reply in replies)
    parser = ReplyParser()
    parsed = [reply for at in range(len(data)) for reply in parser.receive_data(data[at : at + 1])]
    assert parsed == replies


@given(st.binary(max_size=200))
def test_any_bytes_are_replies_or_the_one_error(data: bytes) -> None:
    parser = ReplyParser()
    try:
        replies: list[Reply] = parser.receive_data(data)
    except CopyError as error:
        assert error.code == "helper-failed"  # noqa: PT017 - the error is the expectation
    else:
        assert all(isinstance(values, dict) for values, _ in replies)


@pytest.mark.parametrize("data", [b"x 1\n", b"1\n", b"99999999999 0\n", b"1" * 70, b"2 0\n[]", b"2 0\n{x"])
def test_a_damaged_reply_is_an_error(data: bytes) -> None:
    with pytest.raises(CopyError):
        ReplyParser().receive_data(data)


@given(
    st.dictionaries(
        st.sampled_from(["op", "path", "files", "size", "part", "token"]), st.none() | st.text() | st.integers()
    )
)
def test_any_request_gets_a_reply(request: dict[str, object]) -> None:
    values, data = file_server.handle({**request, "op": "stat"}, b"")
    assert "entry" in values or "error" in values
    assert data == b""
    unknown, _ = file_server.handle({"op": "no-such"}, b"")
    assert unknown["error"] == "invalid"
    assert encode_request("stat", {"path": "\udcff"}).isascii()


ENTRY = {"name": "a\nb", "kind": "file", "size": 1}


def _listed(data: bytes) -> list[dict[str, object]]:
    return list(unpack_entries(zlib.compress(data)))


def test_a_list_of_many_entries_is_read_as_it_was_packed() -> None:
    entries = [ENTRY | {"size": number} for number in range(5000)]
    assert list(unpack_entries(file_server.pack_entries(entries))) == entries
    assert _listed(b"") == []


@pytest.mark.parametrize("data", [b"[]\n", b"x\n", b"1\n", b'{"name": "' + b"a" * 200_000, b"[" * 100_000 + b"\n"])
def test_a_list_that_is_none_is_an_error(data: bytes) -> None:
    with pytest.raises(SessionError, match="damaged"):
        _listed(data)


def test_a_list_that_is_cut_short_is_an_error() -> None:
    whole = file_server.pack_entries([ENTRY] * 100)
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        with pytest.raises(SessionError, match="damaged"):
            list(unpack_entries(whole[:length]))


def test_a_list_without_end_is_an_error_while_it_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million of the shortest entries are some kilobytes on the wire, and a gigabyte of objects here."""
    monkeypatch.setattr(protocol, "WALK_LIMIT", 100_000)
    taken = unpack_entries(zlib.compress(b"{}\n" * 100_000))
    assert [next(taken) for _ in range(1000)] == [{}] * 1000
    with pytest.raises(SessionError, match="damaged"):
        next(taken)


class Silent:
    """Implements ByteLink to an instance that says nothing, or one byte now and then."""

    def __init__(self, bytes_left: int) -> None:
        self.files: RemoteFiles | PosixFiles
        self.bytes_left = bytes_left

    async def send(self, data: bytes) -> None:
        self._tick()

    def _tick(self) -> None:
        if self.bytes_left:
            self.bytes_left -= 1
            self.files.receive_data(b"1")
            asyncio.get_running_loop().call_later(REPLY_WAIT * 0.9, self._tick)


@pytest.mark.parametrize("kind", [RemoteFiles, PosixFiles])
def test_an_instance_that_says_nothing_for_ten_minutes_has_lost_its_session(
    kind: type[RemoteFiles | PosixFiles],
) -> None:
    async def scene(bytes_left: int) -> tuple[str, float]:
        link = Silent(bytes_left)
        link.files = files = kind(link)
        if isinstance(files, PosixFiles):
            files.receive_data(b"posix 1 gzip \n")
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(SessionError) as caught:
            await files.call("info")
        return caught.value.message, loop.time() - began

    with asyncio.Runner(loop_factory=QuickLoop) as runner:
        message, seconds = runner.run(scene(0))
        assert message == "the instance has not answered for 600 s"
        assert seconds <= 2 * REPLY_WAIT
        _, slow = runner.run(scene(10))
        assert slow >= 9 * REPLY_WAIT  # a slow answer may take any time
