"""Measures the cost of a kilobyte: our codec and channel compared with a plain version using struct, json and uuid.

Run: .venv/bin/python -m bench.codec
"""

from __future__ import annotations

import hashlib
import os
import statistics
import time
import uuid
from collections.abc import Callable

from tests.core import naive
from websockets.frames import Frame, Opcode

from aws_runas.ssm.core.channel import Channel, ChannelSettings, Role
from aws_runas.ssm.core.message import (
    INPUT_STREAM_DATA,
    OUTPUT_STREAM_DATA,
    AcknowledgeEncoder,
    DataEncoder,
    MessageIds,
    decode_message,
    read_plain_acknowledgement,
)
from aws_runas.ssm.transport.framing import frame_encoder
from bench.results import Results

MESSAGES = 20_000
PAYLOAD = os.urandom(1024)
REPEATS = 5
UPLOAD = "the whole channel, upload: cut, encode, store, acknowledgement taken"
DOWNLOAD = "the whole channel, download: decode, check, order, acknowledge"


def microseconds(work: Callable[[int], None], count: int = MESSAGES) -> float:
    """Return the median CPU microseconds of one of `count` pieces of work."""
    times = []
    for _ in range(REPEATS):
        began = time.process_time()
        work(count)
        times.append((time.process_time() - began) / count * 1e6)
    return statistics.median(times)


def naive_encode(count: int) -> None:
    for number in range(count):
        naive.build("input_stream_data", number, PAYLOAD, payload_type=1, flags=0, message_id=uuid.uuid4())


def our_encode(count: int) -> None:
    encode = DataEncoder(INPUT_STREAM_DATA, MessageIds(os.urandom)).encode
    for number in range(count):
        encode(number, 0, 1, PAYLOAD, 1_700_000_000_000)


DATA = naive.build("output_stream_data", 7, PAYLOAD, payload_type=1, flags=0)
DATA_FIELDS = naive.parse(DATA)
ACKNOWLEDGEMENT = naive.build_acknowledgement(naive.parse(naive.build("input_stream_data", 7, PAYLOAD)))


def naive_decode(count: int) -> None:
    for _ in range(count):
        message = naive.parse(DATA)
        if hashlib.sha256(message.payload).digest() != message.digest:
            raise ValueError


def our_decode(count: int) -> None:
    for _ in range(count):
        decode_message(DATA)


def naive_encode_acknowledgement(count: int) -> None:
    for _ in range(count):
        naive.build_acknowledgement(DATA_FIELDS)


def our_encode_acknowledgement(count: int) -> None:
    encode = AcknowledgeEncoder(OUTPUT_STREAM_DATA, MessageIds(os.urandom)).encode
    for number in range(count):
        encode(number, DATA[64:80], 1_700_000_000_000)


def naive_decode_acknowledgement(count: int) -> None:
    for _ in range(count):
        message = naive.parse(ACKNOWLEDGEMENT)
        if hashlib.sha256(message.payload).digest() != message.digest:
            raise ValueError
        naive.parse_acknowledgement(ACKNOWLEDGEMENT)


def our_decode_acknowledgement(count: int) -> None:
    for _ in range(count):
        read_plain_acknowledgement(ACKNOWLEDGEMENT)


def websockets_frame(count: int) -> None:
    for _ in range(count):
        Frame(Opcode.BINARY, DATA).serialize(mask=True)


def our_frame(count: int) -> None:
    encode = frame_encoder(masked=True)
    for _ in range(count):
        encode(DATA)


def make(role: Role) -> Channel:
    """Return a started channel without pacing."""
    settings = ChannelSettings(frame_rate=None, window_bytes=None, handshake=False)
    channel = Channel(
        role,
        session_id="s",
        target="t",
        settings=settings,
        random_bytes=os.urandom,
        wall_clock=lambda: time.time_ns() // 1_000_000,
    )
    channel.connect("token", 0.0)
    return channel


def upload(count: int) -> None:
    """Run the client's half of an upload: split, encode, store, and process the acknowledgement of each message."""
    channel = make(Role.CLIENT)
    channel.receive_message(naive.build("output_stream_data", 0, b"# ", payload_type=1, flags=1), 0.0)
    channel.messages_to_send(1.0)
    answers = [
        naive.build_acknowledgement(naive.parse(naive.build("input_stream_data", n, b"", message_id=uuid.UUID(int=n))))
        for n in range(count)
    ]
    took, sent, now, chunk = 0.0, 0, 1.0, PAYLOAD * 32
    while sent < count:
        began = time.process_time()
        now += 0.001
        channel.send_data(chunk, now)
        frames = channel.messages_to_send(now)
        for number in range(sent, sent + 32):
            channel.receive_message(answers[number], now + 0.0005)
        channel.events(now + 0.0005)
        channel.next_timer(now + 0.0005)
        took += time.process_time() - began
        sent += len(frames)
    RESULTS[UPLOAD].append(took / sent * 1e6)


def download(count: int) -> None:
    """Run the client's half of a download: decode, check, deliver, acknowledge."""
    channel = make(Role.CLIENT)
    frames = [
        naive.build("output_stream_data", n, PAYLOAD, payload_type=1, message_id=uuid.UUID(int=n)) for n in range(count)
    ]
    now = 1.0
    began = time.process_time()
    for first in range(0, count, 32):
        now += 0.01
        for frame in frames[first : first + 32]:
            channel.receive_message(frame, now)
        channel.events(now)
        channel.messages_to_send(now + 0.006)
        channel.next_timer(now + 0.006)
    RESULTS[DOWNLOAD].append((time.process_time() - began) / count * 1e6)


RESULTS: dict[str, list[float]] = {UPLOAD: [], DOWNLOAD: []}
PAIRS = [
    ("encode a kilobyte", naive_encode, our_encode),
    ("decode a kilobyte", naive_decode, our_decode),
    ("encode an acknowledgement", naive_encode_acknowledgement, our_encode_acknowledgement),
    ("decode an acknowledgement", naive_decode_acknowledgement, our_decode_acknowledgement),
    ("make a masked frame (plain: the serializer of `websockets`)", websockets_frame, our_frame),
]


def main() -> None:
    results = Results("codec")
    cells = []
    for name, theirs, ours in PAIRS:
        slow, fast = microseconds(theirs), microseconds(ours)
        results.add(f"CPU of a message: {name.partition(' (')[0]}", "microseconds", {"plain": slow, "ours": fast})
        cells.append([name, f"{slow:.2f}", f"{fast:.2f}", f"{fast / slow:.2f}"])
    for _ in range(REPEATS):
        upload(MESSAGES)
        download(MESSAGES)
    for name, values in RESULTS.items():
        value = statistics.median(values)
        cells.append([name, "", f"{value:.1f} ({value / 1024:.3f} CPU s per MB)", ""])
    results.table("Messages", ("CPU microseconds a message", "plain", "ours", "ratio"), cells)
    results.write()


if __name__ == "__main__":
    main()
