"""The page of the sandbox lists every instance with its name, addresses and tags."""

from __future__ import annotations

import re
from pathlib import Path

from aws_runas.sandbox.fixtures import INSTANCES

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "sandbox.md"


def test_the_table_of_instances_has_their_addresses_and_tags() -> None:
    rows = re.findall(
        r"^\| `(m?i-\w+)`(?:, `\.\.\.\w+`)? \| (\S*).* \| (.*?) \| (.*) \|$", PAGE.read_text(), re.MULTILINE
    )
    table = {name: (set(re.findall(r"[\d.]+", addresses)), set(re.findall(r"`(\w+:\w+)`", notes)))
             for _, name, addresses, notes in rows if name}  # fmt: skip
    expected: dict[str, tuple[set[str], set[str]]] = {}
    for each in INSTANCES:
        if each.name:
            addresses, tags = expected.setdefault(each.name, (set(), set()))
            addresses |= {address for address in (each.private_ip, each.public_ip) if address}
            tags |= {f"{key}:{value}" for key, value in each.tags.items()}
    assert table == expected
