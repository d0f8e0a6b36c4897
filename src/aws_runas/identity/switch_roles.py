"""The configuration of the browser extension AWS Extend Switch Roles, in the grammar that its parser accepts.

That parser (npm: aesr-config) truncates a line at its first ``;`` or ``#``, and a value at its second ``=``. A source
profile must be a section with an account id, and a section without references to it must have a role.
Source: the extension's README, and lib/ini-parser.js and lib/config-loader.js of aesr-config 0.6.0.
"""

from __future__ import annotations

import colorsys
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from aws_runas.dataclass import dataclass

if TYPE_CHECKING:
    from aws_runas.config.files import ProfileSection

_ROLE = re.compile(r"arn:[^:]+:iam::([0-9]{12}):role/(.+)")
_NOT_IN_NAMES = re.compile(r"[;#\[\]\r\n]")
_NOT_IN_VALUES = re.compile(r"[;#=\r\n]")
_COLOR = re.compile(r"[0-9a-f]{6}")
_SATURATION, _VALUE = 0.65, 0.75  # strong enough to distinguish the colors, dark enough for the console's white text


@dataclass(frozen=True, slots=True)
class KnownRole:
    """A profile of the config file that has a role.

    Args:
        name: name of the profile.
        role_arn: ARN of its role.
        region: its region, or None.
        color: its setting ``color``, six hex digits, or None.
    """

    name: str
    role_arn: str
    region: str | None = None
    color: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One section for a role."""

    name: str
    role_arn: str
    account: str
    source_profile: str
    color: str
    region: str | None = None


@dataclass(frozen=True, slots=True)
class SwitchRoles:
    """The whole configuration.

    Args:
        base: name of the section for the account that the user signs in to.
        base_account: id of that account.
        base_alias: alias of that account, which the console shows instead of the id; None if it has none.
        entries: the entries, grouped by account and sorted by name within each.
        left_out: roles that the grammar cannot represent.
    """

    base: str
    base_account: str
    entries: tuple[Entry, ...]
    left_out: tuple[str, ...] = ()
    base_alias: str | None = None


def known_roles(sections: Mapping[str, ProfileSection]) -> list[KnownRole]:
    """Return the profiles that have a role.

    Args:
        sections: sections of the profiles, by name.
    """
    found = []
    for name, section in sections.items():
        arn = section.text("role_arn")
        if arn:
            color = (section.text("color") or "").removeprefix("#").lower()
            found.append(KnownRole(name, arn, section.text("region"), color if _COLOR.fullmatch(color) else None))
    return found


def switch_roles(
    roles: Iterable[str],
    known: Iterable[KnownRole],
    *,
    base: str,
    base_account: str,
    region: str | None,
    base_alias: str | None = None,
) -> SwitchRoles:
    """Create an entry for every role, named like its profile in the config file, or after its account and role.

    Args:
        roles: role ARNs.
        known: the profiles of the config file; a role that several profiles have gets several entries.
        base: name of the profile whose keys assume the roles.
        base_account: the account that those keys belong to.
        region: region of roles that have none in a profile.
        base_alias: alias of that account; without it, the extension shows no roles if the console shows the alias.
    """
    profiles: dict[str, list[KnownRole]] = {}
    for one in known:
        profiles.setdefault(one.role_arn, []).append(one)
    names = _Names()
    base = names.take(base)
    entries: list[Entry] = []
    left_out: list[str] = []
    wanted = sorted(set(roles), key=_by_account)
    for arn in [*(one for one in wanted if one in profiles), *(one for one in wanted if one not in profiles)]:
        match = _ROLE.fullmatch(arn)
        if match is None or _NOT_IN_VALUES.search(arn):
            left_out.append(arn)
            continue
        account, role = match[1], match[2]
        plain = KnownRole(f"{account}-{role.rpartition('/')[2]}", arn)
        for profile in sorted(profiles.get(arn, [plain]), key=lambda one: one.name):
            entries.append(
                Entry(
                    name=names.take(profile.name, f"{account}-{role.replace('/', '-')}"),
                    role_arn=arn,
                    account=account,
                    source_profile=base,
                    color=profile.color or color_of(account),
                    region=profile.region or region,
                )
            )
    entries.sort(key=lambda entry: (entry.account != base_account, entry.account, entry.name, entry.role_arn))
    return SwitchRoles(base, base_account, tuple(entries), tuple(sorted(left_out)), base_alias)


def render(found: SwitchRoles) -> str:
    """Write the configuration for the extension's options page; "" if there is no role.

    Args:
        found: the entries.
    """
    if not found.entries:
        return ""
    lines = [f"[{found.base}]", f"aws_account_id = {found.base_account}"]
    lines += [f"aws_account_alias = {found.base_alias}"] if found.base_alias else []
    account = None
    for entry in found.entries:
        if entry.account != account:
            account = entry.account
            lines += ["", f"; account {account}"]
        lines += ["", f"[{entry.name}]", f"role_arn = {entry.role_arn}", f"source_profile = {entry.source_profile}"]
        lines += [f"region = {entry.region}"] if entry.region else []
        lines.append(f"color = {entry.color}")
    return "\n".join(lines) + "\n"


def color_of(account: str) -> str:
    """Return a color for an account, six hex digits. It depends only on the account id.

    Args:
        account: 12 digits.
    """
    hue = int.from_bytes(hashlib.sha256(account.encode()).digest()[:2], "big") / 0x10000
    parts: Sequence[float] = colorsys.hsv_to_rgb(hue, _SATURATION, _VALUE)
    return "".join(f"{round(255 * part):02x}" for part in parts)


def _by_account(arn: str) -> tuple[str, str, str]:
    """Return a key for a total order: two partitions may have the same account id and role name."""
    match = _ROLE.fullmatch(arn)
    return (match[1], match[2], arn) if match else ("", "", arn)


class _Names:
    """Section names. Each name is used once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, *wishes: str) -> str:
        """Return the first of the wishes that is free, or the last one with a number."""
        cleaned = [_NOT_IN_NAMES.sub("-", re.sub(r"^(?:profile\s+)+", "", wish.strip(), flags=re.I)) for wish in wishes]
        for wish in cleaned:
            if wish and wish not in self._taken:
                self._taken.add(wish)
                return wish
        number = 2
        while f"{cleaned[-1]}-{number}" in self._taken:
            number += 1
        self._taken.add(f"{cleaned[-1]}-{number}")
        return f"{cleaned[-1]}-{number}"
