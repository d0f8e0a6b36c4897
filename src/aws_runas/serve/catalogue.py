"""Profiles of the user for a server: opened by name, with MFA codes from the page instead of the terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from aws_runas.aws.credentials import Provider
from aws_runas.config.files import load_files
from aws_runas.config.overrides import Overrides
from aws_runas.credentials.build import Prompts, open_access
from aws_runas.serve.desk import Desk
from aws_runas.serve.profiles import ProfileFacts, Prompt
from aws_runas.signin.context import RunContext, SignInContext
from aws_runas.signin.person import Person


class ConfigCatalogue:
    """Catalogue that reads the config files at each call.

    Args:
        first: profile or ARN on the command line, None if there is none.
        overrides: the flags; the MFA code and the external id apply to the first profile only.
        context: variables, clock, and the output for users.
        sign_in: creates the dependencies of a sign-in at a desk; None if sign-in is not possible.
    """

    def __init__(
        self,
        first: str | None,
        overrides: Overrides,
        context: RunContext,
        sign_in: Callable[[Desk], SignInContext] | None = None,
    ) -> None:
        self._first = first
        self._overrides = overrides
        self._context = context
        self._sign_in = sign_in
        self._is_first = True

    def open(self, name: str | None, prompt: Prompt, desk: Desk) -> tuple[ProfileFacts, Provider]:
        """Resolve a profile and build its provider; see profiles.Catalogue.

        Args:
            name: profile or role ARN, None for the one on the command line.
            prompt: asks for an MFA code.
            desk: asks all other questions.
        """
        overrides, environ = self._overrides, self._context.environ
        if not self._is_first:
            overrides = dataclasses.replace(overrides, otp=None, refresh=False)
            environ = {key: value for key, value in environ.items() if key != "MFA_CODE"}
            if name != self._first:
                overrides = dataclasses.replace(overrides, external_id=None)
                environ.pop("EXTERNAL_ID", None)
        self._is_first = False
        access = open_access(
            name,
            overrides,
            dataclasses.replace(self._context, environ=environ),
            Prompts(prompt, desk.ask_passphrase, Person(desk.ask, desk.ask_secret, desk.ask, desk.choose)),
            signin=self._sign_in(desk) if self._sign_in else None,
        )
        profile = access.profile
        facts = ProfileFacts(
            name=profile.name,
            role_arn=None if profile.use_session_token else profile.role_arn,
            region=profile.region.value if profile.region else None,
            mfa_serial=profile.mfa_serial.value if profile.mfa_serial else None,
            source_profile=profile.source_profile,
        )
        return facts, access.provider

    def names(self) -> list[tuple[str, bool]]:
        """Return all profiles in file order, with True for those with a role; see profiles.Catalogue."""
        files = load_files(self._context.environ, self._context.home)
        return [(name, "role_arn" in files.profiles[name].values) for name in files.profile_names()]
