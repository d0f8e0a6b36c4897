"""Order of sending: streams take turns, and an idle stream is served before busy ones."""

from __future__ import annotations

from collections import deque

from aws_runas.ssm.core.smux.stream import Stream


class Schedule:
    """Round robin of the streams that have data to send.

    A stream that was idle is served once before the busy ones, so a keystroke during an upload does not wait for a
    whole round. When its queue is empty, it still takes one place at the end of the round before it counts as idle
    again, so streams that repeatedly send little data cannot starve the others (the rule of RFC 8290, section 4.1.2).
    """

    def __init__(self) -> None:
        self._fresh: deque[Stream] = deque()
        self._round: deque[Stream] = deque()
        self._known: set[Stream] = set()

    def __bool__(self) -> bool:
        return any(stream.wants_to_send() for stream in self._known)

    def add(self, stream: Stream) -> None:
        """Add a stream that has data to send. A stream that already has a place keeps it."""
        if stream not in self._known:
            self._known.add(stream)
            self._fresh.append(stream)

    def remove(self, stream: Stream) -> None:
        """Remove a stream from the schedule."""
        if stream in self._known:
            self._known.remove(stream)
            for queue in (self._fresh, self._round):
                if stream in queue:
                    queue.remove(stream)

    def next_stream(self) -> Stream | None:
        """Return the stream whose turn it is, None if no stream has data. Call `done` or `put_back` afterwards."""
        while self._fresh or self._round:
            fresh = bool(self._fresh)
            stream = self._fresh.popleft() if fresh else self._round.popleft()
            if stream.wants_to_send():
                return stream
            if fresh:
                self._round.append(stream)
            else:
                self._known.discard(stream)
        return None

    def done(self, stream: Stream) -> None:
        """Move a stream that has had its turn to the end of the round."""
        self._round.append(stream)

    def put_back(self, stream: Stream) -> None:
        """Put a stream back to the front, because there was no room for its data."""
        self._fresh.appendleft(stream)
