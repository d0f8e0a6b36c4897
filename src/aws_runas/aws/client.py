"""The only module that makes botocore clients; they sign with our own providers.

aws-runas determines region, profile and credentials; botocore does not read them from the environment. The profile's
settings for retries, FIPS, dual stack and the like are passed to botocore as a profile. With ``-v -v``, each call is
reported: service, operation, address, status and time, never a parameter or a response.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import botocore.config
import botocore.configprovider
import botocore.exceptions
import botocore.loaders
import botocore.session

from aws_runas import __version__
from aws_runas.aws.client_settings import check_settings
from aws_runas.aws.credentials import Credentials
from aws_runas.config.profile import Profile
from aws_runas.errors import ConfigError

CONNECT_TIMEOUT = 10  # seconds; botocore's default of 60 is too long for an unreachable address
READ_TIMEOUT = 30  # seconds

_BLOCKS = frozenset(("api_versions", "s3"))  # settings whose value is an indented block

Trace = Callable[[str], None]


class _Frozen(NamedTuple):
    """The credentials in the form that botocore's signers read."""

    access_key: str
    secret_key: str
    token: str | None
    account_id: str | None = None

    def __repr__(self) -> str:
        return "credentials(...)"


class ProviderCredentials:
    """Credentials in botocore's shape that ask our provider at each signature.

    Args:
        fetch: gives the credentials to sign with now.
    """

    method = "aws-runas"

    def __init__(self, fetch: Callable[[], Credentials]) -> None:
        self._fetch = fetch

    def get_frozen_credentials(self) -> _Frozen:
        """Return one consistent set of keys."""
        found = self._fetch()
        return _Frozen(found.access_key_id, found.secret_access_key, found.session_token)

    def get_deferred_property(self, property_name: str) -> Callable[[], Any]:
        """Return a function that returns None: botocore asks for the account id, which is unknown here."""
        return lambda: getattr(self.get_frozen_credentials(), property_name)

    @property
    def access_key(self) -> str:
        return self.get_frozen_credentials().access_key

    @property
    def secret_key(self) -> str:
        return self.get_frozen_credentials().secret_key

    @property
    def token(self) -> str | None:
        return self.get_frozen_credentials().token

    @property
    def account_id(self) -> None:
        return None


class Session(botocore.session.Session):  # type: ignore[misc]
    """A botocore session that knows only our profile."""

    def __init__(self, profile: Profile) -> None:
        self._ours: dict[str, Any] = {
            "profiles": {name: _usable(section.values) for name, section in profile.sections.items()},
            "sso_sessions": dict(profile.sso_sessions),
            "services": dict(profile.services),
        }
        super().__init__()
        constant = botocore.configprovider.ConstantProvider
        store = self.get_component("config_store")
        known = profile.section if profile.section in self._ours["profiles"] else None
        store.set_config_provider("profile", constant(known))
        store.set_config_provider("region", constant(profile.sts_region))
        self.register_component("data_loader", Loader(self.get_config_variable("data_path")))
        self.user_agent_extra = f"aws-runas/{__version__}"

    @property
    def full_config(self) -> dict[str, Any]:
        return self._ours

    def get_auth_token(self, **_kwargs: Any) -> None:
        """Return None, because every call is signed.

        botocore would look for a token of the profile's sso-session before our provider can say what is wrong with it.
        """


def _usable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a profile without block settings that have no block, because botocore fails on them."""
    return {key: value for key, value in values.items() if key not in _BLOCKS or isinstance(value, dict)}


class Clients:
    """Makes clients, and loads each session and model once.

    Args:
        profile: endpoints and client settings.
        trace: receives a line without secrets for each AWS call; None for no trace.
    """

    def __init__(self, profile: Profile, trace: Trace | None = None) -> None:
        self.profile = profile
        self._lock = threading.Lock()
        with _setting_up("aws", profile):
            self._session = Session(profile)
        if trace is not None:
            attach(self._session, trace)

    def client(
        self, service: str, region: str, fetch: Callable[[], Credentials], *, fips: bool = False, once: bool = False
    ) -> Any:
        """Return a client for one service.

        Args:
            service: botocore's name.
            region: of the endpoint.
            fetch: gives the credentials to sign with.
            fips: use the FIPS endpoint, unless the configuration names an endpoint.
            once: make each call only once, regardless of the retry settings.

        Raises:
            ConfigError: a setting is invalid.
        """
        with (
            self._lock,
            _setting_up(service, self.profile),
        ):  # the session gives its credentials to the client that it makes next
            self._session._credentials = ProviderCredentials(fetch)
            endpoint = self.profile.endpoint_url(service)
            return self._session.create_client(
                service,
                region_name=region,
                endpoint_url=endpoint,
                config=botocore.config.Config(
                    connect_timeout=CONNECT_TIMEOUT,
                    read_timeout=READ_TIMEOUT,
                    use_fips_endpoint=True if fips and endpoint is None else None,
                    retries={"total_max_attempts": 1} if once else None,
                ),
            )


@contextlib.contextmanager
def _setting_up(service: str, profile: Profile) -> Iterator[None]:
    """Turn botocore's errors about settings into a ConfigError: retry_mode, max_attempts, an impossible region."""
    try:
        yield
    except Exception as error:  # botocore checks few settings and fails in many ways on others
        check_settings(profile)
        raise ConfigError(
            f"cannot set up a client for {service}: {' '.join(str(error).split())}",
            code="client-setup-failed",
            hint="check the client settings of the profile and the AWS_ variables",
        ) from error


class Loader(botocore.loaders.Loader):  # type: ignore[misc]
    """Finds services by folder name."""

    def __init__(self, data_path: str | None) -> None:
        paths = [os.path.expandvars(os.path.expanduser(path)) for path in (data_path or "").split(os.pathsep) if path]
        super().__init__(extra_search_paths=paths)
        self._names: list[str] | None = None

    def list_available_services(self, type_name: str) -> list[str]:
        """Return every folder in the search paths. Whether it has a model of this type is found on loading.

        Args:
            type_name: for instance ``service-2``; all services have one of each.
        """
        del type_name
        if self._names is None:
            names: set[str] = set()
            for path in self.search_paths:
                if os.path.isdir(path):
                    names.update(os.listdir(path))
            self._names = sorted(names)
        return self._names


def attach(session: Any, trace: Callable[[str], None]) -> None:
    """Make a botocore session report its calls.

    Args:
        session: its clients report.
        trace: takes one line.
    """

    def before(request: Any, **_: Any) -> None:
        parts = urlsplit(request.url)
        trace(f"{request.method} {parts.scheme}://{parts.netloc}{parts.path}")

    def called(model: Any, context: Any, **_: Any) -> None:
        context["aws_runas_started"] = time.monotonic()
        trace(f"calling {model.service_model.service_name} {model.name}")

    def answered(model: Any, http_response: Any, parsed: Any, context: Any, **_: Any) -> None:
        took = (time.monotonic() - context.get("aws_runas_started", time.monotonic())) * 1000
        error = parsed.get("Error", {}).get("Code", "")
        request_id = parsed.get("ResponseMetadata", {}).get("RequestId", "")
        words = [model.service_model.service_name, model.name, str(http_response.status_code), error]
        trace(f"answer {' '.join(word for word in words if word)} in {took:.0f} ms, request {request_id or 'unknown'}")

    session.register("before-send", before)
    session.register("before-call", called)
    session.register("after-call", answered)
