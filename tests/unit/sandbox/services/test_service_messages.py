"""The service's own messages beside recorded ones: same header, same keys, same padding."""

from __future__ import annotations

import json

import pytest

from aws_runas.sandbox.options import PUBLICATION_FORMS
from aws_runas.sandbox.services.service_messages import channel_closed, publication
from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.events import ChannelClosed, PublicationPaused
from aws_runas.ssm.core.message import decode_message

RECORDED_HEAD = bytes.fromhex("0000007070617573655f7075626c69636174696f6e") + bytes(15) + bytes.fromhex("00000001")
RECORDED_FLAGS = bytes(15) + b"\x03"


def client() -> Channel:
    channel = Channel(
        Role.CLIENT,
        session_id="s",
        target="i-1",
        settings=ChannelSettings(),
        random_bytes=bytes,
        wall_clock=lambda: 1,
    )
    channel.connect("token", 0.0)
    return channel


def test_header_of_a_publication_message_is_that_of_the_recorded_ones() -> None:
    message = publication("pause_publication", "user-1", "json")
    assert message[:40] == RECORDED_HEAD
    assert message[48:64] == RECORDED_FLAGS
    assert int.from_bytes(message[112:116], "big") == len(message) - 116
    assert list(json.loads(message[116:])) == ["CreatedDate", "MessageId", "MessageType", "SchemaVersion", "SessionId"]


def test_channel_closed_says_who_and_why() -> None:
    message = decode_message(channel_closed("user-1", "i-1", "Something went wrong"))
    assert (message.header_length, message.padding, message.flags) == (112, b"\0", 3)
    values = json.loads(message.payload)
    assert (values["DestinationId"], values["SessionId"], values["Output"]) == ("i-1", "user-1", "Something went wrong")


def test_client_understands_channel_closed() -> None:
    channel = client()
    channel.receive_message(channel_closed("s", "i-1", "bye"), 0.0)
    assert ChannelClosed("bye") in channel.events(0.0)


@pytest.mark.parametrize("form", PUBLICATION_FORMS)
def test_client_understands_every_form_of_a_pause(form: str) -> None:
    channel = client()
    channel.receive_message(publication("pause_publication", "s", form), 0.0)
    assert PublicationPaused() in channel.events(0.0)


def test_wrong_digest_form_has_a_wrong_digest_and_a_length_in_the_other_byte_order() -> None:
    good, wrong = publication("start_publication", "s", "json"), publication("start_publication", "s", "wrong-digest")
    assert len(good) == len(wrong)
    assert int.from_bytes(wrong[112:116], "little") == len(wrong) - 116
