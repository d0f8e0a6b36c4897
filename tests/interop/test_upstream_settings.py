"""Every key, flag and variable of the Go tool for SAML and OIDC, one by one, in sign-ins that succeed only by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.interop import simplesaml
from tests.interop.federated import Home, iam_client, make_role
from tests.interop.simplesaml import SimpleSaml
from tests.interop.test_oidc import Provider, provider  # noqa: F401 - a fixture
from tests.support import saml

NAME = "settings"
ADMIN = simplesaml.roles_of(NAME)[0]
SHORT = saml.role("my-role-short")
NOWHERE = "http://127.0.0.1:9/nobody"


@dataclass(frozen=True)
class Way:
    """One way to give a setting; the other settings are keys of the profile.

    Args:
        setting: what is given.
        kind: "key", "flag", "variable" or "credentials".
        name: of the key, the flag or the variable.
    """

    setting: str
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def ways(setting: str, keys: str, flags: str, variables: str) -> list[Way]:
    """The ways of one row of the table."""
    given = {"key": keys, "flag": flags, "variable": variables}
    return [Way(setting, kind, name) for kind, names in given.items() for name in names.split()]


SAML = [
    *ways("url", "saml_auth_url", "-S --saml-url", "SAML_AUTH_URL"),
    *ways("provider", "saml_provider", "-R --provider", "RUNAS_PROVIDER SAML_PROVIDER"),
    *ways("username", "saml_username federated_username", "-U --username",
          "RUNAS_USERNAME SAML_USERNAME FEDERATED_USERNAME"),
    *ways("password", "", "-P --password", "RUNAS_PASSWORD SAML_PASSWORD"),
    Way("password", "credentials", "saml_password"),
    *ways("entity", "saml_auth_entityid saml_entity_id", "-I --saml-entityid", "SAML_ENTITYID SAML_ENTITY_ID"),
    *ways("jump", "jump_role_arn", "-J --jump-role", "JUMP_ROLE_ARN"),
    *ways("mfa", "mfa_type", "-t --mfa-type", "MFA_TYPE"),
]  # fmt: skip
OIDC = [
    *ways("url", "web_identity_auth_url", "-W --web-url", "WEB_AUTH_URL WEB_IDENTITY_AUTH_URL"),
    *ways("provider", "web_identity_provider", "-R", "RUNAS_PROVIDER WEB_PROVIDER WEB_IDENTITY_PROVIDER"),
    *ways("username", "web_identity_username", "-U", "RUNAS_USERNAME WEB_USERNAME WEB_IDENTITY_USERNAME"),
    *ways("password", "", "-P", "RUNAS_PASSWORD WEB_PASSWORD WEB_IDENTITY_PASSWORD"),
    Way("password", "credentials", "web_identity_password"),
    *ways("client", "web_identity_client_id", "-C --web-client", "WEB_CLIENT_ID WEB_IDENTITY_CLIENT_ID"),
    *ways("redirect", "web_identity_redirect_uri web_identity_callback_uri", "-T --web-redirect",
          "WEB_REDIRECT_URI WEB_IDENTITY_REDIRECT_URI"),
    *ways("jump", "jump_role_arn", "-J", "JUMP_ROLE_ARN"),
]  # fmt: skip


@dataclass(frozen=True)
class Given:
    """The values of a sign-in, those that would make it fail, and the usual key of each."""

    right: dict[str, str]
    wrong: dict[str, str]
    keys: dict[str, str]

    def run(self, home: Home, way: Way, role: str, *words: str) -> str:
        """Sign in with one setting given in one way, and return the ARN of the credentials.

        A flag or a variable stands against a wrong key, which it has to beat.
        """
        lines = {self.keys[name]: value for name, value in self.right.items() if name in self.keys}
        environ = {"RUNAS_LOGIN": "never"}
        credentials = ""
        lines.pop(self.keys.get(way.setting, ""), None)
        if way.kind == "key":
            lines[way.name] = self.right[way.setting]
        elif way.setting in self.wrong:
            lines[self.keys[way.setting]] = self.wrong[way.setting]
        if way.kind == "flag":
            words = (*words, way.name, self.right[way.setting])
        elif way.kind == "variable":
            environ[way.name] = self.right[way.setting]
        elif way.kind == "credentials":
            credentials = f"[{self.right['url']}]\n{way.name} = {self.right['password']}\n"
        if way.setting != "password":
            environ["RUNAS_PASSWORD"] = self.right["password"]
        text = "".join(f"{key} = {value}\n" for key, value in lines.items())
        home.write(f"[default]\nregion = us-east-1\n{text}[profile p]\nrole_arn = {role}\n", credentials)
        return home.caller(home.run(*words, "-O", "json", "p", **environ))


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Iterator[SimpleSaml]:
    with simplesaml.running(tmp_path_factory.mktemp(NAME), NAME) as running:
        iam = iam_client(sandbox)
        iam.create_saml_provider(Name=NAME, SAMLMetadataDocument=running.metadata)
        condition = {"StringEquals": {"SAML:aud": saml.RECIPIENT}}
        provider_arn = simplesaml.provider_arn(NAME)
        make_role(iam, ADMIN.rpartition("/")[2], "sts:AssumeRoleWithSAML", provider_arn, condition)
        yield running


@pytest.mark.parametrize("way", SAML, ids=str)
def test_saml_settings_of_the_go_tool_work_unchanged(
    way: Way, tmp_path: Path, sandbox: Sandbox, idp: SimpleSaml
) -> None:
    user = "otto" if way.setting == "mfa" else "jane"
    keys = {"url": "saml_auth_url", "provider": "saml_provider", "username": "saml_username"}
    right = {
        "url": idp.sign_in_address(),
        "provider": "keycloak",
        "username": user,
        "password": f"secret-of-{user}",
        "entity": "urn:amazon:webservices",
        "jump": ADMIN,
        "mfa": "code",
    }
    wrong = {"url": NOWHERE, "provider": "azuread", "username": "nobody", "mfa": "none"}
    given = Given(right, wrong, keys | ({"mfa": "mfa_type"} if way.setting == "mfa" else {}))
    words = ("-o", simplesaml.CODE) if way.setting == "mfa" else ()
    arn = given.run(Home(sandbox, tmp_path), way, SHORT if way.setting == "jump" else ADMIN, *words)
    assert f"assumed-role/{'my-role-short' if way.setting == 'jump' else f'{NAME}-admin/{user}'}" in arn


@pytest.mark.parametrize("way", OIDC, ids=str)
def test_oidc_settings_of_the_go_tool_work_unchanged(
    way: Way,
    tmp_path: Path,
    sandbox: Sandbox,
    provider: Provider,  # noqa: F811
) -> None:
    keys = {
        "url": "web_identity_auth_url",
        "provider": "web_identity_provider",
        "username": "web_identity_username",
        "client": "web_identity_client_id",
        "redirect": "web_identity_redirect_uri",
    }
    right = {
        "url": provider.issuer,
        "provider": "keycloak",
        "username": "jane",
        "password": "any",
        "client": "custom",
        "redirect": "com.example.app:/callback",
        "jump": saml.role("web-one"),
    }
    wrong = {
        "url": NOWHERE,
        "provider": "azuread",
        "username": "nobody",
        "client": "elsewhere",
        "redirect": "com.example.other:/callback",
    }
    home = Home(sandbox, tmp_path)
    arn = Given(right, wrong, keys).run(home, way, SHORT if way.setting == "jump" else saml.role("web-one"))
    assert f"assumed-role/{'my-role-short' if way.setting == 'jump' else 'web-one'}/" in arn
