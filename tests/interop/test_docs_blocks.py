"""Command blocks of the documentation that need programs which only these tests have (marked ``interop``)."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aws_runas.sandbox.world import Sandbox
from tests.contract.docs_blocks import ROOT, Block, blocks
from tests.contract.docs_world import World, make_world
from tests.integration.forward.test_databases import create_database
from tests.interop.browser_person import BrowserPerson, signs_in
from tests.interop.federated import HEADLESS
from tests.interop.simplesaml import ROLES
from tests.interop.test_database_tokens import postgresql
from tests.interop.test_databases_by_name import folder, own_sandbox
from tests.interop.test_forwarded_programs import client
from tests.interop.test_oidc import BROWSER
from tests.interop.test_oidc import running_provider as oidc_provider
from tests.interop.test_programs_over_run import fetch_through_sshuttle
from tests.interop.test_saml import running_provider as saml_provider
from tests.support import rds_iam, requires
from tests.support.bind_server import bind_server
from tests.support.ports import free_port

__all__ = ["folder", "own_sandbox"]

BLOCKS = [block for block in blocks() if block.interop]
READER = 4321  # user id of somebody who may call sudo
ROLES_ADDRESS = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"


def test_a_block_of_each_kind_is_here() -> None:
    assert {block.scenario for block in BLOCKS} == set(SCENARIOS)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_the_block_runs(block: Block, own_sandbox: Sandbox, tmp_path: Path, folder: Path) -> None:
    with make_world(own_sandbox, tmp_path) as world:
        SCENARIOS[block.scenario](block, world, folder)


def _programs(block: Block, world: World, _folder: Path) -> None:
    """rsync, sftp and git, each with run in place of ssh."""
    for name in ("rsync", "sftp", "git"):
        requires.program(name, package="openssh-client" if name == "sftp" else name)
    (world.folder / "dir").mkdir()
    (world.folder / "dir" / "file").write_text("content\n")
    world.succeed("aws-runas run my-profile web 'mkdir -p site && git init -q --bare project.git'")
    world.succeed(block.script)
    assert world.succeed("aws-runas -q run my-profile web 'cat site/file'") == "content\n"
    assert (world.folder / "project" / ".git").is_dir()


def _database(block: Block, world: World, folder: Path) -> None:
    """psql through a forward, with a server whose name is that of a database of the sandbox."""
    requires.program("psql", package="postgresql-client")
    port, local = free_port(), free_port()
    host = create_database(world.sandbox, "ledger", port)
    keys = json.loads(world.succeed("aws-runas -O json my-profile"))
    secrets = {keys["AccessKeyId"]: (keys["SecretAccessKey"], keys["SessionToken"])}

    def check(name: str, password: str) -> bool:
        user = name.removeprefix("database:")
        return not rds_iam.refusal(password, host, port, user, "us-east-1", secrets.__getitem__, time.time())

    changes = {
        "rds:orders": "rds:ledger",
        "orders.cxyz.eu-west-1.rds.amazonaws.com": host,
        "15432": str(local),
        "PGDATABASE=orders": "PGDATABASE=postgres",
        ":5432": f":{port}",
        "psql": "psql -X -A -t -w -c 'select current_user'",
    }
    text = block.script
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    forward, _, rest = text.partition("\n")
    with bind_server(check) as bind_port, postgresql(folder, host, port, bind_port) as certificate:
        (world.folder / "global-bundle.pem").write_bytes(certificate.read_bytes())
        words = ["psql", "-X", "-w", "-h", str(folder), "-p", str(port), "-U", "tester", "-d", "postgres", "-c"]
        client(*words, "create role app login")
        with subprocess.Popen(
            ["bash", "-c", f"exec {forward}"],
            env=world.environ,
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        ) as running:
            assert running.stdout is not None
            try:
                assert "listening on" in running.stdout.readline()
                assert world.succeed(rest).splitlines()[-1] == "app"
            finally:
                running.terminate()


def _settings(name: str, changes: dict[str, str]) -> str:
    """Return the settings that the page on SAML and OIDC shows for a profile, for profile dev.

    Args:
        name: of the profile on the page.
        changes: what is different here: the addresses and roles of the identity providers.
    """
    page = (ROOT / "docs" / "how-to" / "sign-in-saml-oidc.md").read_text(encoding="utf-8")
    shown = page.partition(f"    [profile {name}]\n")[2].partition("\n\n")[0]
    for old, new in changes.items():
        assert old in shown, (old, shown)
        shown = shown.replace(old, new)
    return "[profile dev]\n" + "".join(f"{line.strip()}\n" for line in shown.splitlines())


def _set_up(world: World, settings: str, **variables: str) -> None:
    """Replace profile dev, which uses Identity Center on other pages."""
    config = Path(world.environ["AWS_CONFIG_FILE"])
    config.write_text(config.read_text().partition("[profile dev]")[0] + settings + "region = us-east-1\n")
    world.environ |= {"RUNAS_LOGIN": "always", "RUNAS_KEYRING": "file", **variables}


@contextlib.contextmanager
def _saml(world: World) -> Iterator[dict[str, str]]:
    """Run SimpleSAMLphp; what differs from the page is the address and the role."""
    with saml_provider(world.folder / "simplesaml", world.sandbox) as idp:
        yield {
            "https://idp.example.com/app/aws/sso/saml": idp.sign_in_address(),
            "arn:aws:iam::123456789012:role/Developer": ROLES[0],
            "region = eu-west-1": "",
        }


def _saml_window(block: Block, world: World, _folder: Path) -> None:
    """A person signs in at SimpleSAMLphp's page, in the window of Chromium that aws-runas opens."""
    browser = world.folder / "headless"
    browser.write_text(f'#!/bin/sh\nexec {requires.program("chromium")} --remote-debugging-port=0 "$@"\n')
    browser.chmod(0o755)
    with _saml(world) as changes:
        settings = _settings("dev", changes) + f"auth_browser = {browser}\n"
        _set_up(world, settings, RUNAS_TEST_BROWSER_ARGUMENTS=HEADLESS)
        person = BrowserPerson(world.folder / "aws-runas" / "browser", signs_in("jane", "secret-of-jane"))
        assert "sign in to" in world.succeed(block.script), person.seen
        assert f"{ROLES[0].rpartition('/')[2]}/jane" in world.succeed("aws-runas whoami dev")


