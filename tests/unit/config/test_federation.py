"""SAML and OIDC settings: every spelling, what is inherited, and which role the sign-in gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aws_runas.config.overrides import Overrides, SignInFlags
from aws_runas.config.profile import FederatedSource, KeySource, Profile
from aws_runas.config.resolve import load_files, resolve
from aws_runas.errors import AwsRunasError

ROLE = "arn:aws:iam::123456789012:role/"
URL = "https://idp.example/saml"
OIDC = "https://idp.example/oidc"
KEYS = "[keys]\naws_access_key_id = AKIA\naws_secret_access_key = s\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    return tmp_path


def profile(
    home: Path, config: str, name: str | None = "p", credentials: str = "", flags: Overrides | None = None, **env: Any
) -> Profile:
    (home / ".aws" / "config").write_text(config)
    (home / ".aws" / "credentials").write_text(credentials)
    environ = {"HOME": str(home), **env}
    return resolve(load_files(environ, home), name, flags or Overrides(), environ)


def source(found: Profile) -> FederatedSource:
    assert isinstance(found.source, FederatedSource)
    return found.source


def error(home: Path, config: str, **more: Any) -> AwsRunasError:
    with pytest.raises(AwsRunasError) as caught:
        profile(home, config, **more)
    return caught.value


def test_a_saml_profile_gets_its_role_from_the_assertion(home: Path) -> None:
    found = profile(home, f"[profile p]\nsaml_auth_url = {URL}\nrole_arn = {ROLE}a\nsaml_username = jane\n")
    assert (source(found).url, source(found).method, source(found).login_name) == (URL, "browser", "jane")
    assert source(found).role is not None
    assert (found.role_arn, found.roles) == (f"{ROLE}a", ())


def test_the_default_profile_gives_the_address_to_profiles_without_credentials(home: Path) -> None:
    config = f"[default]\nsaml_auth_url = {URL}\n[profile p]\nrole_arn = {ROLE}a\n[profile k]\nsource_profile = keys\n"
    config += f"role_arn = {ROLE}b\n[profile bare]\nregion = eu-west-1\n"
    assert source(profile(home, config, credentials=KEYS)).url == URL
    assert isinstance(profile(home, config, "k", credentials=KEYS).source, KeySource)
    assert source(profile(home, config, "bare", credentials=KEYS)).role is None
    assert source(profile(home, config, None)).url == URL


def test_a_source_profile_gives_settings_and_its_own_role_makes_a_chain(home: Path) -> None:
    plain = f"[profile idp]\nsaml_auth_url = {URL}\n[profile p]\nsource_profile = idp\nrole_arn = {ROLE}a\n"
    direct = profile(home, plain)
    assert (direct.role_arn, direct.roles, source(direct).url) == (f"{ROLE}a", (), URL)
    chained = profile(home, plain.replace(URL, f"{URL}\nrole_arn = {ROLE}first"))
    first = source(chained).role
    assert first is not None
    assert (first.arn, [role.arn for role in chained.roles]) == (f"{ROLE}first", [f"{ROLE}a"])


@pytest.mark.parametrize("way", ["key", "variable", "flag"])
def test_the_jump_role_comes_first(home: Path, way: str) -> None:
    config = f"[profile p]\nsaml_auth_url = {URL}\nrole_arn = {ROLE}a\ncredentials_duration = 8h\n"
    config += f"jump_role_arn = {ROLE}jump\n" if way == "key" else ""
    flags = Overrides(signin=SignInFlags(jump_role=f"{ROLE}jump" if way == "flag" else None))
    found = profile(home, config, flags=flags, **({"JUMP_ROLE_ARN": f"{ROLE}jump"} if way == "variable" else {}))
    jump = source(found).role
    assert jump is not None
    assert (jump.arn, [role.arn for role in found.roles]) == (f"{ROLE}jump", [f"{ROLE}a"])
    assert [jump.duration.value, found.roles[0].duration.value] == [3600, 3600]


def test_a_long_duration_by_flag_is_not_cut(home: Path) -> None:
    config = f"[profile p]\nsaml_auth_url = {URL}\nrole_arn = {ROLE}a\njump_role_arn = {ROLE}jump\n"
    assert profile(home, config, flags=Overrides(role_duration=7200)).roles[0].duration.value == 7200


def test_a_role_arn_uses_the_sign_in_of_the_default_profile(home: Path) -> None:
    found = profile(home, f"[default]\nsaml_auth_url = {URL}\n", f"{ROLE}typed")
    assert (found.role_arn, found.roles) == (f"{ROLE}typed", ())
    assert source(found).url == URL


@pytest.mark.parametrize(
    ("variable", "flag", "field"),
    [
        ({"SAML_USERNAME": "u"}, {"username": "u"}, "username"),
        ({"RUNAS_USERNAME": "u"}, {"username": "u"}, "username"),
        ({"SAML_PROVIDER": "Form"}, {"provider": "form"}, "method"),
        ({"RUNAS_PROVIDER": "keycloak"}, {"provider": "form"}, "method"),
        ({"MFA_TYPE": "code"}, {"mfa_type": "code"}, "mfa_type"),
        ({"RUNAS_PASSWORD": "x"}, {"password": "x"}, "password"),
        ({"SAML_PASSWORD": "x"}, {"password": "x"}, "password"),
    ],
)
def test_saml_variables_and_flags_mean_the_same(
    home: Path, variable: dict[str, Any], flag: dict[str, Any], field: str
) -> None:
    config = f"[profile p]\nsaml_auth_url = {URL}\nrole_arn = {ROLE}a\n"
    by_variable = getattr(source(profile(home, config, flags=None, **variable)), field)
    by_flag = getattr(source(profile(home, config, flags=Overrides(signin=SignInFlags(**flag)))), field)
    assert getattr(by_variable, "value", by_variable) == getattr(by_flag, "value", by_flag) != None  # noqa: E711


@pytest.mark.parametrize(
    ("key", "flag", "variable"),
    [
        ("saml_entity_id", None, {}),
        ("saml_auth_entityid", None, {}),
        ("", "urn:x", {}),
        ("", None, {"SAML_ENTITYID": "urn:x"}),
        ("", None, {"SAML_ENTITY_ID": "urn:x"}),
    ],
)
def test_an_entity_id_is_accepted_and_said_to_have_no_effect(
    home: Path, key: str, flag: str | None, variable: dict[str, Any]
) -> None:
    config = f"[profile p]\nsaml_auth_url = {URL}\nrole_arn = {ROLE}a\n" + (f"{key} = urn:x\n" if key else "")
    notes = profile(home, config, flags=Overrides(signin=SignInFlags(saml_entity_id=flag)), **variable).unused
    assert [note.startswith("entity id urn:x (") for note in notes] == [True]
    assert profile(home, f"[profile p]\nsaml_auth_url = {URL}\nrole_arn = {ROLE}a\n").unused == ()


@pytest.mark.parametrize("spelling", ["web_identity_redirect_uri", "web_identity_callback_uri"])
@pytest.mark.parametrize("prefix", ["WEB_", "WEB_IDENTITY_"])
def test_oidc_has_two_spellings_of_everything(home: Path, spelling: str, prefix: str) -> None:
    config = f"[profile p]\nweb_identity_auth_url = {OIDC}\nweb_identity_client_id = c\nrole_arn = {ROLE}a\n"
    with_key = source(profile(home, f"{config}{spelling} = app:/callback\nweb_identity_username = k\n"))
    assert (with_key.redirect_uri, with_key.login_name) == ("app:/callback", "k")
    env: dict[str, Any] = {f"{prefix}AUTH_URL": f"{OIDC}/2", f"{prefix}CLIENT_ID": "d", f"{prefix}USERNAME": "v"}
    env |= {f"{prefix}REDIRECT_URI": "http://localhost:99/x", f"{prefix}PROVIDER": "okta", f"{prefix}PASSWORD": "q"}
    found = source(profile(home, config, **env))
    assert (found.url, found.client_id, found.login_name) == (f"{OIDC}/2", "d", "v")
    assert (found.redirect_uri, found.provider, found.method) == ("http://localhost:99/x", "okta", "browser")
    assert found.password is not None
    assert "q" not in repr(found)


def test_an_address_by_flag_makes_a_profile_with_keys_a_saml_one(home: Path) -> None:
    found = profile(home, f"[profile p]\nsource_profile = keys\nrole_arn = {ROLE}a\n", credentials=KEYS,
                    flags=Overrides(signin=SignInFlags(saml_url=URL)))  # fmt: skip
    assert (source(found).url, found.role_arn) == (URL, f"{ROLE}a")


def test_passwords_are_in_sections_named_by_the_address(home: Path) -> None:
    credentials = f"[{URL}]\nsaml_password = canary\n[other]\nregion = x\n"
    config = f"[profile p]\nsaml_auth_url = {URL}\nrole_arn = {ROLE}a\n"
    found = source(profile(home, config, credentials=credentials))
    assert found.password is not None
    assert (found.password.value, "canary" in repr(found)) == ("canary", False)
    assert load_files({"HOME": str(home)}, home).profile_names() == ["p", "other"]


@pytest.mark.parametrize(
    "config",
    [
        f"[profile p]\nsaml_auth_url = {URL}\nweb_identity_auth_url = {OIDC}\n",
        f"[profile p]\nsaml_process = x\nweb_identity_auth_url = {OIDC}\n",
        f"[default]\nsaml_auth_url = {URL}\n[profile p]\nweb_identity_auth_url = {OIDC}\n",
    ],
)
def test_saml_and_oidc_together_are_refused(home: Path, config: str) -> None:
    found = error(home, config)
    assert (found.code, found.exit_status) == ("source-contradictory", 3)
    assert found.message.count("line ") == 2  # both places


def test_saml_by_variable_against_oidc_in_the_profile_is_refused(home: Path) -> None:
    config = f"[profile p]\nweb_identity_auth_url = {OIDC}\n"
    assert error(home, config, SAML_AUTH_URL=URL).code == "source-contradictory"


@pytest.mark.parametrize("name", ["okta", "onelogin", "forgerock", "browserne", "browserNewExperience", "kerberos"])
def test_providers_that_come_later_name_browser(home: Path, name: str) -> None:
    found = error(home, f"[profile p]\nsaml_auth_url = {URL}\nsaml_provider = {name}\n")
    assert (found.code, found.exit_status) == ("provider-unsupported", 3)
    assert "browser" in str(found.hint)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("saml_provider = tanuki", "provider-unknown"),
        ("saml_provider = process", "source-incomplete"),
        ("mfa_type = telepathy", "setting-unknown"),
        ("jump_role_arn = nonsense", "arn-not-a-role"),
    ],
)
def test_unknown_values_are_errors_with_a_list(home: Path, line: str, code: str) -> None:
    found = error(home, f"[profile p]\nsaml_auth_url = {URL}\n{line}\n")
    assert (found.code, found.exit_status) == (code, 3)
    assert found.hint


@pytest.mark.parametrize("address", ["http://idp.example/", "idp.example", "https://", "javascript:x", "https://a:b/"])
def test_addresses_must_be_https(home: Path, address: str) -> None:
    assert error(home, f"[profile p]\nsaml_auth_url = {address}\n").code == "auth-url-invalid"


def test_http_is_allowed_on_this_machine(home: Path) -> None:
    assert source(profile(home, "[profile p]\nsaml_auth_url = http://127.0.0.1:9/x\n")).label == "127.0.0.1"


@pytest.mark.parametrize(
    ("config", "code"),
    [
        (f"[profile p]\nweb_identity_auth_url = {OIDC}\nrole_arn = {ROLE}a\n", "source-incomplete"),
        (f"[profile p]\nweb_identity_auth_url = {OIDC}\nweb_identity_client_id = c\n", "source-missing"),
        (f"[profile p]\nweb_identity_auth_url = {OIDC}\nweb_identity_client_id = c\nweb_identity_flow = x\n",
         "setting-unknown"),
        *((f"[profile p]\nweb_identity_auth_url = {OIDC}\nweb_identity_client_id = c\nrole_arn = {ROLE}a\n"
           f"web_identity_redirect_uri = {uri}\n", "redirect-uri-invalid")
          for uri in ("http://127.0.0.1:99999/x", "http://127.0.0.1:x/", "callback", "http://[", "http://127.0.0.1:0/")),
    ],
)  # fmt: skip
def test_an_oidc_profile_must_be_complete(home: Path, config: str, code: str) -> None:
    assert error(home, config).code == code
