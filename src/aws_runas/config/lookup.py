"""Lookup of single settings, each from the first place that has it."""

from __future__ import annotations

from collections.abc import Mapping

from aws_runas.config.durations import SESSION_TOKEN_DEFAULT, SESSION_TOKEN_RANGE, check_range, parse_duration
from aws_runas.config.files import ConfigFiles, ProfileSection
from aws_runas.config.profile import Setting
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, ConfigError, UsageError
from aws_runas.fast.names import FALSE_WORDS, TRUE_WORDS


@dataclass(frozen=True, slots=True)
class Lookup:
    """The places in which settings are looked up.

    Args:
        environ: the variables.
        links: the profile and its source profiles, in order.
        default: the ``[default]`` section, searched last.
    """

    environ: Mapping[str, str]
    links: tuple[ProfileSection, ...]
    default: ProfileSection | None

    def places(self) -> list[ProfileSection]:
        """Return the sections, highest precedence first."""
        places = list(self.links)
        if self.default is not None and all(link.name != self.default.name for link in places):
            places.append(self.default)
        return places

    def text(
        self, key: str, *, flag: str | None = None, flag_name: str = "", variable: str | None = None
    ) -> Setting[str] | None:
        """Return a text setting, or None if no place has it. Empty values count as missing.

        Args:
            key: of the setting in the files.
            flag: value of the flag, None if it was not given.
            flag_name: of the flag, for the origin.
            variable: name of the variable that also sets it, or None.
        """
        if flag:
            return Setting(flag, f"flag {flag_name}")
        if variable:
            value = self.environ.get(variable, "").strip()
            if value:
                return Setting(value, variable)
        for section in self.places():
            text = section.text(key)
            if text:
                return Setting(text, section.origin(key))
        return None

    def region(self, flag: str | None) -> Setting[str] | None:
        """Return the region: from the flag, AWS_REGION, AWS_DEFAULT_REGION, or the files.

        Args:
            flag: value of ``--region``, None if it was not given.
        """
        found = Setting(flag, "flag --region") if flag else None
        for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            value = self.environ.get(variable, "").strip()
            if value and not found:
                found = Setting(value, variable)
        found = found or self.text("region")
        if found and not is_region_name(found.value):
            raise ConfigError(
                f"region {found.value!r} ({found.origin}) is not the name of a region",
                code="region-invalid",
                hint="a region looks like eu-west-1",
            )
        return found

    def otp(self, flag: str | None) -> Setting[str] | None:
        """Return the MFA code from the flag or the variable.

        Args:
            flag: value of ``-o``, None if it was not given.
        """
        return self.text("", flag=flag, flag_name="-o", variable="MFA_CODE")

    def session_token_duration(self, flag: int | None) -> Setting[int]:
        """Return the lifetime of the session token in seconds.

        Args:
            flag: value of ``-d`` in seconds, None if it was not given.
        """
        if flag is not None:
            return checked(Setting(flag, "flag -d"), SESSION_TOKEN_RANGE, "session token duration")
        text = self.text("session_token_duration", variable="SESSION_TOKEN_DURATION")
        if text is None:
            return Setting(SESSION_TOKEN_DEFAULT, "default")
        return checked(parsed(text, "session_token_duration"), SESSION_TOKEN_RANGE, "session token duration")


def asks_for_picker(files: ConfigFiles) -> bool:
    """Return True if ``[default]`` has ``pick = yes``: then a call without a profile lets the user choose one.

    Args:
        files: both config files.

    Raises:
        ConfigError: the value is neither on nor off.
    """
    section = files.profiles.get("default")
    text = section.text("pick") if section else None
    if section is None or text is None or text.lower() in FALSE_WORDS:
        return False
    if text.lower() in TRUE_WORDS:
        return True
    raise ConfigError(
        f"pick = {text} ({section.origin('pick')}) is neither on nor off",
        code="switch-invalid",
        hint="use 1, true, yes or on; or 0, false, no or off",
    )


def releases_url(files: ConfigFiles) -> tuple[str, str] | None:
    """Return ``releases_url`` of ``[default]``, the page that ``-u`` reads, and where it is set.

    Args:
        files: both config files.
    """
    section = files.profiles.get("default")
    url = section.text("releases_url") if section else None
    return (url, section.origin("releases_url")) if section and url else None


def parsed(text: Setting[str], key: str) -> Setting[int]:
    """Read a duration from a file or the environment.

    Args:
        text: the value and its origin.
        key: for the hint.

    Returns:
        Seconds, with the same origin.

    Raises:
        ConfigError: the text is not a duration.
    """
    try:
        return Setting(parse_duration(text.value), text.origin)
    except ValueError as error:
        raise ConfigError(
            f"{text.origin}: {error}", code="duration-invalid", hint=f"write for instance {key} = 1h30m"
        ) from None


def checked(setting: Setting[int], limits: tuple[int, int], what: str) -> Setting[int]:
    """Check a duration against AWS's limits.

    Args:
        setting: seconds.
        limits: minimum and maximum in seconds.
        what: names the thing that has the duration, for the message.

    Returns:
        The setting itself.

    Raises:
        UsageError: the duration is outside the limits and comes from a flag.
        ConfigError: the duration is outside the limits and comes from a file or the environment.
    """
    try:
        check_range(setting.value, limits, what)
    except ValueError as error:
        raise out_of_range(setting, str(error)) from None
    return setting


def out_of_range(setting: Setting[int], message: str) -> AwsRunasError:
    """Return the error for a duration that AWS would refuse; its class depends on the origin.

    Args:
        setting: the duration.
        message: what is wrong with it.
    """
    if setting.origin.startswith("flag "):
        return UsageError(f"{message} ({setting.origin})", code="duration-out-of-range")
    return ConfigError(f"{message} ({setting.origin})", code="duration-out-of-range")


def is_region_name(text: str) -> bool:
    """Return True if a text could be the name of a region, such as eu-west-1."""
    return text.isascii() and all(character.isalnum() or character == "-" for character in text) and len(text) < 64