def _saml_roles(block: Block, world: World, _folder: Path) -> None:
    """The roles that SimpleSAMLphp offers, by its forms."""
    with _saml(world) as changes:
        settings = _settings("dev", changes) + "saml_provider = form\nsaml_username = jane\n"
        _set_up(world, settings, RUNAS_PASSWORD="secret-of-jane")
        listed = world.succeed(block.script)
        assert [role for role in ROLES if role in listed] == list(ROLES), listed


def _oidc_login(block: Block, world: World, _folder: Path) -> None:
    """A sign-in at node-oidc-provider in the user's browser, another one, and the end of it."""
    with oidc_provider(world.sandbox) as provider:
        changes = {
            "https://login.example.com/realms/corp": provider.issuer,
            "= aws-cli": "= native",
            "role/Developer": "role/web-one",
        }
        _set_up(world, _settings("web", changes), RUNAS_BROWSER=BROWSER, SCRIPT="sign-in")
        world.succeed(block.script)
        assert provider.seen()["authorizations"] == 2
        gone = world.run("RUNAS_LOGIN=never aws-runas dev")
        assert (gone.returncode, "aws-runas login dev" in gone.stdout) == (4, True), gone.stdout


def _sshuttle(block: Block, world: World, _folder: Path) -> None:
    """sshuttle in a network of its own, whose traffic it carries to the instance."""
    fetch_through_sshuttle(block.script, world.environ, world.folder)


def _user_of_sudo(folder: Path) -> Path:
    """Make the files of a machine with a user who may call sudo; returns the home, with keys that need no AWS."""
    home = folder / "home"
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "config").write_text(
        "[profile my-profile]\naws_access_key_id = ASIAMADEUP\naws_secret_access_key = made-up\n"
        "aws_session_token = made-up-token\nregion = eu-west-1\n"
    )
    folder.chmod(0o755)
    for path in (home, home / ".aws", home / ".aws" / "config"):
        os.chown(path, READER, READER)
    (folder / "passwd").write_text(f"root:*:0:0::/root:/bin/sh\nreader:*:{READER}:{READER}::{home}:/bin/sh\n")
    search = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    (folder / "sudoers").write_text(f'Defaults secure_path="{search}"\nreader ALL=(ALL) NOPASSWD: ALL\n')
    (folder / "sudoers").chmod(0o440)
    return home


def _by_sudo(block: Block, _world: World, folder: Path) -> None:
    """A user calls the real sudo in namespaces of its own, and curl asks the address that the server has added."""
    for name, package in (("sudo", None), ("ip", "iproute2"), ("setpriv", "util-linux"), ("curl", None)):
        requires.program(name, package=package)
    if os.geteuid() != 0:
        requires.missing("needs root, for namespaces with a user who may call sudo")
    home = _user_of_sudo(folder)
    script = (
        f"ip link set lo up && mount --bind {folder}/passwd /etc/passwd && mount --bind {folder}/sudoers /etc/sudoers"
        f" && exec setpriv --reuid={READER} --regid={READER} --clear-groups bash -c {shlex.quote(block.script)}"
    )
    with subprocess.Popen(
        ["unshare", "-n", "-m", "sh", "-c", script],
        env={"HOME": str(home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "USER": "reader"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        printed = ""
        try:
            for line in running.stdout:
                printed += line
                if " are served; " in line:
                    break
            asked = ["nsenter", "-t", str(running.pid), "-n", "curl", "-s", ROLES_ADDRESS]
            assert subprocess.check_output(asked, text=True, timeout=60) == "my-profile", printed
        finally:
            running.terminate()


SCENARIOS: dict[str, Callable[[Block, World, Path], None]] = {
    "programs": _programs,
    "database": _database,
    "SAML in a window": _saml_window,
    "roles of a SAML profile": _saml_roles,
    "sign-in with OIDC": _oidc_login,
    "sshuttle": _sshuttle,
    "sudo": _by_sudo,
}
