"""Measures a press of the completion key: `aws-runas completion --profiles` compared with a Python that does nothing.

python -m bench.completion [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.results import Results

PROFILES = 200


def timed(words: list[str], environ: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(words, env=environ, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Print the table, and store its numbers."""
    results = Results("completion")
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 21
    program = str(Path(sys.executable).with_name("aws-runas"))
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "config")
        config.write_text("".join(f"[profile p{number}]\nregion = eu-west-1\n" for number in range(PROFILES)))
        environ = {"PATH": os.environ["PATH"], "AWS_CONFIG_FILE": str(config), "HOME": folder}
        ours, bare = [], []
        for _ in range(rounds):
            ours.append(timed([program, "completion", "--profiles"], environ))
            bare.append(timed([sys.executable, "-c", "pass"], environ))
    rows = {
        f"`aws-runas completion --profiles`, {PROFILES} profiles": statistics.median(ours) * 1000,
        "`python -c pass`": statistics.median(bare) * 1000,
    }
    results.add("A press of the completion key", "ms", rows)
    cells = [[name, f"{value:.1f}"] for name, value in rows.items()]
    results.table("A press of the completion key", ("", f"median ms of {rounds}"), cells)
    results.write()


if __name__ == "__main__":
    main()
