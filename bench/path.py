"""Throughput and retransmissions of an upload over paths with different delay, jitter and loss, in virtual time.

Run: .venv/bin/python -m bench.path
"""

from __future__ import annotations

from tests.core.path import Path, Upload

TOTAL = 16_000_000  # bytes

PATHS = [
    *(Path(latency) for latency in (0.0002, 0.02, 0.075, 0.15)),
    *(Path(latency, jitter=0.01) for latency in (0.0002, 0.02, 0.075)),
    *(Path(latency, drop=0.01) for latency in (0.0002, 0.02, 0.075)),
    *(Path(latency, drop=0.05) for latency in (0.0002, 0.02)),
    *(Path(latency, stall=0.05) for latency in (0.0002, 0.02)),
]


def main() -> None:
    print(f"{'one way ms':>10}{'jitter':>8}{'loss':>6}{'stall':>7}{'MB/s':>8}{'resends':>10}{'needless':>10}")
    for path in PATHS:
        line = f"{path.latency * 1e3:10.1f}{path.jitter * 1e3:8.0f}{path.drop:6.0%}{path.stall * 1e3:7.0f}"
        upload = Upload(path)
        seconds = upload.run(TOTAL)
        flight = upload.client._sender.flight
        rate = upload.arrived / seconds / 1e6
        lost = flight.lost_by_timeout + flight.lost_by_threshold
        print(f"{line}{rate:8.1f}{lost:10}{flight.spurious_retransmissions:10}")


if __name__ == "__main__":
    main()
