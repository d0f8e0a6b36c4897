"""The first inputs of the fuzzer: the recorded sessions, as frames and as whole conversations."""

from __future__ import annotations

from pathlib import Path

from tests.core.recorded import NAMES, load

FOUND = Path(__file__).parent / "corpus"


def seeds() -> dict[str, bytes]:
    """Inputs by name."""
    made = {}
    for name in NAMES:
        frames = [frame for frame in load(name).frames if not frame.is_text]
        for index, frame in enumerate(frames[:12]):
            made[f"{name}-{index}"] = b"\0" + frame.data
            made[f"{name}-{index}-payload"] = b"\1" + frame.data[120:]
        for party in ("client", "agent"):
            heard = [f.data for f in frames if f.receiver == party]
            made[f"{name}-to-{party}"] = b"\2" + b"".join(len(d).to_bytes(2) + d for d in heard)
        stream = b"".join(f.data[120:] for f in frames if f.sender == "client" and f.data[112:116] == b"\0\0\0\1")
        made[f"{name}-stream"] = b"\3" + stream
    return made


def found() -> dict[str, bytes]:
    """What the fuzzer found once, kept for ever."""
    return {path.name: path.read_bytes() for path in sorted(FOUND.glob("*")) if path.suffix != ".md"}
