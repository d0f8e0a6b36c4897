"""The session library as its page describes it: the example runs, every public name is documented and importable."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import aws_runas.ssm
from aws_runas.sandbox.world import Sandbox

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "ssm.md").read_text()


def test_example_of_the_page_opens_a_shell(sandbox: Sandbox, tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", PAGE, re.S)
    assert example is not None
    program = tmp_path / "shell_client.py"
    program.write_text(example[1])
    ran = subprocess.run(
        [sys.executable, str(program), "my-profile", "i-deadbeef", "echo $((6 * 7))"],
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "42" in ran.stdout.split()


@pytest.mark.parametrize("name", aws_runas.ssm.__all__)
def test_public_name_is_importable_and_has_a_docstring(name: str) -> None:
    value = getattr(aws_runas.ssm, name)
    if name != "Event":  # a union
        assert value.__doc__
    assert re.search(rf"\b{name}\b", PAGE)


def test_other_names_are_not_there() -> None:
    with pytest.raises(AttributeError, match="asyncio"):
        vars(aws_runas.ssm)["__getattr__"]("asyncio")


def test_importing_the_package_imports_neither_asyncio_nor_websockets() -> None:
    code = "import sys, aws_runas.ssm; print(sorted({'asyncio', 'websockets'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
