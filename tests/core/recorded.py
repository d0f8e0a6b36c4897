"""Reads the recorded sessions in vectors/."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "vectors"
NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


@dataclass(frozen=True)
class Frame:
    """One frame that passed."""

    sender: str
    receiver: str
    is_text: bool
    data: bytes


@dataclass(frozen=True)
class Recording:
    """A whole session."""

    name: str
    frames: list[Frame]
    data_key: bytes
    ciphertext_blob: bytes
    context: dict[str, str]


def load(name: str) -> Recording:
    """A session by its name."""
    frames, key, blob, context = [], b"", b"", {}
    for line in (FOLDER / f"{name}.jsonl").read_text().splitlines():
        item = json.loads(line)
        if "kms" in item:
            key, blob = bytes.fromhex(item["plaintext"]), bytes.fromhex(item["ciphertext_blob"])
            context = json.loads(item["context"])
        else:
            frames.append(Frame(item["from"], item["to"], item["frame"] == "text", bytes.fromhex(item["hex"])))
    return Recording(name, frames, key, blob, context)


def binary_frames() -> list[bytes]:
    """Every binary frame of every session."""
    return [frame.data for name in NAMES for frame in load(name).frames if not frame.is_text]
