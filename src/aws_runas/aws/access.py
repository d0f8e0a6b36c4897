"""The access that a command has: the profile, its credentials, and AWS clients that use them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aws_runas.aws.credentials import Credentials, Provider
from aws_runas.config.profile import Profile
from aws_runas.errors import ConfigError

if TYPE_CHECKING:
    from aws_runas.aws.client import Clients
    from aws_runas.aws.direct import DirectSsm

_WITHOUT_REGION = frozenset({"iam", "sts"})  # global services, which need no region

Shortcut = Callable[[Credentials], None]


def _no_shortcut(_credentials: Credentials) -> None:
    pass


class Access:
    """A resolved profile with its credentials and clients.

    Args:
        profile: as resolved.
        provider: gives the requested credentials: those of the role, or the session token.
        user_provider: gives the user's own keys, or those of the first source in the chain, for IAM.
        clients: created when first needed.
        traced: show each AWS call; botocore then makes all of them.

    Attributes:
        shortcut: stores new credentials for the next fast start; does nothing if they must not be stored.
        cache_entries: names of the cache entries that hold the chain's credentials.
        offered_roles: asks the identity provider which roles it offers; None if this is not a SAML profile.
        sign_in: signs in again and returns the time when the sign-in expires, in seconds since the epoch; None if the
            profile does not sign in with SAML or OIDC.
        sign_out: deletes the stored answer of the identity provider; None in the same case.
    """

    def __init__(
        self,
        profile: Profile,
        provider: Provider,
        user_provider: Provider,
        clients: Callable[[], Clients],
        *,
        traced: bool = False,
    ) -> None:
        self.shortcut: Shortcut = _no_shortcut
        self.offered_roles: Callable[[], tuple[str, ...]] | None = None
        self.sign_in: Callable[[], float] | None = None
        self.cache_entries: tuple[str, ...] = ()
        self.sign_out: Callable[[], None] | None = None
        self.profile = profile
        self.provider = provider
        self.user_provider = user_provider
        self._clients = clients
        self._traced = traced
        self._session_client: DirectSsm | None = None
        self._made: dict[tuple[str, str, bool, bool, bool], Any] = {}
        self._lock = threading.Lock()

    def region(self) -> str:
        """Return the region of the profile.

        Raises:
            ConfigError: none is set.
        """
        if self.profile.region is None:
            raise ConfigError(
                f"no region is set for {self.profile.name}",
                code="region-missing",
                hint="set AWS_REGION, or region = NAME in the profile",
            )
        return self.profile.region.value

    def client(self, service: str, region: str | None = None, *, fips: bool = False, once: bool = False) -> Any:
        """Return a botocore client that signs with the credentials of the profile and renews them automatically.

        Args:
            service: botocore's name, for instance ``ec2``.
            region: overrides the profile's region.
            fips: use the FIPS endpoint, unless the configuration names an endpoint.
            once: for calls that must not be repeated if it is unknown whether the first one arrived.

        Raises:
            ConfigError: the service needs a region and none is set.
        """
        return self._client(service, region, user=False, fips=fips, once=once)

    def session_client(self) -> Any:
        """Return a client for the session calls of Systems Manager, without botocore where possible.

        It has the methods start_session, resume_session and terminate_session of a botocore client.
        """
        from aws_runas.aws.direct import DirectSsm, ca_bundle, direct_endpoint

        region = self.region()
        with self._lock:
            if self._session_client is None:
                endpoint = None if self._traced else direct_endpoint(self.profile, region)
                if endpoint is not None:
                    fetch = self.provider.credentials
                    bundle = ca_bundle(self.profile)
                    self._session_client = DirectSsm(
                        endpoint, region, fetch, lambda: self.client("ssm"), ca_bundle=bundle
                    )
            direct = self._session_client
        return direct if direct is not None else self.client("ssm")

    def user_client(self, service: str) -> Any:
        """Return a client that signs with the user's own keys; see `client`."""
        return self._client(service, None, user=True)

    def _client(self, service: str, region: str | None, *, user: bool, fips: bool = False, once: bool = False) -> Any:
        if region is None:
            region = self.profile.sts_region if service in _WITHOUT_REGION else self.region()
        provider = self.user_provider if user else self.provider
        with self._lock:
            key = (service, region, user, fips, once)
            if key not in self._made:
                self._made[key] = self._clients().client(service, region, provider.credentials, fips=fips, once=once)
            return self._made[key]
