"""When a peer is dead: pings, probes, a machine that slept, a pause that lasts. Time is a number here."""

from __future__ import annotations

from aws_runas.ssm.transport.keepalive import KeepAlive, PauseTimeout, PeerDead, PingDue


class Peer:
    """A connection whose other side answers the first ``answers`` pings, 50 ms later."""

    def __init__(self, answers: int) -> None:
        self.now = 1000.0
        self.slept = 0.0
        self.answers = answers
        self.pings: list[float] = []
        self.dead: PeerDead | None = None
        self.is_listening = True
        self.keepalive = KeepAlive(30.0, 20.0, self.now, self.now)
        self._answers_due: list[float] = []

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.dead is None:
            due = min([self.keepalive.next_timer(), *self._answers_due])
            if due > end:
                break
            self.now = max(due, self.now)
            if self._answers_due and self._answers_due[0] <= self.now:
                self._answers_due.pop(0)
                self.keepalive.last_received = self.now
                continue
            self._act(self.keepalive.handle_timer(self.now, self.now + self.slept, is_listening=self.is_listening))
        self.now = end

    def _act(self, action: PingDue | PeerDead | None) -> None:
        if isinstance(action, PeerDead):
            self.dead = action
        elif isinstance(action, PingDue):
            self.pings.append(self.now - 1000)
            self.keepalive.ping_sent(action.timeout, self.now)
            if len(self.pings) <= self.answers:
                self._answers_due.append(self.now + 0.05)


def test_ping_goes_out_every_thirty_seconds_while_it_is_answered() -> None:
    peer = Peer(answers=100)
    peer.run(125)
    assert peer.pings == [30, 60, 90, 120]
    assert peer.dead is None


def test_missing_answer_means_a_dead_peer() -> None:
    peer = Peer(answers=1)
    peer.run(79)
    assert peer.dead is None
    peer.run(2)
    assert peer.dead is not None
    assert round(peer.dead.silent_for) == 50
    assert peer.pings == [30, 60]


def test_any_byte_counts_as_an_answer() -> None:
    peer = Peer(answers=0)
    peer.run(45)
    peer.keepalive.last_received = peer.now
    peer.run(10)
    assert peer.dead is None


def test_probe_expires_at_its_own_time() -> None:
    peer = Peer(answers=0)
    peer.run(3)
    peer.keepalive.ping_sent(5, peer.now)
    peer.run(4.9)
    assert peer.dead is None
    peer.run(0.2)
    assert peer.dead == PeerDead(8.0)


def test_silence_proves_nothing_while_nothing_is_read() -> None:
    peer = Peer(answers=0)
    peer.run(35)
    peer.is_listening = False
    peer.run(300)
    assert peer.dead is None
    assert peer.pings == [30]


def test_machine_that_slept_pings_at_once_with_a_short_timeout() -> None:
    peer = Peer(answers=0)
    peer.run(7)
    peer.slept = 3600
    peer.run(5)
    assert peer.pings == [10]
    assert peer.dead is None
    peer.run(5)
    assert peer.dead is not None


def test_short_pause_has_no_effect() -> None:
    pause = PauseTimeout()
    pause.pause_received(0)
    assert pause.next_timer() == 45
    assert pause.handle_timer(40) is None
    pause.pause_ended()
    assert pause.next_timer() is None
    assert pause.handle_timer(100) is None


def test_message_restarts_a_running_pause_and_only_that() -> None:
    pause = PauseTimeout()
    pause.message_received(0)
    assert pause.next_timer() is None
    pause.pause_received(0)
    pause.message_received(40)
    assert pause.handle_timer(80) is None
    assert pause.handle_timer(85) == "resume"


def test_service_is_asked_after_a_resume_that_changed_nothing() -> None:
    pause = PauseTimeout()
    actions = []
    for start in (0, 100, 200):
        pause.pause_received(start)
        actions.append(pause.handle_timer(start + 50))
        pause.pause_ended()  # by the new connection; then the service pauses again
    assert actions == ["resume", "ask", "ask"]
    pause.data_received()
    pause.pause_received(300)
    assert pause.handle_timer(350) == "resume"
