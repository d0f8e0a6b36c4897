"""Which profile logs in to the registries of an account: the section ``[runas-ecr]`` of the config file."""

from __future__ import annotations

from collections.abc import Mapping

from aws_runas.config.arn import ACCOUNT_DIGITS
from aws_runas.config.files import ConfigFiles
from aws_runas.config.profile import Setting
from aws_runas.errors import ConfigError

SECTION = "runas-ecr"
PUBLIC = "public.ecr.aws"


def registry_profiles(files: ConfigFiles) -> Mapping[str, Setting[str]]:
    """Return the profile of each account, and of the public gallery under `PUBLIC`.

    Raises:
        ConfigError: a key is no account, or a profile does not exist.
    """
    section = files.config.sections.get(SECTION, {})
    found = {}
    for key, value in section.items():
        line = files.config.lines.get((SECTION, key), "?")
        origin = f"[{SECTION}] in {files.config.path}, line {line}"
        is_account = len(key) == ACCOUNT_DIGITS and key.isascii() and key.isdigit()
        if not is_account and key != PUBLIC:
            raise ConfigError(
                f"{key!r} ({origin}) is not an account",
                code="ecr-section-invalid",
                hint=f"write 123456789012 = PROFILE, or {PUBLIC} = PROFILE",
            )
        name = value.strip() if isinstance(value, str) else ""
        if not name or (name not in files.profiles and name != "default" and not name.startswith("arn:")):
            raise ConfigError(
                f"profile {name!r} of account {key} ({origin}) does not exist",
                code="ecr-section-invalid",
                hint="name a profile of the config file",
            )
        found[key] = Setting(name, origin)
    return found
