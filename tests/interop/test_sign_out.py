"""Signing out of identity providers, and what no shortcut may answer after a sign-in has changed."""

from __future__ import annotations

from pathlib import Path

import pexpect
import pytest

from tests.interop.federated import Home
from tests.interop.simplesaml import ROLES, SimpleSaml
from tests.interop.test_oidc import Provider, provider, variables  # noqa: F401 - a fixture
from tests.interop.test_saml import config, home, idp, password  # noqa: F401 - fixtures
from tests.support import saml

KEYRING = {"RUNAS_KEYRING_PASSPHRASE": "phrase"}


def _cache(home: Home) -> Path:  # noqa: F811
    return home.path / ".aws" / "aws-runas" / "cache"


def _forget_cache(home: Home) -> None:  # noqa: F811
    for path in _cache(home).glob("*.json"):
        path.unlink()
    for path in _cache(home).glob("fast-*"):
        path.unlink()


def test_cookies_that_are_kept_sign_in_until_logout(home: Home, idp: SimpleSaml) -> None:  # noqa: F811
    home.write(config(idp).replace("saml_username = jane", "saml_username = jane\nidp_session = keep", 1))
    before = idp.logins()
    assert home.caller(home.run("-O", "json", "admin", **password("jane"))).endswith("/jane")
    _forget_cache(home)
    again = home.run("-O", "json", "admin", RUNAS_LOGIN="always")  # no password: the provider's session is enough
    assert home.caller(again).endswith("/jane")
    assert idp.logins() == before + 1
    cookies = list((home.path / ".aws" / "aws-runas" / "cookies").iterdir())
    assert [oct(path.stat().st_mode & 0o777) for path in cookies] == ["0o600"]
    assert home.run("logout", "admin").returncode == 0
    gone = home.run("-O", "json", "admin", RUNAS_LOGIN="always")
    assert gone.returncode == 4, gone.stderr
    assert home.caller(home.run("-O", "json", "admin", **password("jane"))).endswith("/jane")
    assert idp.logins() == before + 2


def test_the_refresh_token_of_oidc_is_gone_after_logout(
    home: Home,  # noqa: F811
    provider: Provider,  # noqa: F811
) -> None:
    home.write(
        f"[default]\nregion = us-east-1\n[profile offline]\nweb_identity_auth_url = {provider.issuer}\n"
        f"web_identity_client_id = native\nweb_identity_username = jane\nrole_arn = {saml.role('web-one')}\n"
        "web_identity_scopes = openid offline_access\n"
    )
    assert ":assumed-role/web-one/" in home.caller(home.run("-O", "json", "offline", **KEYRING, **variables()))
    _forget_cache(home)
    never = {"RUNAS_LOGIN": "always", "RUNAS_BROWSER": "false %s"}
    assert ":assumed-role/web-one/" in home.caller(home.run("-O", "json", "offline", **KEYRING, **never))
    assert home.run("logout", "offline", **KEYRING).returncode == 0
    gone = home.run("-O", "json", "offline", **KEYRING, RUNAS_LOGIN="never")
    assert (gone.returncode, "aws-runas login offline" in gone.stderr) == (4, True), gone.stderr
    for path in home.files():  # neither kept in clear, nor in what is cached
        assert b"refresh_token" not in path.read_bytes()


@pytest.mark.parametrize(
    "changed",
    [
        {"SAML_USERNAME": "john"},
        {"FEDERATED_USERNAME": "john"},
        {"RUNAS_USERNAME": "john"},
        {"JUMP_ROLE_ARN": ROLES[1]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_variable_of_the_sign_in_is_not_answered_by_the_shortcut_of_another(
    home: Home,  # noqa: F811
    idp: SimpleSaml,  # noqa: F811
    changed: dict[str, str],
) -> None:
    """The first answers left a shortcut; under the variable the answer is another, and takes a sign-in or a role."""
    for _ in range(2):
        first = home.caller(home.run("-O", "json", "admin", **({} if _ else password("jane"))))
    assert first.endswith(":assumed-role/idp-admin/jane")
    assert list(_cache(home).glob("fast-*")), "no shortcut was left: the test shows nothing"
    before = idp.logins()
    other = home.run("-O", "json", "admin", RUNAS_LOGIN="never", **changed)
    if "JUMP_ROLE_ARN" in changed:
        assert (other.returncode, other.stdout) == (4, "")  # the reader may not assume the role
        assert "AssumeRole" in other.stderr
    else:
        assert (other.returncode, "needs a sign-in" in other.stderr) == (4, True), other.stderr
    assert idp.logins() == before
    assert home.caller(home.run("-O", "json", "admin")) == first  # and the first is still cached


def test_login_force_as_another_user_leaves_no_shortcut_of_the_first(home: Home, idp: SimpleSaml) -> None:  # noqa: F811
    text = config(idp, more=f"[profile who]\nrole_arn = {ROLES[1]}\n").replace("saml_username = jane", "", 1)
    home.write(text)
    jane, john = ({"SAML_USERNAME": name, **password(name)} for name in ("jane", "john"))
    for given in (jane, {"SAML_USERNAME": "jane"}):
        assert home.caller(home.run("-O", "json", "who", **given)).endswith("/jane")
    shortcuts = {path.name: path.read_bytes() for path in _cache(home).glob("fast-*")}
    assert shortcuts
    assert home.run("login", "--force", "who", **john).returncode == 0
    left = {path.name: path.read_bytes() for path in _cache(home).glob("fast-*")}
    assert not shortcuts.items() & left.items()
    assert home.caller(home.run("-O", "json", "who", SAML_USERNAME="john")).endswith("/john")


def test_a_new_password_leaves_no_shortcut(home: Home) -> None:  # noqa: F811
    for _ in range(2):
        assert home.caller(home.run("-O", "json", "admin", **({} if _ else password("jane")))).endswith("/jane")
    assert list(_cache(home).glob("fast-*"))
    child = home.at_terminal("password", "admin", **KEYRING)
    for question in ("Password of jane: ", "The same again: "):
        child.expect_exact(question)
        child.sendline("secret-of-jane")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert list(_cache(home).glob("fast-*")) == []
