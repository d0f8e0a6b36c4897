"""A model of what Amazon's agent does, quirks included, written from the protocol facts and not from our core.

No digest is checked; input before the handshake is acknowledged and thrown away; a second handshake response blocks the
reader for ever; data is refused unacknowledged until the handler is ready; a message is stored only after it was
written, so an early acknowledgement is lost; every 100 ms the oldest message alone is sent again; a pause stores
without sending; 1,024 bytes a millisecond. It executes one message after the other, and when its connection is cut with
two or more waiting, the second is executed, not counted, and executed again when it is resent (protocol facts 12.16).
"""

from __future__ import annotations

import json
import random
import uuid
from base64 import b64decode, b64encode

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.core import naive

RESEND_INTERVAL = 0.1
PUMP_INTERVAL = 0.001
END_PATIENCE = 2.0  # seconds that it waits for acknowledgements when its program has ended (section 8, 11)
WORK = 0.00015  # seconds that it takes to execute a message
STORED_AFTER = 0.0005  # seconds between writing a message and storing it, at most


class Stored:
    """A message in the agent's outgoing buffer."""

    def __init__(self, frame: bytes, sent_at: float, stored_at: float) -> None:
        self.frame = frame
        self.sent_at = sent_at
        self.stored_at = stored_at


class OfficialAgent:
    """The dialect of our channels, so that it can stand in a simulation.

    Args:
        download: what its side of the session sends once it has started.
        session_type: "Port" begins with a handshake, "" with output.
        data_key: 64 bytes that encrypt the session, b"" for none; the two KMS calls are taken for granted.
        pump_interval: seconds between two messages of a download.
        ends: its program ends behind the download, as a shell does.
        waits: for acknowledgements then; agents before 3.0.732 do not.
    """

    def __init__(
        self,
        rng: random.Random,
        download: bytes,
        session_type: str = "Port",
        data_key: bytes = b"",
        pump_interval: float = PUMP_INTERVAL,
        *,
        ends: bool = False,
        waits: bool = True,
    ) -> None:
        self._ends = ends
        self._waits = waits
        self.clock_ahead = 0.0  # of the world's time
        self._end_at: float | None = None
        self.ended = False
        self.farewell = ""
        self._rng = rng
        self._pump_interval = pump_interval
        self.resent = 0
        self._download = download
        self._session_type = session_type
        self._ciphers = (AESGCM(data_key[:32]), AESGCM(data_key[32:])) if data_key else None
        self._challenge = b""
        self.received = bytearray()
        self.blocked = False
        self.paused = False
        self._connected = False
        self._complete = not session_type
        self.ready_at = float("inf") if session_type else 0.0
        self._expected = 0
        self._stored_inward: dict[int, naive.NaiveMessage] = {}
        self._next_number = 0
        self._outgoing: dict[int, Stored] = {}
        self._frames: list[bytes | str] = []
        self._began = False
        self._inbox: list[naive.NaiveMessage] = []  # received and not executed yet, in order of arrival
        self._work_at: float | None = None
        self.executed_twice = 0
        self._pump_at: float | None = None
        self._resend_at: float | None = None
        self._smoothed, self._variation, self._timeout = 0.1, 0.0, 0.2

    # connections
    def connect(self, now: float) -> None:
        """The agent has (again) a connection."""
        self._connected = True
        self.paused = False
        self._resend_at = now + RESEND_INTERVAL
        if self._began:
            return
        self._began = True
        if not self._session_type:
            self._pump_at = now + 1.0
            return
        properties = {"portNumber": "5432", "type": "LocalPortForwarding"}
        parameters = {"SessionType": self._session_type, "Properties": properties}
        actions: list[dict[str, object]] = [{"ActionType": "SessionType", "ActionParameters": parameters}]
        if self._ciphers is not None:
            key = {"KMSKeyId": "arn:aws:kms:us-east-1:111122223333:key/k", "Challenge": "AAAAAAAAAAAAAAAAAAAAAA=="}
            actions.append({"ActionType": "KMSEncryption", "ActionParameters": key})
        self._send({"AgentVersion": "3.3.0.0", "RequestedClientActions": actions}, 5, now)

    def receive_disconnect(self, now: float) -> None:
        """Play the trap: the next acknowledgement is still written, those after it fail.

        The message behind the first is counted although nobody gets its acknowledgement; an expected one behind the
        second was executed, is not counted, and is executed again when it comes again. What else waited is lost. The
        first may as well be the acknowledgement of a repeated message, or of one that is ahead.
        """
        self._connected = False
        waiting, self._inbox, self._work_at = self._inbox, [], None
        has_written = False
        for message in waiting:
            if not has_written:
                has_written = self._take(message, now)
            elif message.sequence_number == self._expected:
                self.executed_twice += self._process(message, now) and message.payload_type == 1
                break
        self._frames.clear()

    # sending
    def _send(self, value: object, payload_type: int, now: float) -> None:
        payload = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
        if payload_type == 1 and self._ciphers is not None:
            payload = self._encrypt(payload)
        number = self._next_number
        self._next_number += 1
        frame = naive.build(
            "output_stream_data",
            number,
            payload,
            payload_type=payload_type,
            flags=1 if number == 0 else 0,
            message_id=uuid.UUID(int=self._rng.getrandbits(128), version=4),
            created_date=int((now + self.clock_ahead) * 1000),
        )
        if not self.paused and self._connected:
            self._frames.append(frame)
        self._outgoing[number] = Stored(frame, now, now + self._rng.random() * STORED_AFTER)

    def messages_to_send(self, now: float) -> list[bytes | str]:
        """What was written since."""
        frames, self._frames = self._frames, []
        return frames if self._connected else []

    def next_timer(self, now: float) -> float | None:
        """Return when one of its loops wakes."""
        del now
        waiting = (self._pump_at, self._resend_at if self._outgoing else None, self._work_at, self._end_at)
        times = [t for t in waiting if t is not None]
        if not self._connected:
            return min([t for t in (self._end_at, self._pump_at) if t is not None and self._ends], default=None)
        return min(times) if times else None

    def handle_timer(self, now: float) -> None:
        """The pump sends a kilobyte, the resend loop looks at the oldest message."""
        if not self._connected:
            if self._ends:  # its program goes on, and it tells the end on another way
                self._pump(now)
                self._end(now)
            return
        while self._work_at is not None and now >= self._work_at and not self.blocked:
            self._take(self._inbox.pop(0), now)
            self._work_at = self._work_at + WORK if self._inbox else None
        self._pump(now)
        self._end(now)
        if self._resend_at is not None and now >= self._resend_at:
            self._resend_at = now + RESEND_INTERVAL
            if self._outgoing and not self.paused:
                oldest = self._outgoing[min(self._outgoing)]
                if now - oldest.sent_at > self._timeout:
                    self._frames.append(oldest.frame)
                    self.resent += 1
                    oldest.sent_at = now

    def _pump(self, now: float) -> None:
        if self._pump_at is not None and now >= self._pump_at:
            if not self.paused:
                self._send(self._download[:1024], 1, now)
                self._download = self._download[1024:]
            self._pump_at = now + self._pump_interval if self._download else None
            if self._ends and not self._download:
                self._end_at = now + END_PATIENCE if self._waits else now

    def _end(self, now: float) -> None:
        if self._end_at is not None and (now >= self._end_at or not self._outgoing):
            self._end_at = None
            self.ended = True

    # receiving
    def receive_message(self, data: bytes | str, now: float) -> None:
        """Take a message, as its reader goroutine does."""
        if self.blocked or isinstance(data, str):
            return
        message = naive.parse(data)
        if message.message_type == "pause_publication":
            self.paused = True
        elif message.message_type == "start_publication":
            self.paused = False
        elif message.message_type == "acknowledge":
            self.paused = False
            self._acknowledged(json.loads(message.payload)["AcknowledgedMessageSequenceNumber"], now)
        elif message.message_type == "input_stream_data":
            self.paused = False
            self._inbox.append(message)
            if self._work_at is None:
                self._work_at = now + WORK

    def _acknowledged(self, number: int, now: float) -> None:
        stored = self._outgoing.get(number)
        if stored is None or now < stored.stored_at:
            return  # too early: it finds nothing, and the message stays for ever, or until it is acknowledged again
        del self._outgoing[number]
        round_trip = now - stored.sent_at
        self._variation = 0.75 * self._variation + 0.25 * abs(self._smoothed - round_trip)
        self._smoothed = 0.875 * self._smoothed + 0.125 * round_trip
        self._timeout = min(1.0, self._smoothed + max(0.01, 4 * self._variation))

    def _take(self, message: naive.NaiveMessage, now: float) -> bool:
        """Take a message; return whether an acknowledgement was written."""
        number = message.sequence_number
        if number > self._expected:
            self._acknowledge(message)
            self._stored_inward[number] = message
        elif number < self._expected:
            self._acknowledge(message)
        elif self._process(message, now):
            self._acknowledge(message)
            self._count(now)
        else:
            return False
        return True

    def _count(self, now: float) -> None:
        """Expect the next number, and execute what was stored ahead of it."""
        self._expected += 1
        while (following := self._stored_inward.get(self._expected)) is not None:
            if not self._process(following, now):
                return
            del self._stored_inward[self._expected]
            self._expected += 1

    def _acknowledge(self, message: naive.NaiveMessage) -> None:
        if self._connected:
            self._frames.append(
                naive.build_acknowledgement(message, uuid.UUID(int=self._rng.getrandbits(128), version=4))
            )

    def _process(self, message: naive.NaiveMessage, now: float) -> bool:
        if message.payload_type == 6:
            if self._complete:
                self.blocked = True  # the channel for responses is read once
                return False
            self._complete = True
            if self._ciphers is None:
                self._complete_handshake(now)
            else:
                self._challenge = self._rng.randbytes(64)
                self._send({"Challenge": b64encode(self._encrypt(self._challenge)).decode()}, 8, now)
            return True
        if message.payload_type == 9 and self._challenge:
            assert self._decrypt(b64decode(json.loads(message.payload)["Challenge"])) == self._challenge
            self._challenge = b""
            self._complete_handshake(now)
            return True
        if not self._complete:
            return True  # acknowledged and thrown away
        if now < self.ready_at:
            return False  # ErrHandlerNotReady
        if message.payload_type == 1:
            self.received += message.payload if self._ciphers is None else self._decrypt(message.payload)
        return True

    def _complete_handshake(self, now: float) -> None:
        self.ready_at = now + self._rng.choice((0.0, 0.002, 0.02, 0.3))
        self._send({"HandshakeTimeToComplete": 1_000_000, "CustomerMessage": ""}, 7, now)
        self._pump_at = now + self._pump_interval if self._download else None

    def _encrypt(self, plaintext: bytes) -> bytes:
        assert self._ciphers is not None
        nonce = self._rng.randbytes(12)
        return nonce + self._ciphers[0].encrypt(nonce, plaintext, None)

    def _decrypt(self, sealed: bytes) -> bytes:
        assert self._ciphers is not None
        return self._ciphers[1].decrypt(sealed[:12], sealed[12:], None)

    def finished(self) -> bool:
        """Whether it has sent all it had."""
        return not self._download and self._began

    def unacknowledged(self) -> int:
        """Messages in its outgoing buffer."""
        return len(self._outgoing)
