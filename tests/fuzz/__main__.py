"""Run with: make fuzz. Arguments go to libFuzzer."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["aws_runas.ssm.core", "aws_runas.sandbox.services.requests"]):
    from tests.fuzz.seeds import FOUND, found, seeds
    from tests.fuzz.targets import run_one


def main() -> None:
    """Fuzz from the recorded sessions; an input that breaks something is left in tests/fuzz/corpus."""
    with tempfile.TemporaryDirectory(prefix="aws-runas-fuzz-") as work:
        for name, data in {**seeds(), **found()}.items():
            (Path(work) / name).write_bytes(data)
        arguments = [sys.argv[0], f"-artifact_prefix={FOUND}/", "-max_len=20000", "-timeout=20", *sys.argv[1:], work]
        atheris.Setup(arguments, run_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
