"""Events of a smux session. Match on them and end in ``assert_never``."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream (side SERVER): answer with data, or with close_stream where it is not wanted."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamDataReceived:
    """Bytes of one stream, in order. The owner says data_delivered once they have gone on to their reader."""

    stream_id: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamFinished:
    """The peer sent FIN: no more data comes on this stream. A peer of Amazon's takes none any more either."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamUnblocked:
    """send_capacity of this stream was zero and there is room again."""

    stream_id: int


Event = StreamOpened | StreamDataReceived | StreamFinished | StreamUnblocked
