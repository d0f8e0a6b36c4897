"""Addresses that open a page in a container tab of Firefox, by one of two add-ons.

Source: granted-containers and open-url-in-container, the README of each.
"""

from __future__ import annotations

import zlib
from urllib.parse import quote

from aws_runas.errors import ConfigError

ADD_ONS = ("granted", "open-url")
ICON = "fingerprint"
_COLORS = {  # Firefox has these and no others
    "blue": (0x37, 0xAD, 0xFF),
    "turquoise": (0x00, 0xC7, 0x9A),
    "green": (0x51, 0xCD, 0x00),
    "yellow": (0xFF, 0xCB, 0x00),
    "orange": (0xFF, 0x9F, 0x00),
    "red": (0xFF, 0x61, 0x3D),
    "pink": (0xFF, 0x4B, 0xDA),
    "purple": (0xAF, 0x51, 0xF5),
}


def container_address(address: str, name: str, color: str | None, add_on: str) -> str:
    """Return the address that opens another one in a container.

    Args:
        address: the page.
        name: of the container; Firefox makes it when it is new.
        color: six hex digits with or without ``#``, a color of Firefox, or None for one that the name decides.
        add_on: one of ADD_ONS.

    Raises:
        ConfigError: there is no such add-on.
    """
    if add_on not in ADD_ONS:
        raise ConfigError(
            f"console_container = {add_on} is unknown",
            code="console-setting-invalid",
            hint=f"use {' or '.join(ADD_ONS)}",
        )
    target = f"name={quote(name, safe='')}&url={quote(address, safe='')}"
    if add_on == "open-url":
        return f"ext+container:{target}"
    return f"ext+granted-containers:{target}&color={firefox_color(color, name)}&icon={ICON}"


def firefox_color(color: str | None, name: str) -> str:
    """Return the color of Firefox that is nearest; one that the name decides where there is no color."""
    text = (color or "").removeprefix("#").lower()
    if text in _COLORS:
        return text
    try:
        wanted = tuple(bytes.fromhex(text)) if len(text) == 6 else ()
    except ValueError:
        wanted = ()
    if not wanted:
        names = list(_COLORS)
        return names[zlib.crc32(name.encode("utf-8", "surrogateescape")) % len(names)]
    return min(_COLORS, key=lambda known: sum((a - b) ** 2 for a, b in zip(_COLORS[known], wanted, strict=True)))
