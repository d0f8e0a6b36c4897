"""Profiles that a server can serve: opened on first use, with one active profile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from aws_runas.aws.credentials import Provider
from aws_runas.dataclass import dataclass
from aws_runas.errors import AwsRunasError, ConfigError
from aws_runas.serve import replies
from aws_runas.serve.desk import Desk
from aws_runas.serve.renewal import CodeSlot, Renewal

Prompt = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """Facts about a profile that a client may know.

    Args:
        name: as requested, which may be a role ARN.
        role_arn: the role, None for a user's own keys.
        region: None if not configured.
        mfa_serial: the MFA device.
        source_profile: the profile of the keys.
    """

    name: str
    role_arn: str | None = None
    region: str | None = None
    mfa_serial: str | None = None
    source_profile: str | None = None


def alias(name: str) -> str:
    """Return the name of a profile in IMDS: its name, or the last part of a role ARN.

    A slash would end the path segment.

    Args:
        name: profile or role ARN.
    """
    return name.rsplit("/", 1)[-1] if name.startswith("arn:") else name


class Catalogue(Protocol):
    """Source of profiles: the user's configuration. Called from any thread."""

    def open(self, name: str | None, prompt: Prompt, desk: Desk) -> tuple[ProfileFacts, Provider]:
        """Resolve a profile and build its provider.

        Args:
            name: None for the profile of the command line or the environment.
            prompt: answers when an MFA code is needed.
            desk: answers the questions of a sign-in or the keyring.

        Raises:
            AwsRunasError: there is no such profile, or it is incomplete.
        """
        ...

    def names(self) -> list[tuple[str, bool]]:
        """Return all profiles of the config files in file order, with True for those with a role."""
        ...


class Profile:
    """Opened profile and its credentials."""

    def __init__(self, facts: ProfileFacts, renewal: Renewal, slot: CodeSlot, desk: Desk) -> None:
        self.facts = facts
        self.renewal = renewal
        self.slot = slot
        self.desk = desk

    def document(self) -> dict[str, object]:
        """Return the response to GET /profile, which contains no secret."""
        facts, credentials, error = self.facts, self.renewal.current(), self.renewal.last_error
        document: dict[str, object] = {
            "name": facts.name,
            "role_arn": facts.role_arn,
            "region": facts.region,
            "mfa_serial": facts.mfa_serial,
            "source_profile": facts.source_profile,
            "has_credentials": credentials is not None,
            "expiration": replies.timestamp(credentials.expiration) if credentials and credentials.expiration else None,
            "issued": replies.timestamp(credentials.issued) if credentials and credentials.issued else None,
            "mfa_required": error is not None and error.code in replies.MFA_CODES,
            "sign_in_required": error is not None and error.code in replies.SIGN_IN_CODES,
            "sign_in": self._sign_in(),
            "error": None,
        }
        if error is not None:
            document["error"] = {"code": error.code, "message": error.message, "hint": error.hint}
        return document

    def _sign_in(self) -> dict[str, object] | None:
        if not self.renewal.is_signing_in():
            return None
        return self.desk.document() or {"lines": [], "question": None}


class Profiles:
    """Opened profiles by name, and the active one. Thread-safe.

    Args:
        catalogue: the source of the profiles.
        active: name of the first active profile, None for that of the environment; opened here, so that an error
            is reported before anything is served.
        now: seconds since the epoch.
        notice: called with the profile and the reason if a renewal fails in a different way than the previous one.

    Raises:
        AwsRunasError: the first profile cannot be opened.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        active: str | None,
        *,
        now: Callable[[], float] = time.time,
        notice: Callable[[str, AwsRunasError], None] | None = None,
    ) -> None:
        self._catalogue = catalogue
        self._now = now
        self._notice = notice
        self._lock = threading.Lock()
        self._opened: dict[str, Profile] = {}
        self._active = self._new(active)
        self._opened[self._active.facts.name] = self._active
        self._were_active = {alias(self._active.facts.name): self._active}

    @property
    def active(self) -> Profile:
        """Profile for clients that do not name one."""
        return self._active

    def opened(self, name: str) -> Profile | None:
        """Return a profile if it is already open, else None.

        Args:
            name: profile or role ARN.
        """
        return self._opened.get(name)

    def by_alias(self, name: str) -> Profile | None:
        """Return the profile with this alias if it is or was active: clients request the name that they received.

        Args:
            name: from `alias`.
        """
        return self._were_active.get(name)

    def open(self, name: str, *, again: bool = False) -> Profile:
        """Open a profile. Reads files, so do not call it in the server's loop.

        Args:
            name: a profile or a role ARN.
            again: reload its configuration; credentials in memory are kept if it has not changed.

        Raises:
            AwsRunasError: there is no such profile, or it is incomplete.
        """
        with self._lock:
            known = self._opened.get(name)
            if known is not None and not again:
                return known
            profile = self._new(name, known)
            self._opened[name] = profile
            return profile

    def _new(self, name: str | None, known: Profile | None = None) -> Profile:
        slot = known.slot if known is not None else CodeSlot()
        desk = known.desk if known is not None else Desk()
        facts, provider = self._catalogue.open(name, slot.prompt, desk)
        if known is not None and known.facts == facts:
            known.renewal.provider = provider  # keys may have been rotated; those in memory stay valid
            return known
        notice = self._notice
        failed = None if notice is None else lambda error: notice(facts.name, error)
        return Profile(facts, Renewal(provider, slot=slot, desk=desk, now=self._now, failed=failed), slot, desk)

    def switch(self, name: str) -> Profile:
        """Make a profile active.

        Args:
            name: profile or role ARN.

        Raises:
            AwsRunasError: it cannot be opened; the active profile does not change.
        """
        profile = self.open(name, again=True)
        self._were_active[alias(name)] = self._active = profile
        return profile

    def names(self, *, roles: bool) -> list[str]:
        """Return the names of the profiles with a role, or of those without one.

        Args:
            roles: True for those with a role.
        """
        try:
            listed = self._catalogue.names()
        except AwsRunasError:
            raise
        except Exception as error:
            raise ConfigError(
                f"the config files cannot be read ({type(error).__name__})",
                code="serve-config-unreadable",
                hint="see: aws-runas list profiles",
            ) from error
        return [name for name, has_role in listed if has_role == roles]
