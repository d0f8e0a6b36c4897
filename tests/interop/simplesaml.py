"""SimpleSAMLphp as the identity provider: PHP's own server, a configuration of our own, users with AWS roles.

Users: ``jane`` (two roles), ``john`` (the same, in the other order), ``otto`` (a page for a one-time code follows),
``slow`` (the answer takes a while), ``nemo`` (no role). The password of each is ``secret-of-NAME``.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization

from tests.support import requires, saml
from tests.support.ports import free_port

ROOT = Path("/usr/share/simplesamlphp")
CODE = "246810"  # accepted by the page for the one-time code


def provider_arn(name: str) -> str:
    """The provider in IAM."""
    return f"arn:aws:iam::{saml.ACCOUNT}:saml-provider/{name}"


def roles_of(name: str) -> tuple[str, str]:
    """The roles that are offered."""
    return saml.role(f"{name}-admin"), saml.role(f"{name}-reader")


PROVIDER = provider_arn("idp")
ROLES = roles_of("idp")
# The services whose assertions are encrypted; the name is the audience, and AWS accepts the second.
ENCRYPTED = ("urn:encrypted", "https://signin.aws.amazon.com/saml")

CONFIG = """<?php $config = [
'baseurlpath' => '{url}/', 'certdir' => '{folder}/cert/', 'loggingdir' => '{folder}/log/',
'datadir' => '{folder}/data/',
'tempdir' => '{folder}/tmp', 'metadatadir' => '{folder}/metadata', 'secretsalt' => 'canary',
'auth.adminpassword' => 'x',
'technicalcontact_email' => 'a@example.org', 'timezone' => 'UTC', 'logging.handler' => 'errorlog', 'logging.level' => 3,
'enable.saml20-idp' => true, 'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
'session.cookie.secure' => false, 'session.cookie.samesite' => 'Lax', 'session.phpsession.savepath' => '{folder}/tmp',
'session.phpsession.cookiename' => 'SimpleSAML', 'store.type' => 'phpsession', 'trusted.url.domains' => [],
'language.default' => 'en', 'language.available' => ['en'], 'showerrors' => true, 'errorreporting' => false,
'metadata.sources' => [['type' => 'flatfile']], 'usenewui' => false,
];"""
SOURCES = """<?php
$users = [];
$role = 'https://aws.amazon.com/SAML/Attributes/Role'; $name = 'https://aws.amazon.com/SAML/Attributes/RoleSessionName';
foreach (['jane', 'john', 'otto', 'slow', 'nemo'] as $user) {{
    $roles = $user === 'nemo' ? [] : ($user === 'john' ? ['{provider}, {admin}', '{provider} ,{reader}']
        : ['{admin},{provider}', '{reader},{provider}']);
    $users["$user:secret-of-$user"] = ['uid' => [$user], $role => $roles, $name => [$user]];
}}
$config = ['users' => array_merge(['exampleauth:UserPass'], $users)];"""
IDP = """<?php $metadata['__DYNAMIC:1__'] = [
'host' => '__DEFAULT__', 'privatekey' => 'idp.pem', 'certificate' => 'idp.crt', 'auth' => 'users',
'authproc' => [90 => ['class' => 'core:PHP', 'code' => '
    if ($attributes["uid"][0] === "slow") { usleep(1200000); }
    if ($attributes["uid"][0] === "otto") {
        $id = \\SimpleSAML\\Auth\\State::saveState($state, "tests:otp");
        \\SimpleSAML\\Utils\\HTTP::redirectTrustedURL("/otp.php", ["StateId" => $id]);
    }
']]];"""
SERVICES = """<?php
$metadata['urn:amazon:webservices'] = ['AssertionConsumerService' => 'https://signin.aws.amazon.com/saml',
    'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:transient',
    'attributes.NameFormat' => 'urn:oasis:names:tc:SAML:2.0:attrname-format:uri'];
$metadata['urn:elsewhere'] = $metadata['urn:amazon:webservices'];
$metadata['urn:encrypted'] = $metadata['urn:amazon:webservices'] + [
    'assertion.encryption' => true, 'certificate' => 'idp.crt'];
$metadata['https://signin.aws.amazon.com/saml'] = $metadata['urn:encrypted'];
"""
OTP = """<?php
require_once('/usr/share/simplesamlphp/www/_include.php');
$state = \\SimpleSAML\\Auth\\State::loadState($_REQUEST['StateId'], 'tests:otp');
$wrong = '';
if (isset($_POST['otp'])) {
    if ($_POST['otp'] === '246810') { \\SimpleSAML\\Auth\\ProcessingChain::resumeProcessing($state); }
    $wrong = '<p class="error">That code is wrong</p>';
}
$id = htmlspecialchars($_REQUEST['StateId']);
echo "<!doctype html><title>Code</title>$wrong<form method=post action=/otp.php>"
   . "<input type=hidden name=StateId value=\\"$id\\">"
   . "<input name=otp autocomplete=one-time-code placeholder='Code of your app'><button>Go</button></form>";
"""
ROUTER = """<?php
if (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) === '/otp.php') { require '{folder}/otp.php'; return true; }
return false;
"""


@dataclass
class SimpleSaml:
    """A running identity provider.

    Args:
        log: every request that it was sent, and PHP's errors.
    """

    url: str
    log: Path = field(repr=False)

    @property
    def metadata(self) -> str:
        """The document for CreateSAMLProvider, as the provider publishes it."""
        with _opener().open(f"{self.url}/saml2/idp/metadata.php", timeout=20) as answer:
            return str(answer.read().decode())

    def sign_in_address(self, service: str = "urn:amazon:webservices") -> str:
        return f"{self.url}/saml2/idp/SSOService.php?spentityid={service}"

    def logins(self) -> int:
        """How many times a password was posted."""
        return self.log.read_text(errors="replace").count("POST /module.php/core/loginuserpass.php")


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def private_key() -> str:
    """The key of the provider; assertions for ``urn:encrypted`` are encrypted for it too."""
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    key = saml.identity("simplesaml")[0]
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain).decode()


@contextlib.contextmanager
def running(folder: Path, name: str = "idp") -> Iterator[SimpleSaml]:
    """Start the provider; it ends with the block.

    Args:
        name: of the provider in IAM, and in front of the names of its roles.
    """
    php = requires.program("php", package="php-cli")
    if not ROOT.exists():
        requires.missing("needs SimpleSAMLphp (apt-get install simplesamlphp)")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    _write(folder, url, name)
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [php, "-d", "session.save_path=" + str(folder / "tmp"), "-S", f"127.0.0.1:{port}",
             "-t", str(ROOT / "www"), str(folder / "router.php")],
            env=os.environ | {"SIMPLESAMLPHP_CONFIG_DIR": str(folder / "config"), "PHP_CLI_SERVER_WORKERS": "4"},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )  # fmt: skip
    try:
        _await(url, process, log)
        yield SimpleSaml(url, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.wait(10)


def _write(folder: Path, url: str, name: str) -> None:
    for part in ("config", "cert", "log", "data", "tmp", "metadata"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    admin, reader = roles_of(name)
    values = {"url": url, "folder": str(folder), "provider": provider_arn(name), "admin": admin, "reader": reader}
    (folder / "config" / "config.php").write_text(CONFIG.format(**values))
    (folder / "config" / "authsources.php").write_text(SOURCES.format(**values))
    (folder / "metadata" / "saml20-idp-hosted.php").write_text(IDP)
    (folder / "metadata" / "saml20-sp-remote.php").write_text(SERVICES)
    (folder / "otp.php").write_text(OTP)
    (folder / "router.php").write_text(ROUTER.replace("{folder}", str(folder)))
    certificate = saml.identity("simplesaml")[1]
    (folder / "cert" / "idp.pem").write_text(private_key())
    (folder / "cert" / "idp.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            _opener().open(url + "/otp.php.none", timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text(errors="replace")) from None
            time.sleep(0.02)
        else:
            return
