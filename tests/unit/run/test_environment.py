"""The program's environment, exactly."""

from __future__ import annotations

import os

from aws_runas.run import environment

AROUND = {
    "PATH": "/bin",
    "LANG": "en_US.UTF-8",
    "AWS_PROFILE": "a",
    "AWS_DEFAULT_PROFILE": "b",
    "AWS_ACCESS_KEY_ID": "AKIAOLD",
    "AWS_SECRET_ACCESS_KEY": "old",
    "AWS_SESSION_TOKEN": "old",
    "AWS_SECURITY_TOKEN": "old",
    "AWS_CREDENTIAL_EXPIRATION": "old",
    "AWS_ACCESS_KEY": "old",
    "AWS_SECRET_KEY": "old",
    "AWS_CREDENTIAL_FILE": "/old",
    "AWS_ROLE_ARN": "old",
    "AWS_ROLE_SESSION_NAME": "old",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "old",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "old",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "old",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN": "old",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "old",
    "MFA_CODE": "123456",
    "SAML_PASSWORD": "secret",
    "WEB_PASSWORD": "secret",
    "WEB_IDENTITY_PASSWORD": "secret",
    "RUNAS_PASSWORD": "secret",
    "RUNAS_KEYRING_PASSPHRASE": "secret",
    "AWS_REGION": "old",
    "AWS_CONFIG_FILE": "/c",
    "AWS_SHARED_CREDENTIALS_FILE": "/s",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_CA_BUNDLE": "/ca",
}
KEPT = {
    "PATH": "/bin",
    "LANG": "en_US.UTF-8",
    "AWS_CONFIG_FILE": "/c",
    "AWS_SHARED_CREDENTIALS_FILE": "/s",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_CA_BUNDLE": "/ca",
}


def test_nothing_that_lies_around_gives_the_program_another_identity() -> None:
    found = environment.base(AROUND, "prof", "eu-west-1")
    assert found == KEPT | {"AWSRUNAS_PROFILE": "prof", "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1"}


def test_without_a_region_the_region_variables_are_left_as_they_are() -> None:
    found = environment.base({"PATH": "/bin"}, "prof", None)
    assert found == {"PATH": "/bin", "AWSRUNAS_PROFILE": "prof"}


def test_keys_bring_the_old_name_of_the_token_and_the_expiration() -> None:
    found = environment.with_keys({}, "ASIA", "secret", "token", "2026-11-23T07:44:12Z")
    assert found == {
        "AWS_ACCESS_KEY_ID": "ASIA",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": "token",
        "AWS_SECURITY_TOKEN": "token",
        "AWS_CREDENTIAL_EXPIRATION": "2026-11-23T07:44:12Z",
    }


def test_keys_that_do_not_end_bring_neither() -> None:
    found = environment.with_keys({}, "AKIA", "secret", None, "")
    assert found == {"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret"}


def test_the_endpoint_is_named_with_its_token_and_the_credentials_file_is_null() -> None:
    found = environment.with_endpoint({"AWS_CONFIG_FILE": "/c"}, 4711, "token", None)
    assert found == {
        "AWS_CONFIG_FILE": "/c",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:4711/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "token",
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    assert environment.with_endpoint({}, 1, "t", "/copy")["AWS_CONFIG_FILE"] == "/copy"
