"""``make demo``: the first thing that a newcomer sees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

PATH = "/usr/bin:/bin"  # as of a newcomer, who has no virtual environment in it


def test_demo_shows_the_main_job_and_ends_well() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RUNAS_"))}
    done = subprocess.run(
        [sys.executable, "-m", "aws_runas.sandbox.demo"],
        env=kept | {"AWS_PROFILE": "foreign", "PATH": PATH},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=100,
        check=False,
    )
    shown = done.stdout.decode()
    assert done.returncode == 0, shown
    for line in (
        "$ aws-runas my-profile-mfa python whoami.py",
        "I am arn:aws:sts::123456789012:assumed-role/my-role-mfa/",
        "$ aws-runas shell my-profile i-deadbeef",
        "six times seven is 42",
        "hello from the sandbox",
    ):
        assert line in shown
    assert "\x1b" not in shown
    turn = shown.rpartition("Your turn: ")[2].split()
    assert turn[1:] == ["sandbox"]
    if shutil.which("aws-runas", path=PATH) is None:
        assert os.path.samefile(turn[0], os.path.join(os.path.dirname(sys.executable), "aws-runas"))
