"""Many aws-runas at once, forked from one process that has loaded everything: ``crowd.py COUNT WORD...``.

Prints, for each, its exit status and the access key id that it printed.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import botocore.session  # noqa: F401 - loaded before the fork

from aws_runas.cli.app import main
from aws_runas.cli.environment import Environment
from aws_runas.credentials import build, printing  # noqa: F401


def run_one(words: list[str], start: int, path: Path) -> None:
    os.read(start, 1)
    with path.open("wb") as stdout, path.with_suffix(".err").open("w") as stderr:
        status = main(words, Environment(stdout=stdout, stderr=stderr))
    path.with_suffix(".status").write_text(str(status))


def crowd() -> None:
    count, words = int(sys.argv[1]), sys.argv[2:]
    start, begin = os.pipe()
    with tempfile.TemporaryDirectory() as directory:
        children = []
        for number in range(count):
            pid = os.fork()
            if pid == 0:
                os.close(begin)
                try:
                    run_one(words, start, Path(directory) / f"{number}.out")
                finally:
                    os._exit(0)
            children.append(pid)
        os.write(begin, b"x" * count)
        for pid in children:
            os.waitpid(pid, 0)
        found = []
        for number in range(count):
            path = Path(directory) / f"{number}.out"
            text = path.read_text()
            key = json.loads(text)["AccessKeyId"] if text else path.with_suffix(".err").read_text()
            found.append([int(path.with_suffix(".status").read_text()), key])
    print(json.dumps(found))


if __name__ == "__main__":
    crowd()
